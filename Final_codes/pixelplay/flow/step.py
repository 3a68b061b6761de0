"""Temporal baseline of optical flow: far enough apart to exceed sub-pixel noise, near enough to match.

Speed maps (`speed.choose_baseline`) aim at a displacement of one pixel, as a mean weighted by speed over working-size
frames; actors (`two_stream.actor_table.probe_scene`) at three pixels for the median foreground pixel at analysis size.
Both sample the same pairs of frames and share the threshold of motion and the rule below.
"""

from __future__ import annotations

import numpy as np

from pixelplay.data.footage import Footage
from pixelplay.data.subsample import spread

STILL = 0.1
"""Speed in pixels per frame below which a pixel counts as still."""
MAX_STEP = 5


def neighbouring_pairs(footage: Footage, tolerance: int, most: int) -> np.ndarray:
    """Positions (n,), at most `most`, of frames that are followed by a frame of the same video without a gap.

    Args:
        tolerance: largest step of the frame number that is not a gap.
    """
    follows = (footage.videos[1:] == footage.videos[:-1]) & (np.diff(footage.frames) <= tolerance)
    return spread(np.flatnonzero(follows), most)


def flow_step(typical: float, wanted: float) -> int:
    """Number of frames, 1 to `MAX_STEP`, in which a speed of `typical` pixels per frame covers `wanted` pixels."""
    return int(np.clip(round(wanted / typical), 1, MAX_STEP))
