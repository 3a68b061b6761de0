"""Evenly spaced subsamples."""

from __future__ import annotations

import numpy as np


def spread(items: int | np.ndarray, most: int, *, rounded: bool = False) -> np.ndarray:
    """At most `most` evenly spaced items including the first and the last, in order.

    Args:
        items: a count N, for the positions 0..N-1, or an array of N items.
        rounded: round positions to the nearest integer instead of down. Results depend on it, so callers keep the rule
            they were measured with.
    Returns:
        (min(N, most),) int64 positions, or the chosen items.
    """
    count = items if isinstance(items, int) else len(items)
    steps = np.linspace(0, count - 1, min(count, most))
    picks = (steps.round() if rounded else steps).astype(np.int64)
    return picks if isinstance(items, int) else items[picks]
