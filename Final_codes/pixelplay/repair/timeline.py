"""Fault detection from measurements: repeated, blank, badly exposed, blurred or shifted frames.

Reads measurements of the frames of one split and their ranges in training; makes bool arrays. Every threshold is a
training range plus slack, never a statistic of the test footage.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from pixelplay.data.footage import segments

LARGEST_STEP = 3
"""Largest step of the frame number between a frame and its repetition."""
FROZEN = 5
"""Number of repetitions in a row that count as a frozen camera; fewer are duplicates."""
SAMPLED = 4000
"""Approximate number of training frames whose change to the frame before is measured."""
BUSIER = 3.0
"""A duplicate needs this many times the change around it that repetitions in training have."""


@dataclasses.dataclass(frozen=True)
class RepeatModel:
    """Repetitions in normal footage. They are normal in static scenes only.

    Attributes:
        change: a frame is a repetition if its mean absolute difference to the frame before is at most this, in grey
            levels.
        around: largest value of `changes_around` in training, in grey levels; 0 if repetitions are rare there.
        longest: longest run of repetitions in training, in frames.
    """

    change: float
    around: float
    longest: int

    @classmethod
    def of(cls, change: np.ndarray) -> RepeatModel:
        """Fit to the (N,) differences of training frames to the frames before them, in order; NaN if there is none."""
        known = change[np.isfinite(change)]
        if len(known) == 0:
            return cls(0.0, 0.0, 0)
        # a third of the smallest training change: compression noise alone keeps real frames above it
        limit = min(0.3, float(np.quantile(known, 0.01)) / 3)
        repeated = np.where(np.isfinite(change), change, np.inf) <= limit
        if float(repeated.mean()) <= 0.002:
            return cls(limit, 0.0, 0)
        return cls(limit, float(changes_around(change, repeated)[repeated].max()), int(run_lengths(repeated).max()))


def changes(pixels: np.ndarray, rows: np.ndarray, videos: np.ndarray) -> np.ndarray:
    """Mean absolute difference to the frame before, for about `SAMPLED` evenly spread frames.

    Args:
        pixels: (N_all, h, w, 3) working-size frames.
        rows, videos: (N,) positions and video names in order.
    Returns:
        (N,) float64 grey levels; NaN at the first frame of a video and for frames that are not sampled.
    """
    out = np.full(len(rows), np.nan)
    step = max(1, -(-len(rows) // SAMPLED))
    for i in range(1, len(rows)):
        # sample runs of eight frames, to see consecutive repetitions
        if videos[i] == videos[i - 1] and (i // 8) % step == 0:
            out[i] = change(pixels[rows[i]], pixels[rows[i - 1]])
    return out


def change(frame: np.ndarray, before: np.ndarray) -> float:
    """Mean absolute difference of two (h, w, 3) uint8 frames on every second row and column, in grey levels."""
    return float(np.abs(frame[::2, ::2].astype(np.int16) - before[::2, ::2]).mean())


def run_lengths(flags: np.ndarray) -> np.ndarray:
    """(N,) bool -> (N,) int64: length of the run of True around each row, 0 for False."""
    out = np.zeros(len(flags), np.int64)
    for start, stop in _true_runs(flags):
        out[start:stop] = stop - start
    return out


def _true_runs(flags: np.ndarray) -> zip:
    """(start, stop) of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return zip(edges[::2], edges[1::2])


def changes_around(change: np.ndarray, repeated: np.ndarray) -> np.ndarray:
    """The smaller of the changes just before and just after each run of repetitions.

    Args:
        change: (N,) difference to the row before, NaN if unknown.
        repeated: (N,) bool.
    Returns:
        (N,) float64, constant over a run; 0 outside runs and where neither change is known.
    """
    padded, out = np.concatenate([[np.nan], change, [np.nan]]), np.zeros(len(change))
    for start, stop in _true_runs(repeated):
        out[start:stop] = np.nan_to_num(np.fmin(padded[start], padded[stop + 1]))
    return out


def repetitions(change: np.ndarray, videos: np.ndarray, frames: np.ndarray, ignore: np.ndarray, damaged: np.ndarray,
                model: RepeatModel) -> tuple[np.ndarray, np.ndarray]:
    """Detect frames that repeat the frame before.

    Args:
        change: (N,) mean absolute difference to the row before in the same video, NaN at the first row of a video.
        videos, frames: (N,) video names and frame numbers.
        ignore: (N,) bool, blank or unreadable rows, never repetitions.
        damaged: (N,) bool, noisy or flipped rows, whose differences do not measure motion.
        model: of the training footage.
    Returns:
        (duplicate, frozen): two (N,) bool arrays, exclusive.
    """
    repeated = np.where(np.isfinite(change), change, np.inf) <= model.change
    repeated &= ~ignore
    damaged = damaged | ignore
    moved = np.where(damaged | np.concatenate([[False], damaged[:-1]]), np.nan, change)
    frozen, short = np.zeros(len(change), bool), np.zeros(len(change), bool)
    for part in segments(videos, frames, LARGEST_STEP):
        lengths = run_lengths(repeated[part])
        frozen[part] = lengths >= (max(FROZEN, 2 * model.longest + 4) if model.longest else FROZEN)
        busy = changes_around(moved[part], repeated[part]) >= BUSIER * model.around
        short[part] = (lengths > 0) & ~frozen[part] & busy
    return short, frozen


def judge(measured: dict[str, np.ndarray], normal: dict[str, tuple[float, float]]) -> dict[str, np.ndarray]:
    """Compare measurements with the training ranges of a scene.

    Args:
        measured: `geometry.COLUMNS` -> (N,) values of the frames of one scene.
        normal: the same names -> (low, high) in training.
    Returns:
        'blank', 'exposure', 'blur', 'shift' -> (N,) bool.
    """
    low_contrast = max(2.0, 0.15 * normal["contrast"][0])
    blank = measured["contrast"] < low_contrast
    gain = np.maximum(measured["gain"], 1e-3)
    normal_gain = max(abs(np.log(max(g, 1e-3))) for g in normal["gain"])
    middle = gain * 128 + measured["offset"] - 128
    normal_middle = max(abs(g * 128 + o - 128) for g, o in zip(normal["gain"], normal["offset"]))
    exposure = ~blank & ((np.abs(np.log(gain)) > normal_gain + np.log(1.2)) | (np.abs(middle) > normal_middle + 25))
    blurred = measured["sharpness"] < 0.6 * normal["sharpness"][0]
    shift = ~blank & (np.hypot(measured["dx"], measured["dy"]) > shift_limit(normal))
    # clipping removes detail too: a badly exposed frame is not flagged as blurred
    blur = ~blank & ~exposure & ~shift & blurred
    return {"blank": blank, "exposure": exposure, "blur": blur, "shift": shift}


def shift_limit(normal: dict[str, tuple[float, float]]) -> float:
    """Shift in working-size pixels above which a single frame counts as shifted; argument as for `judge`."""
    return max(abs(v) for name in ("dx", "dy") for v in normal[name]) + 1.0
