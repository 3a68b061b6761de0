"""Contact sheet of repair: frames as recorded, and as the models see them.

Reads pairs of images; makes a Figure.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from pixelplay.visual import style


@dataclasses.dataclass(frozen=True)
class Pair:
    """One frame before and after repair (RGB), its Id and its flags."""

    title: str
    before: np.ndarray
    after: np.ndarray
    flags: str


def repair_sheet(pairs: Sequence[Pair]) -> Figure:
    """Each pair one above the other, with its flags in words. Raises ValueError for an empty list."""
    if not pairs:
        raise ValueError("a contact sheet needs at least one pair")
    columns = min(4, len(pairs))
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
