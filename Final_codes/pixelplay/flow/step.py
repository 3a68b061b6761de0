"""How many frames apart the two pictures of a flow should lie: far enough for what moves to stand out of sub-pixel
noise, near enough to be followed.

Speed maps (`speed.choose_baseline`) and actors (`two_stream.actor_table.probe_scene`) choose their own step, because
they measure different things: the first every place of working-size frames, of which the fast few per cent decide (a
mean weighted by speed, one pixel wanted); the second the median foreground pixel of frames at analysis size (three
pixels wanted). Which pairs of frames tell, what counts as moving and the choice itself are the same.
"""

from __future__ import annotations

import numpy as np

from pixelplay.data.footage import Footage
from pixelplay.data.subsample import spread

STILL = 0.1
"""Pixels per frame below which a place counts as still."""
MAX_STEP = 5


def neighbouring_pairs(footage: Footage, tolerance: int, most: int) -> np.ndarray:
    """(n,) positions, at most `most`, of frames whose successor shows the same video.

    Args:
        tolerance: largest step of the frame number that is not a gap in time.
    """
    follows = (footage.videos[1:] == footage.videos[:-1]) & (np.diff(footage.frames) <= tolerance)
    return spread(np.flatnonzero(follows), most)


def flow_step(typical: float, wanted: float) -> int:
    """Frames between the pictures of a flow, 1 to `MAX_STEP`, over which what moves `typical` pixels a frame moves
    `wanted` pixels."""
    return int(np.clip(round(wanted / typical), 1, MAX_STEP))
