"""Temporal fusion: motion-compensated blending of a noisy frame with clean neighbours.

Reads a denoised frame and one or two clean frames close in time; makes a frame that is as consistent with its
neighbours as clean footage is. Each neighbour is warped along optical flow (DIS, Kroeger et al. 2016) where that
improves the match, and used only where it agrees with the frame, to avoid ghosting. Without this step, residual noise
reads as motion in every model that compares consecutive frames (Experiments/E03).
"""

from __future__ import annotations

import cv2
import numpy as np

REACH = 3
"""Largest distance to a neighbour, in frame numbers."""
AGREE = 8.0
"""Scale in grey levels of the Gaussian weight: a neighbour whose largest smoothed difference within `AROUND` equals
this weighs 1/e."""
AROUND = np.ones((9, 9), np.uint8)
"""Neighbourhood that must agree for a pixel to be used: the rim of a moving object differs more than its inside."""
OWN = 0.03
"""Weight of the frame itself, against 1 for a neighbour that agrees perfectly. A larger weight, or averaging neighbours
at different distances, blurs moving objects, which lowers their measured speed (Experiments/E03)."""
GAIN = 1.0, 3.0
"""Grey levels of difference that warping must save to be used at all, and to be used fully. Flow from a noisy frame is
wrong in still areas, and a background warped along it reads as motion (Experiments/E03)."""
_WEIGHTS = np.exp(-(np.arange(256) / AGREE) ** 2).astype(np.float32)


def clean_neighbours(clean: np.ndarray, videos: np.ndarray, frames: np.ndarray, row: int) -> list[int]:
    """Rows of the nearest clean frame of the same video, or of both at equal distance; empty if none within `REACH`.

    Args:
        clean: (N,) bool, frames that may be used.
        videos, frames: (N,) video names and frame numbers in manifest order.
        row: row of the noisy frame.
    """
    found: dict[int, list[int]] = {}
    for step in (-1, 1):
        other = row + step
        while (0 <= other < len(clean) and videos[other] == videos[row]
               and abs(frames[other] - frames[row]) <= REACH):
            if clean[other]:
                found.setdefault(abs(int(frames[other] - frames[row])), []).append(other)
                break
            other += step
    return found[min(found)] if found else []


class TemporalFusion:
    """Fuses noisy frames with clean neighbours. Not thread-safe (DIS keeps its pyramids): use one object per thread."""

    def __init__(self) -> None:
        self._flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._grid = np.zeros((0, 0, 2), np.float32)

    def __call__(self, frame: np.ndarray, neighbours: list[np.ndarray]) -> np.ndarray:
        """Fuse one frame.

        Args:
            frame: (h, w, 3) uint8 RGB, denoised.
            neighbours: clean frames of the same size, at equal distance in time; may be empty.
        Returns:
            (h, w, 3) uint8 RGB; the frame itself without neighbours or below 32 pixels.
        """
        if not neighbours or min(frame.shape[:2]) < 32:
            return frame
        if self._grid.shape[:2] != frame.shape[:2]:
            height, width = frame.shape[:2]
            self._grid = np.dstack(np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)))
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        smooth = cv2.blur(grey, (5, 5))
        blended, total = None, None
        for other in neighbours:
            moved = self._moved(grey, cv2.cvtColor(other, cv2.COLOR_RGB2GRAY))
            picture = cv2.remap(other, self._grid + moved, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            seen = cv2.blur(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), (5, 5))
            weight = cv2.LUT(cv2.dilate(cv2.absdiff(seen, smooth), AROUND), _WEIGHTS)
            if blended is None:
                blended, total = picture, weight
            else:
                blended = cv2.blendLinear(blended, picture, total, weight)
                total = total + weight
        return cv2.blendLinear(blended, frame, total, np.full_like(total, OWN))

    def _moved(self, grey: np.ndarray, other: np.ndarray) -> np.ndarray:
        """(h, w, 2) float32 flow from `grey` to `other`, faded to 0 where warping does not reduce the difference."""
        moved = self._flow.calc(grey, other, None)
        there = cv2.remap(other, self._grid + moved, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        smooth = cv2.blur(grey, (3, 3))
        left, after = (cv2.blur(cv2.absdiff(cv2.blur(x, (3, 3)), smooth), (9, 9)).astype(np.float32)
                       for x in (other, there))
        use = np.clip((left - after - GAIN[0]) / (GAIN[1] - GAIN[0]), 0, 1)
        return moved * cv2.blur(cv2.dilate(use, AROUND), (5, 5))[..., None]
