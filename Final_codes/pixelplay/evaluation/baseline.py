"""The baseline every model must beat: frame differencing.

Reads footage; makes (N,) scores: the mean absolute grey difference to the previous frame, in grey levels.
"""

from __future__ import annotations

import numpy as np

from pixelplay.data.footage import Footage, segments

NAME = "frame_difference"
BLOCK = 256


def frame_difference(footage: Footage) -> np.ndarray:
    """(N,) float64. The first frame after a gap or of a video takes the next one's difference; a frame that has
    no neighbour takes 0, the score of a still picture."""
    out = np.zeros(len(footage))
    for piece in segments(footage.videos, footage.frames):
        length = piece.stop - piece.start
        for start in range(1, length, BLOCK):
            stop = min(start + BLOCK, length)
            grey = footage.batch(np.arange(piece.start + start - 1, piece.start + stop)).mean(axis=3, dtype=np.float32)
            out[piece.start + start:piece.start + stop] = np.abs(np.diff(grey, axis=0)).mean(axis=(1, 2))
        if length > 1:
            out[piece.start] = out[piece.start + 1]
    return out
