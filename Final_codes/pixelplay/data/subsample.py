"""Evenly spread subsamples: which frames stand for many."""

from __future__ import annotations

import numpy as np


def spread(items: int | np.ndarray, most: int, *, rounded: bool = False) -> np.ndarray:
    """At most `most` items, evenly spread from the first to the last, in order and each once.

    Args:
        items: a count N, for the positions 0..N-1, or (N,) anything to choose from.
        rounded: take the nearest position to each even step instead of the one before it. What is learnt from a
            subsample depends on it, so callers keep the rule they were measured with.
    Returns:
        (min(N, most),) int64 positions, or the chosen items.
    """
    count = items if isinstance(items, int) else len(items)
    steps = np.linspace(0, count - 1, min(count, most))
    picks = (steps.round() if rounded else steps).astype(np.int64)
    return picks if isinstance(items, int) else items[picks]
