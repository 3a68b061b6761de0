"""Raw scores of actors, and the distances of their crops to banks of training crops.

Reads an actor table's embedded crops and the banks; makes `ActorScores`, which frame scores are taken from.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pixelplay.two_stream.greedy import Chosen
from pixelplay.two_stream.memory import folds, nearest


class Crops(NamedTuple):
    """The n actors of a table whose crops are embedded.

    Attributes:
        rows: (n,) int64 rows of the table.
        videos: (n,) their video names.
        features: (n, dim) float16 memory map.
    """

    rows: np.ndarray
    videos: np.ndarray
    features: np.ndarray


@dataclasses.dataclass(frozen=True)
class ActorScores:
    """Raw scores of M actors, n of them with an embedded crop.

    Attributes:
        channels: channel of motion -> (M,) score, NaN = not measured.
        rows: (n,) int64, the actors with an embedded crop.
        distances: (seeds, n) to each bank, NaN = nothing to compare with.
    """

    channels: dict[str, np.ndarray]
    rows: np.ndarray
    distances: np.ndarray

    def parts(self) -> dict[str, np.ndarray]:
        """Channel -> (M,) scores, NaN where an actor has none; appearance is the mean distance to the banks."""
        return {**self.channels, "appearance": self.of_all(self.distances.mean(0), np.nan)}

    def of_all(self, values: np.ndarray, missing: float) -> np.ndarray:
        """(M,) from (n,) values of the embedded actors; the others get `missing`."""
        out = np.full(len(next(iter(self.channels.values()))), missing, np.result_type(values, type(missing)))
        out[self.rows] = values
        return out


def bank_distances(features: np.ndarray, banks: Sequence[np.ndarray], device: str) -> tuple[np.ndarray, np.ndarray]:
    """Distances of n crops to the nearest of each bank.

    Args:
        features: (n, dim); banks: (K, dim) each.
    Returns:
        (seeds, n) float64, NaN where a bank is empty; (n,) int64 row of the first bank that is nearest, -1 there.
    """
    distances, places = np.full((len(banks), len(features)), np.nan), np.full((len(banks), len(features)), -1)
    for b, bank in enumerate(banks):
        if len(bank):
            found, place = nearest(features, bank, device=device)
            distances[b], places[b] = found[:, 0], place[:, 0]
    return distances, places[0]


def held_out_distances(crops: Crops, picks: Sequence[np.ndarray], device: str) -> np.ndarray:
    """Distances of the training crops to each bank without the picks of their own video (fold, see `folds`).

    Args:
        picks: rows of `crops` that each bank holds.
    Returns:
        (seeds, n) float64, NaN where nothing is left to compare with.
    """
    fold = folds(crops.videos)
    distances = np.full((len(picks), len(fold)), np.nan)
    for b, picked in enumerate(picks):
        bank = np.asarray(crops.features[picked], np.float32)
        for f in np.unique(fold):
            others, own = bank[fold[picked] != f], np.flatnonzero(fold == f)
            if len(others):
                distances[b, own] = nearest(Chosen(crops.features, own), others, device=device)[0][:, 0]
    return distances
