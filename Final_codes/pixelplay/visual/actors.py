"""Figures of actors: the unusual actors of a frame, the reason, and their nearest training crops.

Reads a frame, boxes with calibrated scores and reasons, and crops; makes Figures.
"""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure, SubFigure

from pixelplay.visual import style
from pixelplay.visual.annotate import draw_boxes
from pixelplay.visual.people import Box


@dataclasses.dataclass(frozen=True)
class Comparison:
    """An actor beside its nearest training crop.

    Attributes:
        crop, nearest: RGB images; `nearest` is None if no picture of it was kept.
        words: score and reason; nearest_words: origin of the training crop.
    """

    crop: np.ndarray
    nearest: np.ndarray | None
    words: str
    nearest_words: str = ""


def actors_figure(frame: np.ndarray, boxes: Sequence[Box], comparisons: Sequence[Comparison], *,
                  title: str = "") -> Figure:
    """The frame, boxes coloured by score, and beside it the top-scoring actors with their nearest training crops."""
    drawn, shown = np.ascontiguousarray(frame).copy(), list(comparisons)[:3]
    draw_boxes(drawn, boxes, words=False)  # the words are beside the frame
    figure = style.new_figure(11 if shown else 6.5, 4.2, photo=True)
    left, right = figure.subfigures(1, 2, width_ratios=[2.1, 1]) if shown else (figure, None)
    style.picture(left.subplots(), drawn, title or "actors by score")
    if right is not None:
        compare(right, shown)
    return figure


def compare(figure: Figure | SubFigure, shown: Sequence[Comparison]) -> None:
    """Fill a figure with one row per pair: the actor with its reason, and its nearest training crop."""
    grid = figure.subplots(len(shown), 2, squeeze=False)
    for (a, b), comparison in zip(grid, shown):
        style.picture(a, square(comparison.crop))
        a.set_xlabel(textwrap.fill(comparison.words, 26), fontsize=8)
        if comparison.nearest is None:
            b.set_visible(False)
        else:
            style.picture(b, square(comparison.nearest))
            b.set_xlabel(textwrap.fill(comparison.nearest_words, 22), fontsize=8)
    grid[0, 0].set_title("this actor", fontsize=10)
    grid[0, 1].set_title("nearest in training", fontsize=10)


def nearest_figure(shown: Sequence[Comparison], *, title: str = "") -> Figure:
    """Actors in a row, each above its nearest training crop.

    Raises:
        ValueError: no actors.
    """
    if not shown:
        raise ValueError("a comparison needs at least one actor")
    figure = style.new_figure(2.0 * len(shown) + 0.6, 4.8, photo=True)
    grid = figure.subplots(2, len(shown), squeeze=False)
    for (above, below), comparison in zip(grid.T, shown):
        style.picture(above, square(comparison.crop))
        above.set_title(textwrap.fill(comparison.words, 24), fontsize=8)
        if comparison.nearest is None:
            below.set_visible(False)
        else:
            style.picture(below, square(comparison.nearest))
            below.set_title(textwrap.fill(comparison.nearest_words, 24), fontsize=8)
    grid[0, 0].set_ylabel("unusual actor", fontsize=9)
    grid[1, 0].set_ylabel("nearest in training", fontsize=9)
    if title:
        figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    return figure


def square(image: np.ndarray) -> np.ndarray:
    """A crop (H, W, 3) centred on a white square, so that crops of any shape align."""
    side = max(image.shape[:2])
    out = np.full((side, side, 3), 255, np.uint8)
    top, left = (side - image.shape[0]) // 2, (side - image.shape[1]) // 2
    out[top:top + image.shape[0], left:left + image.shape[1]] = image
    return out


def crop(frame: np.ndarray, xyxy: Sequence[float]) -> np.ndarray:
    """Square part of a frame (H, W, 3) around a box: twice its longer side, at least 96 pixels, inside the frame."""
    x0, y0, x1, y1 = (float(v) for v in xyxy)
    height, width = frame.shape[:2]
    side = max(96, round(2 * max(x1 - x0, y1 - y0)))
    sides = min(side, height), min(side, width)
    top = int(np.clip(round((y0 + y1 - sides[0]) / 2), 0, height - sides[0]))
    left = int(np.clip(round((x0 + x1 - sides[1]) / 2), 0, width - sides[1]))
    return frame[top:top + sides[0], left:left + sides[1]]
