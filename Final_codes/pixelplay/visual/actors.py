"""Actors: who in a frame is unusual, why, and what they were compared with.

Reads a frame, boxes with calibrated scores and reasons, and crops; makes Figures.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from pixelplay.visual import style
from pixelplay.visual.annotate import Box, draw_box, text_size


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One actor beside the training actor most like it.

    Attributes:
        crop, nearest: RGB images; `nearest` None where no crop of it was kept.
        words: score and reason; nearest_words: where the training crop comes from.
    """

    crop: np.ndarray
    nearest: np.ndarray | None
    words: str
    nearest_words: str = ""


def actors_figure(frame: np.ndarray, boxes: Sequence[Box], comparisons: Sequence[Comparison], *,
                  title: str = "") -> Figure:
    """The frame with its boxes coloured by score, and beside it the loudest actors with their nearest training crop."""
    drawn = np.ascontiguousarray(frame).copy()
    for box in sorted(boxes, key=lambda b: b.score):
        draw_box(drawn, box, text_size(frame.shape[0]))
    shown = list(comparisons)[:3]
    figure = style.new_figure(10 if shown else 6.5, 4.2, photo=True)
    left, right = figure.subfigures(1, 2, width_ratios=[1.75, 1]) if shown else (figure, None)
    style.picture(left.subplots(), drawn, title or "actors by score")
    if right is not None:
        grid = right.subplots(len(shown), 2, squeeze=False)
        for (a, b), comparison in zip(grid, shown):
            style.picture(a, comparison.crop)
            a.set_title(comparison.words, fontsize=8)
            if comparison.nearest is None:
                b.set_visible(False)
            else:
                style.picture(b, comparison.nearest)
                b.set_title(comparison.nearest_words, fontsize=8)
        grid[-1, 0].set_xlabel("actor", fontsize=9)
        grid[-1, 1].set_xlabel("nearest in training", fontsize=9)
    return figure


def crop(frame: np.ndarray, xyxy: Sequence[float], *, margin: float = 0.15) -> np.ndarray:
    """The part of a frame (H, W, 3) in a box and a margin around it; at least one pixel, never outside."""
    x0, y0, x1, y1 = (float(v) for v in xyxy)
    dx, dy = margin * (x1 - x0), margin * (y1 - y0)
    height, width = frame.shape[:2]
    left, top = int(np.clip(x0 - dx, 0, width - 1)), int(np.clip(y0 - dy, 0, height - 1))
    right, bottom = int(np.clip(np.ceil(x1 + dx), left + 1, width)), int(np.clip(np.ceil(y1 + dy), top + 1, height))
    return frame[top:bottom, left:right]
