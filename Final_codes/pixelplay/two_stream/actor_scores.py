"""Raw actor scores: motion channels, and nearest neighbour distances of crops to the memory banks.

Reads the embedded crops of an actor table and the banks; makes `ActorScores`, from which frame scores are computed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pixelplay.two_stream.greedy import Chosen
from pixelplay.two_stream.memory import folds, nearest


class Crops(NamedTuple):
    """The n actors of a table that have an embedded crop.

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
    """Raw scores of M actors, n of which have an embedded crop.

    Attributes:
        channels: motion channel -> (M,) scores, NaN = not measured.
        rows: (n,) int64 rows of the actors with an embedded crop.
        distances: (seeds, n) distance to each bank, NaN = empty bank.
    """

    channels: dict[str, np.ndarray]
    rows: np.ndarray
    distances: np.ndarray

    def parts(self) -> dict[str, np.ndarray]:
        """Channel -> (M,) scores, NaN = not measured; 'appearance' is the mean distance over the banks."""
        return {**self.channels, "appearance": self.of_all(self.distances.mean(0), np.nan)}

    def of_all(self, values: np.ndarray, missing: float) -> np.ndarray:
        """Scatter (n,) values of the embedded actors to (M,); the other actors get `missing`."""
        out = np.full(len(next(iter(self.channels.values()))), missing, np.result_type(values, type(missing)))
        out[self.rows] = values
        return out


def bank_distances(features: np.ndarray, banks: Sequence[np.ndarray], device: str) -> tuple[np.ndarray, np.ndarray]:
    """Nearest neighbour distance of n crops in each bank.

    Args:
        features: (n, dim); banks: (K, dim) each.
    Returns:
        (seeds, n) float64 distances, NaN for an empty bank; (n,) int64 nearest row in the first bank, -1 if empty.
    """
    distances, places = np.full((len(banks), len(features)), np.nan), np.full((len(banks), len(features)), -1)
    for b, bank in enumerate(banks):
        if len(bank):
            found, place = nearest(features, bank, device=device)
            distances[b], places[b] = found[:, 0], place[:, 0]
    return distances, places[0]


def held_out_distances(crops: Crops, picks: Sequence[np.ndarray], device: str) -> np.ndarray:
    """Held-out distances: each training crop against every bank without the picks of its own fold (see `folds`).

    Args:
        picks: for each bank, its rows of `crops`.
    Returns:
        (seeds, n) float64, NaN where no pick of another fold is left.
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
