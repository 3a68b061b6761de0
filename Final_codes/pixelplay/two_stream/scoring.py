"""From actors to frames: maxima, floors, gaps between evaluated frames, and the words a report shows.

Reads per-actor scores; makes one finite score a frame.
"""

from __future__ import annotations

import numpy as np

from pixelplay.calibration import Rarity  # noqa: F401 - where parts of a stream look for it
from pixelplay.data.footage import segments


def frame_maxima(values: np.ndarray, position: np.ndarray, count: int) -> np.ndarray:
    """Highest score among the actors of each frame.

    Args:
        values: (M,) actor scores, NaN = not measured; position: (M,) frame of each; count: frames.
    Returns:
        (count,) float64, NaN for a frame without a measured actor.
    """
    out = np.full(count, -np.inf)
    known = np.isfinite(values)
    np.maximum.at(out, position[known], values[known])
    out[np.isinf(out)] = np.nan
    return out


def fill_between(values: np.ndarray, evaluated: np.ndarray, videos: np.ndarray, frames: np.ndarray, tolerance: int
                 ) -> np.ndarray:
    """Scores of frames between evaluated ones, linear in the frame number, never across a gap or a video's border.

    Args:
        values: (N,) finite where `evaluated`.
        evaluated: (N,) bool, at least one frame in every segment.
    """
    out = values.copy()
    for part in segments(videos, frames, tolerance):
        known = part.start + np.flatnonzero(evaluated[part])
        out[part] = np.interp(frames[part], frames[known], values[known])
    return out


def fill_missing(values: np.ndarray, missing: np.ndarray, videos: np.ndarray, frames: np.ndarray, default: float
                 ) -> np.ndarray:
    """Scores with the `missing` ones replaced by the nearest valid one of their video, or `default` where it has none.

    Args:
        values: (N,) finite where not `missing`; missing: (N,) bool; frames: (N,) frame numbers.
    """
    out = values.copy()
    for part in segments(videos, frames, np.iinfo(np.int64).max):
        known = part.start + np.flatnonzero(~missing[part])
        for row in part.start + np.flatnonzero(missing[part]):
            out[row] = values[known[np.abs(frames[known] - frames[row]).argmin()]] if len(known) else default
    return out


def reason(motion_z: float, appearance_z: float, ratio: float, actor_class: int) -> str:
    """Why an actor stands out, in words: the part that is furthest above normal, from 3 deviations on.

    NaN = not measured; `ratio` is its speed over the usual top speed.
    """
    what = "object" if actor_class < 0 else "person" if actor_class == 0 else f"COCO class {actor_class}"
    words = {f"{what} moves {ratio:.1f} x the usual top speed here": motion_z,
             f"{what} looks like nothing in training": appearance_z}
    strongest = max(words, key=lambda w: np.nan_to_num(words[w], nan=-np.inf))
    return strongest if words[strongest] >= 3 else ""
