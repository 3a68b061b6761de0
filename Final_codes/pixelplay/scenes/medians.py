"""Per-pixel medians over many frames, in blocks of rows: `np.median` copies its input, blocks bound that copy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import DTypeLike

BLOCK = 32
"""Rows per block."""


def row_blocks(height: int) -> Iterator[slice]:
    """Slices that split the rows of an image into blocks."""
    return (slice(top, top + BLOCK) for top in range(0, height, BLOCK))


def pixel_median(frames: np.ndarray, dtype: DTypeLike = np.float64, *, lower: bool = False) -> np.ndarray:
    """Median of (N, H, W, ...) frames over N >= 1.

    Args:
        dtype: of the result; integer types truncate the mean of the two middle values of an even N.
        lower: take the lower of the two middle values instead of their mean.
    Returns:
        (H, W, ...).
    """
    out = np.empty(frames.shape[1:], dtype)
    for rows in row_blocks(frames.shape[1]):
        block = frames[:, rows]
        out[rows] = np.quantile(block, 0.5, axis=0, method="lower") if lower else np.median(block, axis=0)
    return out


def median_thumbnail(frames: Iterable[np.ndarray], thumbnail: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """float32 median of the thumbnails of at least one frame."""
    return np.median([thumbnail(frame) for frame in frames], axis=0).astype(np.float32)
