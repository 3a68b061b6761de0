"""From actor scores to frame scores: maxima, interpolation between evaluated frames, and the reason in words.

Reads per-actor scores; makes one finite score per frame.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pixelplay.data.footage import segments


def frame_maxima(values: np.ndarray, position: np.ndarray, count: int) -> np.ndarray:
    """Highest actor score of each frame.

    Args:
        values: (M,) actor scores, NaN = not measured; position: (M,) frame of each actor; count: number of frames.
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
    """Interpolate linearly in the frame number between evaluated frames, within a segment.

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
    """Replace `missing` scores by the nearest valid score of their video, or by `default` if it has none.

    Args:
        values: (N,) finite where not `missing`; missing: (N,) bool; frames: (N,) frame numbers.
    """
    out = values.copy()
    for part in segments(videos, frames, np.iinfo(np.int64).max):
        known = part.start + np.flatnonzero(~missing[part])
        for row in part.start + np.flatnonzero(missing[part]):
            out[row] = values[known[np.abs(frames[known] - frames[row]).argmin()]] if len(known) else default
    return out


def reason(deviations: Mapping[str, float], words: Mapping[str, str], actor_class: int) -> str:
    """The channel furthest above normal, in words, from a z-score of 3; '' below.

    Args:
        deviations: channel -> z-score, NaN = not measured; words: channel -> its phrase.
        actor_class: COCO number, -1 = foreground.
    """
    what = "object" if actor_class < 0 else "person" if actor_class == 0 else f"COCO class {actor_class}"
    strongest = max(deviations, key=lambda name: np.nan_to_num(deviations[name], nan=-np.inf))
    return f"{what} {words[strongest]}" if deviations[strongest] >= 3 else ""
