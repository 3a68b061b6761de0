"""Repair of one frame according to its row of the plan; a pure function of the raw frame.

Reads a raw full-size frame, its row and the backgrounds; makes the repaired frame. Geometry comes first, then exposure,
then noise, because denoising compares the frame with the background pixel by pixel.
"""

from __future__ import annotations

import threading

import cv2
import numpy as np

from pixelplay.repair.denoise import Denoiser
from pixelplay.repair.orientation import turn

IMPULSE_RESIDUE = 8.0
"""Sigma assumed for a frame with impulse noise after the median filter."""


class Repairer:
    """Repairs full-size frames.

    Args:
        backgrounds: scene -> (H, W, 3) uint8 RGB median of training frames at the full size of the test frames.
        working_size: (h, w) in whose pixels the plan states shifts.
    """

    def __init__(self, backgrounds: dict[int, np.ndarray], working_size: tuple[int, int]):
        self.backgrounds, self.working_size = backgrounds, working_size
        # a denoiser caches tables and is not thread-safe
        self._local = threading.local()

    def __call__(self, frame: np.ndarray, row) -> np.ndarray:
        """(H, W, 3) uint8 RGB raw frame and its row of the plan (a named tuple) -> the repaired frame."""
        if row.scene < 0:
            return frame
        frame = turn(frame, int(row.orientation))
        if row.impulse:
            frame = cv2.medianBlur(frame, 3)
        frame = self._moved_back(frame, row)
        exposed = row.gain != 1.0 or row.offset != 0.0
        if exposed and row.gain > 0.1:
            frame = cv2.convertScaleAbs(np.maximum((frame.astype(np.float32) - row.offset) / row.gain, 0))
        if row.noise or row.impulse:
            sigma = IMPULSE_RESIDUE if row.impulse else row.sigma / (row.gain if row.gain > 0.1 else 1.0)
            return self._denoiser(int(row.scene))(frame, float(sigma))
        return frame

    def upright(self, frame: np.ndarray, row) -> np.ndarray:
        """Undo flips and shifts only: aligned with the background, but with the original grey levels and noise."""
        return frame if row.scene < 0 else self._moved_back(turn(frame, int(row.orientation)), row)

    def _moved_back(self, frame: np.ndarray, row) -> np.ndarray:
        if not (row.dx or row.dy):
            return frame
        height, width = frame.shape[:2]
        back = np.float32([[1, 0, -row.dx * width / self.working_size[1]],
                           [0, 1, -row.dy * height / self.working_size[0]]])
        return cv2.warpAffine(frame, back, (width, height), borderMode=cv2.BORDER_REPLICATE)

    def _denoiser(self, scene: int) -> Denoiser:
        known = self._local.__dict__.setdefault("denoisers", {})
        if scene not in known:
            known[scene] = Denoiser(self.backgrounds[scene])
        return known[scene]


def needs_repair(plan) -> np.ndarray:
    """(N,) bool: rows of a plan whose pixels are changed."""
    changed = ((plan["orientation"] != 0) | plan["impulse"] | plan["noise"] | (plan["gain"] != 1.0)
               | (plan["offset"] != 0.0) | (plan["dx"] != 0.0) | (plan["dy"] != 0.0))
    return ((plan["scene"] >= 0) & changed).to_numpy()


def needs_background(plan) -> np.ndarray:
    """(N,) bool: rows of a plan that are denoised."""
    return ((plan["scene"] >= 0) & (plan["noise"] | plan["impulse"])).to_numpy()
