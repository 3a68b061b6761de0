"""Lending a noisy frame what its clean neighbours saw.

Reads a denoised frame and one or two clean frames shortly before and after it; makes a frame that changes from its
neighbours to itself and on as smoothly as clean footage does. Each neighbour is moved onto the frame along optical
flow (DIS, Kroeger et al. 2016) where that makes it fit better, left in place elsewhere, and taken where the two agree
all around; where they do not, the frame keeps its own picture, so nobody is shown where he was some frames ago. Without
this step, what denoising leaves of the noise reads as motion in every model that compares consecutive frames
(Experiments/E03).
"""

from __future__ import annotations

import cv2
import numpy as np

REACH = 3
"""Largest distance to a neighbour, in frame numbers."""
AGREE = 8.0
"""Grey levels of smoothed difference, the largest within `AROUND`, at which a neighbour counts a third."""
AROUND = np.ones((9, 9), np.uint8)
"""What must agree for a pixel to be taken: the rim of a mover differs more than its inside."""
OWN = 0.03
"""Weight of the frame's own picture beside a neighbour that agrees perfectly. More of it, or a mean over nearer and
further neighbours, blurs what moves, and a blurred mover looks slower than it is (Experiments/E03)."""
GAIN = 1.0, 3.0
"""Grey levels of difference a move must save to count, and to count whole. Flow from a noisy frame strays where nothing
moves, and a background moved along it reads as motion in every model that judges speed (Experiments/E03)."""
_WEIGHTS = np.exp(-(np.arange(256) / AGREE) ** 2).astype(np.float32)


def clean_neighbours(clean: np.ndarray, videos: np.ndarray, frames: np.ndarray, row: int) -> list[int]:
    """Rows of the nearest clean frame, or of two equally near ones, never across a video's border; may be empty.

    Args:
        clean: (N,) bool, frames that may lend.
        videos, frames: (N,) video names and frame numbers in manifest order.
        row: the row that borrows.
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
    """Refines frames of one size; keeps the flow's state, so every thread has its own."""

    def __init__(self) -> None:
        self._flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._grid = np.zeros((0, 0, 2), np.float32)

    def __call__(self, frame: np.ndarray, neighbours: list[np.ndarray]) -> np.ndarray:
        """Refine one frame.

        Args:
            frame: (h, w, 3) uint8 RGB, denoised.
            neighbours: clean frames of the same size, equally far away; may be empty.
        Returns:
            (h, w, 3) uint8 RGB.
        """
        if not neighbours or min(frame.shape[:2]) < 32:
            return frame
        if self._grid.shape[:2] != frame.shape[:2]:
            height, width = frame.shape[:2]
            self._grid = np.dstack(np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)))
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        smooth = cv2.blur(grey, (5, 5))
        lent, total = None, None
        for other in neighbours:
            moved = self._moved(grey, cv2.cvtColor(other, cv2.COLOR_RGB2GRAY))
            picture = cv2.remap(other, self._grid + moved, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            seen = cv2.blur(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), (5, 5))
            weight = cv2.LUT(cv2.dilate(cv2.absdiff(seen, smooth), AROUND), _WEIGHTS)
            if lent is None:
                lent, total = picture, weight
            else:
                lent = cv2.blendLinear(lent, picture, total, weight)
                total = total + weight
        return cv2.blendLinear(lent, frame, total, np.full_like(total, OWN))

    def _moved(self, grey: np.ndarray, other: np.ndarray) -> np.ndarray:
        """(h, w, 2) float32: where in `other` each pixel of `grey` is seen; 0 where moving explains no more."""
        moved = self._flow.calc(grey, other, None)
        there = cv2.remap(other, self._grid + moved, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        smooth = cv2.blur(grey, (3, 3))
        left, after = (cv2.blur(cv2.absdiff(cv2.blur(x, (3, 3)), smooth), (9, 9)).astype(np.float32)
                       for x in (other, there))
        use = np.clip((left - after - GAIN[0]) / (GAIN[1] - GAIN[0]), 0, 1)
        return moved * cv2.blur(cv2.dilate(use, AROUND), (5, 5))[..., None]
