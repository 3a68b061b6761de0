"""Temporal smoothing in frame time, weighted by frame reliability.

Reads (N,) scores with their videos, frame numbers and reliabilities; makes (N,) smoothed scores. Videos are smoothed
separately. Normalised convolution (Knutsson & Westin 1993): an unreliable frame takes the scores of its neighbours, and
the end of a video or a gap in the frame numbers counts as missing data, not as zero.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import correlate1d

from pixelplay.data.footage import segments

TRUNCATE = 4.0
MAX_GAP = 25
TRUST = 0.1
"""Share of reliable kernel weight below which a score is shrunk towards the median of its video."""


def smooth(values: np.ndarray, videos: np.ndarray, frames: np.ndarray, reliability: np.ndarray | None = None, *,
           sigma: float, causal: bool = False, max_gap: int = MAX_GAP) -> np.ndarray:
    """Gaussian smoothing within each video.

    Args:
        values: (N,) finite calibrated scores (averages and medians of them must make sense).
        videos, frames: (N,) names and frame numbers in manifest order.
        reliability: (N,) in [0, 1]; None = all 1.
        sigma: standard deviation in frames; 0 leaves reliable frames unchanged.
        causal: use no later frame (live).
        max_gap: largest step of the frame number within a segment; segments are smoothed separately.
    Returns:
        (N,) float64, finite.
    Raises:
        ValueError: non-finite values, negative sigma, or reliabilities outside [0, 1].
    """
    values = np.asarray(values, dtype=np.float64)
    trust = np.ones(len(values)) if reliability is None else np.asarray(reliability, dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError("scores to be smoothed must be finite")
    if sigma < 0 or not ((trust >= 0) & (trust <= 1)).all():
        raise ValueError("sigma must not be negative, reliabilities must lie in [0, 1]")
    kernel = gaussian_kernel(sigma, causal)
    out = np.empty(len(values))
    for video in segments(np.asarray(videos), np.asarray(frames), np.iinfo(np.int64).max):
        inside = segments(np.asarray(videos)[video], np.asarray(frames)[video], max_gap)
        for piece in inside:
            rows = slice(video.start + piece.start, video.start + piece.stop)
            out[rows] = _piece(values, np.asarray(frames), trust, rows, video, kernel, causal)
    return out


def gaussian_kernel(sigma: float, causal: bool = False) -> np.ndarray:
    """(2 radius + 1,) weights over frame distance that sum to 1; zero for later frames if `causal`."""
    radius = int(TRUNCATE * sigma + 0.5)
    steps = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (steps / sigma) ** 2) if sigma > 0 else np.ones(1)
    if causal:
        kernel[steps > 0] = 0.0
    return kernel / kernel.sum()


def _piece(values: np.ndarray, frames: np.ndarray, trust: np.ndarray, rows: slice, video: slice, kernel: np.ndarray,
           causal: bool) -> np.ndarray:
    """Smooth one segment, on a grid with one cell per frame number."""
    at = frames[rows] - frames[rows.start]
    present, weight, weighted = np.zeros((3, int(at[-1]) + 1))
    # relative to a score of the segment, so that equal scores stay equal to the last bit
    base = values[rows.start]
    present[at], weight[at], weighted[at] = 1.0, trust[rows], trust[rows] * (values[rows] - base)
    seen, known, total = (correlate1d(x, kernel, mode="constant")[at] for x in (present, weight, weighted))
    share = np.clip(known / seen / TRUST, 0.0, 1.0)
    mean = base + np.divide(total, known, out=np.zeros_like(total), where=known > 0)
    if (share == 1.0).all():
        return mean
    if not causal:
        return share * mean + (1 - share) * reliable_median(values[video], trust[video])
    for k in np.flatnonzero(share < 1.0):
        past = slice(video.start, rows.start + int(k) + 1)
        mean[k] = share[k] * mean[k] + (1 - share[k]) * reliable_median(values[past], trust[past])
    return mean


def reliable_median(values: np.ndarray, trust: np.ndarray) -> float:
    """Median weighted by reliability; the plain median if no frame is reliable."""
    if not trust.any():
        return float(np.median(values))
    order = np.argsort(values, kind="stable")
    running = np.cumsum(trust[order])
    return float(values[order][np.searchsorted(running, 0.5 * running[-1])])
