"""Smooth camera path from per-frame shifts.

Reads the shift measured in each frame; makes the shifts to correct. A camera that was moved between two recordings, or
that sways, shifts the background by about a pixel in every frame, but not every frame shows it clearly. Correcting only
the clear frames would make the picture jump, and every model would read the jumps as motion. Avenue's test video 21,
one pixel off the training videos throughout, was corrected in some frames and not in others.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.ndimage import median_filter

from pixelplay.data.footage import segments
from pixelplay.repair.timeline import LARGEST_STEP

WINDOW = 25
"""Frames in the median filter of the path: one second, longer than a jolt and shorter than a drift."""


def camera_shifts(own: np.ndarray, shifted: np.ndarray, measure: Callable[[int], tuple[float, float]],
                  videos: np.ndarray, frames: np.ndarray, limit: float) -> np.ndarray:
    """The shifts to correct.

    Args:
        own: (N, 2) shift of each frame, (dx, dy) in pixels; zeros if none is clear.
        shifted: (N,) bool, frames whose own shift exceeds the limit.
        measure: row -> best (dx, dy) of the frame, clear or not; called only in segments with a shifted frame.
        videos, frames: (N,) video names and frame numbers.
        limit: shift in pixels above which a frame counts as shifted.
    Returns:
        (N, 2) pixels: the camera path in segments where it exceeds half the limit, a frame's own shift at a jolt, and
        zeros elsewhere.
    """
    out = np.zeros((len(own), 2))
    for part in segments(videos, frames, LARGEST_STEP):
        if not shifted[part].any():
            continue
        shown = np.array([measure(row) for row in range(part.start, part.stop)])
        path = median_filter(shown, (WINDOW, 1), mode="nearest")
        if np.hypot(*path.T).max() < limit / 2:
            path = np.zeros_like(path)
        jolt = shifted[part] & (np.hypot(*(own[part] - path).T) > limit / 2)
        out[part] = np.where(jolt[:, None], own[part], path)
    return out
