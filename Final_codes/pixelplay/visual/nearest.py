"""The training frame most like a test frame, for people to compare.

Reads working-size frames; gives a row. This is a picture search for the report (small grey pictures, Euclidean
distance), not a score: the local memory's own nearest actor is shown where it is known.
"""

from __future__ import annotations

import cv2
import numpy as np

from pixelplay.data.footage import Footage

SIZE = (32, 20)
MOST = 4000


class NearestFrame:
    """Small grey pictures of at most 4000 training frames, evenly spread, less their median (the empty scene)."""

    def __init__(self, train: Footage):
        self.rows = np.unique(np.linspace(0, len(train) - 1, min(MOST, len(train))).round().astype(np.int64))
        small = np.stack([self._small(train.pixels[train.rows[r]]) for r in self.rows])
        self.scene = np.median(small, axis=0)
        self.small = small - self.scene

    def __call__(self, pixels: np.ndarray) -> int:
        """Training row nearest to a working-size frame (h, w, 3) uint8."""
        return int(self.rows[np.argmin(((self.small - (self._small(pixels) - self.scene)) ** 2).sum(axis=1))])

    @staticmethod
    def _small(pixels: np.ndarray) -> np.ndarray:
        grey = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)
        return cv2.resize(grey, SIZE, interpolation=cv2.INTER_AREA).astype(np.float32).ravel()
