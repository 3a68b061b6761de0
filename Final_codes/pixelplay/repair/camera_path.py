"""Where the camera looks over a stretch of video: a shift that lasts is a path, followed in every frame of it.

Reads the shifts that frames show by themselves; makes those that are corrected. A camera that was moved between two
recordings, or that sways, shows the background a pixel away in frame after frame, and each frame by itself shows it
clearly or not. If only the clear ones were corrected, the picture would jump between neighbours, and a jump reads as
motion everywhere. On Avenue's test video 21, which lies one pixel beside the training videos from end to end, frames
were corrected in turns.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.ndimage import median_filter

from pixelplay.data.footage import segments
from pixelplay.repair.timeline import LARGEST_STEP

WINDOW = 25
"""Frames whose median shift is the camera's: a second, longer than a jolt and shorter than a drift."""


def followed(own: np.ndarray, shifted: np.ndarray, measure: Callable[[int], tuple[float, float]], videos: np.ndarray,
             frames: np.ndarray, limit: float) -> np.ndarray:
    """The shifts to correct.

    Args:
        own: (N, 2) shift that each frame shows by itself, (dx, dy) in pixels; zeros where none is clear.
        shifted: (N,) bool, frames whose own shift passes the limit.
        measure: row -> (dx, dy) of the frame, clear or not; called for stretches with a shifted frame only.
        videos, frames: (N,) video names and frame numbers.
        limit: pixels by which a frame must lie off to count as shifted.
    Returns:
        (N, 2) pixels, zeros where nothing is to be corrected: the path of the camera where it leaves its place by half
        the limit or more, and a frame's own shift where it jolts.
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
