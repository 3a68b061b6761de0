"""A small layered graph drawing: boxes and arrows.

Reads nodes and edges; makes a Figure. Columns follow the longest path from an input; rows are the levels of the boxes
(of a network: one per resolution, so that a U-Net has the shape of a U).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from pixelplay.visual import style


@dataclasses.dataclass(frozen=True)
class Node:
    """One box: a bold heading, further lines, a colour, and its level (0 = top)."""

    key: str
    heading: str
    lines: tuple[str, ...] = ()
    colour: str = style.SKY
    level: int = 0


@dataclasses.dataclass(frozen=True)
class Edge:
    """An arrow between two keys, labelled `words`; an edge from a box to itself is a loop above it."""

    start: str
    end: str
    words: str = ""


def columns(nodes: Sequence[Node], edges: Sequence[Edge]) -> dict[str, int]:
    """Key -> column: length of the longest path from a source; self-loops are ignored.

    Raises:
        ValueError: a cycle, or an edge to an unknown box.
    """
    keys = [n.key for n in nodes]
    before: dict[str, set[str]] = {k: set() for k in keys}
    for e in edges:
        if e.start not in before or e.end not in before:
            raise ValueError(f"an arrow from {e.start} to {e.end} misses a box")
        if e.start != e.end:
            before[e.end].add(e.start)
    place: dict[str, int] = {}
    while len(place) < len(keys):
        ready = [k for k in keys if k not in place and before[k] <= place.keys()]
        if not ready:
            raise ValueError(f"the arrows run in a circle through {', '.join(k for k in keys if k not in place)}")
        for k in ready:
            place[k] = max((place[b] + 1 for b in before[k]), default=0)
    return place


def rows(nodes: Sequence[Node], column: dict[str, int]) -> dict[str, float]:
    """Key -> height of its centre, the top line at 0. A level is as high as its fullest column; boxes that are alone in
    their column are centred in the level."""
    cells: dict[tuple[int, int], list[str]] = {}
    for n in nodes:
        cells.setdefault((n.level, column[n.key]), []).append(n.key)
    height, top = {}, 0.0
    for level in sorted({n.level for n in nodes}):
        lines = max(len(keys) for (at, _), keys in cells.items() if at == level)
        for (at, _), keys in cells.items():
            if at == level:
                for i, key in enumerate(keys):
                    height[key] = top - (lines - 1) / 2 + (len(keys) - 1) / 2 - i
        top -= lines
    return height


def draw_graph(nodes: Sequence[Node], edges: Sequence[Edge], *, title: str = "", note: str = "",
               row_height: float = 1.0, column_width: float = 1.75) -> Figure:
    """The whole drawing, with `note` below it in small print."""
    column = columns(nodes, edges)
    height = rows(nodes, column)
    wide = max(column.values(), default=0) + 1
    low, high = min(height.values(), default=0.0), max(height.values(), default=0.0)
    extra = (0.4 if title else 0.0) + (0.3 if note else 0.0)
    figure = style.new_figure(column_width * wide + 0.2, row_height * (high - low + 1) + 0.2 + extra)
    axes = figure.subplots()
    axes.set_xlim(-0.5, wide - 0.5)
    axes.set_ylim(low - 0.5, high + 0.6)
    axes.axis("off")
    for e in edges:
        _draw_edge(axes, e, column, height)
    for n in nodes:
        x, y = column[n.key], height[n.key]
        axes.add_patch(FancyBboxPatch((x - HALF, y - TALL), 2 * HALF, 2 * TALL,
                                      boxstyle="round,pad=0,rounding_size=0.05", facecolor=n.colour,
                                      edgecolor="#202020", lw=0.9, zorder=3))
        text = [n.heading, *n.lines]
        for i, line in enumerate(text):
            axes.text(x, y + LINE * ((len(text) - 1) / 2 - i), line, ha="center", va="center", zorder=4,
                      fontsize=8 if i == 0 else 7, weight="bold" if i == 0 else "normal")
    if title:
        figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    if note:
        figure.supxlabel(note, fontsize=8, x=0.01, ha="left")
    return figure


HALF, TALL, LINE = 0.41, 0.35, 0.17
"""Half a box's width and height, and the distance of its lines, in columns and rows."""


def _draw_edge(axes: Axes, edge: Edge, column: dict[str, int], height: dict[str, float]) -> None:
    look = {"arrowstyle": "-|>", "mutation_scale": 9, "color": "#555555", "lw": 1.1, "shrinkA": 0, "shrinkB": 0}
    x0, y0, x1, y1 = column[edge.start], height[edge.start], column[edge.end], height[edge.end]
    if edge.start == edge.end:
        axes.add_patch(FancyArrowPatch((x0 + 0.18, y0 + TALL), (x0 - 0.18, y0 + TALL), zorder=2,
                                       connectionstyle="arc3,rad=0.7", **look))
        return
    between = [k for k in column if x0 < column[k] < x1 and abs(height[k] - y0) < 0.5]
    if x1 - x0 == 1 or (y0 != y1 and not between):
        # along the row of the start, then up or down just before the end
        bend = f"angle,angleA=0,angleB={90 if y1 < y0 else -90},rad=4" if y0 != y1 and x1 - x0 > 1 else "arc3,rad=0"
        end = (x1, y1 + (TALL if y1 < y0 else -TALL)) if y0 != y1 and x1 - x0 > 1 else (x1 - HALF, y1)
        axes.add_patch(FancyArrowPatch((x0 + HALF, y0), end, connectionstyle=bend, zorder=1, **look))
    else:
        rad = 0.0 if not between else -0.18
        axes.add_patch(FancyArrowPatch((x0 + HALF, y0), (x1 - HALF, y1), connectionstyle=f"arc3,rad={rad}", zorder=1,
                                       **look))
    if edge.words:
        axes.text((x0 + x1) / 2, (y0 + y1) / 2 + 0.06, edge.words, fontsize=7, ha="center", va="bottom",
                  color="#404040", zorder=5)
