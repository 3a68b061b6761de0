"""What is drawn over a test frame: the heat of the error maps and the boxes of the actors.

Reads a `RunFolder`; makes small functions of a row. Both are in deviations above normal of held-out training frames,
so the same heat means the same in every frame and every video.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import cv2
import numpy as np

from pixelplay.calibration import Calibration, calibrate
from pixelplay.visual.annotate import Box
from pixelplay.visual.run_folder import RunFolder

COLD, HOT = 3.0, 9.0
"""Deviations above normal at which heat begins and at which it is full."""


def heat_function(run: RunFolder) -> Callable[[int], np.ndarray | None] | None:
    """row -> (h, w) heat in [0, 1], the mean over the models with error maps; None where no model has any."""
    sources: list[tuple[np.ndarray, Calibration]] = []
    for name, file in run.members.items():
        maps = run.maps(name)
        if maps is not None and file.train_values is not None:
            log = file.about.get("kind") in ("error", "distance")
            sources.append((maps, calibrate(file.train_values, log=log)))
    if not sources:
        return None
    size = max((maps.shape[1:] for maps, _ in sources), key=lambda s: s[0] * s[1])

    def heat(row: int) -> np.ndarray:
        total = np.zeros(size, np.float32)
        for maps, calibration in sources:
            z = calibration(np.asarray(maps[row], dtype=np.float64))
            total += cv2.resize(z.astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR)
        return np.clip((total / len(sources) - COLD) / (HOT - COLD), 0.0, 1.0)

    return heat


@dataclasses.dataclass(frozen=True)
class Actors:
    """Actors of the test frames.

    Attributes:
        boxes: row -> boxes of that frame, in pixels of the full-size frame.
        nearest: (row, index of the box) -> (training row, its xyxy) of the training actor most like it, or None.
        loudest: () -> row with the loudest actor, or None where no frame has one.
    """

    boxes: Callable[[int], list[Box]]
    nearest: Callable[[int, int], tuple[int, tuple[float, float, float, float]] | None]
    loudest: Callable[[], int | None]


def actors(run: RunFolder) -> Actors | None:
    """The actors of a run; None where the local memory has not scored it."""
    return None


def bank(run: RunFolder, model: str) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """(training features (N, D), picks (M,) in order, test features (K, D)) of a memory model, or None."""
    return None
