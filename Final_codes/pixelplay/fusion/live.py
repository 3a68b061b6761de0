"""The default recipe on a stream: equals `recipes.default.fuse(causal=True)`, one frame at a time.

Reads raw scores frame by frame; makes calibrated and smoothed ones. Calibration is fitted once: fusing the last frames
again for every frame would take longer than scoring them if the training set is long.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from pixelplay.fusion.calibrated import unit
from pixelplay.fusion.recipes.default import SIGMA
from pixelplay.fusion.scores import ScoreFile
from pixelplay.fusion.smoothing import MAX_GAP, gaussian_kernel


class LiveMember:
    """One model's scores on one camera.

    Args:
        file: its held-out training scores, as from `Detector.members`.
    """

    def __init__(self, file: ScoreFile):
        self.unit = unit(file)
        kernel = gaussian_kernel(float(file.about.get("sigma", SIGMA)), causal=True)
        self.kernel = kernel[len(kernel) // 2::-1]  # indexed by the age of a frame
        self._past: deque[tuple[int, float]] = deque()

    def push(self, number: int, raw: float) -> float:
        """Smoothed rarity of the frame's score."""
        if self._past and number - self._past[-1][0] > MAX_GAP:
            self._past.clear()
        self._past.append((number, float(self.unit(np.array([raw]))[0])))
        while number - self._past[0][0] >= len(self.kernel):
            self._past.popleft()
        numbers, values = (np.array(v) for v in zip(*self._past))
        return float(np.average(values, weights=self.kernel[number - numbers]))
