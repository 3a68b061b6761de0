"""Contact sheet of repair: frames as recorded, and as the models see them.

Reads a finished stage 1; makes pairs of frames and a Figure.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from pixelplay.data.extraction import open_raw_footage
from pixelplay.repair.stage import open_footage
from pixelplay.visual import style

COLUMNS = 4
"""Maximum number of pairs per row."""


@dataclasses.dataclass(frozen=True)
class Pair:
    """One frame before and after repair (RGB), its Id and its flags."""

    title: str
    before: np.ndarray
    after: np.ndarray
    flags: str


def flagged_pairs(folder: Path, count: int) -> list[Pair]:
    """Up to `count` flagged test frames in manifest order, covering every combination of flags before repeating any.

    Args:
        folder: of stage 1.
        count: maximum number of pairs; frames are full-size.
    """
    footage, raw = open_footage(folder, "test"), open_raw_footage(folder, "test")
    rng = np.random.default_rng(0)
    groups = [rng.permutation(np.flatnonzero(footage.flags == f)) for f in sorted(set(footage.flags.tolist()) - {""})]
    groups.sort(key=len, reverse=True)
    order = [group[turn] for turn in range(count) for group in groups if turn < len(group)]
    picks = np.sort(np.array(order[:count], dtype=np.int64))
    frames = zip(raw.open_stream(picks), footage.open_stream(picks))
    return [Pair(str(footage.ids[i]), before, after, footage.flags[i]) for i, (before, after) in zip(picks, frames)]


def repair_sheet(pairs: Sequence[Pair]) -> Figure:
    """Each pair one above the other, with its flags in words. Raises ValueError for an empty list."""
    if not pairs:
        raise ValueError("a contact sheet needs at least one pair")
    columns = min(COLUMNS, len(pairs))
    rows = -(-len(pairs) // columns)
    aspect = pairs[0].before.shape[0] / pairs[0].before.shape[1]
    figure = style.new_figure(2.5 * columns, 0.5 + rows * (2 * 2.4 * aspect + 0.45), photo=True)
    grid = figure.subplots(2 * rows, columns, squeeze=False)
    for axes in grid.ravel():
        axes.set_visible(False)
    for i, pair in enumerate(pairs):
        top, bottom = grid[2 * (i // columns), i % columns], grid[2 * (i // columns) + 1, i % columns]
        for axes, image in ((top, pair.before), (bottom, pair.after)):
            axes.set_visible(True)
            style.picture(axes, image)
        top.set_title(f"{pair.title}: {pair.flags.replace('|', ', ') or 'fine'}", fontsize=8)
        if i % columns == 0:
            top.set_ylabel("before", fontsize=8)
            bottom.set_ylabel("after", fontsize=8)
    figure.suptitle("Before and after repair", fontsize=11, x=0.01, ha="left")
    return figure
