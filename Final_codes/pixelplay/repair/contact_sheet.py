"""Pairs of raw and repaired frames for figures.

Reads a finished stage 1; returns arrays. `visual` draws them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pixelplay.data.extraction import open_raw_footage
from pixelplay.repair.stage import open_footage


def before_after(folder: Path, k: int = 8, seed: int = 0) -> list[tuple[str, str, np.ndarray, np.ndarray]]:
    """Up to `k` flagged test frames, covering every combination of flags before repeating any.

    Args:
        folder: of stage 1.
        k: maximum number of pairs.
        seed: for the choice among frames with the same flags.
    Returns:
        (Id, flags, raw, repaired) in manifest order; both pictures (H, W, 3) uint8 RGB at full size.
    """
    footage, raw = open_footage(folder, "test"), open_raw_footage(folder, "test")
    rng = np.random.default_rng(seed)
    groups = [rng.permutation(np.flatnonzero(footage.flags == f)) for f in sorted(set(footage.flags.tolist()) - {""})]
    groups.sort(key=len, reverse=True)
    order = [group[turn] for turn in range(k) for group in groups if turn < len(group)]
    picks = np.sort(np.array(order[:k], dtype=np.int64))
    frames = zip(raw.open_stream(picks), footage.open_stream(picks))
    return [(footage.ids[i], footage.flags[i], before, after) for i, (before, after) in zip(picks, frames)]
