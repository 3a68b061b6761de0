"""Figures of error maps: what a model predicted, what it saw, and the error.

Reads images and error maps (arrays); makes Figures. All maps of a figure share one colour scale, so that rows are
comparable.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from pixelplay.visual import style


@dataclasses.dataclass(frozen=True)
class ErrorRow:
    """One frame with the output of one model.

    Attributes:
        title: the Id and whether the frame is normal.
        image: (H, W, 3) uint8 RGB.
        error: (h, w) float, any size, higher = less expected.
        prediction: (H', W'[, 3]) uint8; None if it was not kept.
    """

    title: str
    image: np.ndarray
    error: np.ndarray
    prediction: np.ndarray | None = None


def error_maps(rows: Sequence[ErrorRow], *, title: str = "", unit: str = "error") -> Figure:
    """Input | prediction | error | overlay, one row per frame; no prediction column if no row has one.

    The scale runs from 0 to the 99.8th percentile of all maps shown.
    Raises:
        ValueError: no rows.
    """
    if not rows:
        raise ValueError("error maps need at least one frame")
    predicted = any(r.prediction is not None for r in rows)
    columns = ["input", *(["prediction"] if predicted else []), "error", "overlay"]
    aspect = rows[0].image.shape[0] / rows[0].image.shape[1]
    figure = style.new_figure(2.6 * len(columns) + 0.8, 0.6 + (2.6 * aspect + 0.25) * len(rows), photo=True)
    grid = figure.subplots(len(rows), len(columns), squeeze=False)
    top = max(float(np.quantile(np.concatenate([np.ravel(r.error).astype(np.float64) for r in rows]), 0.998)), 1e-12)
    scale = Normalize(0.0, top, clip=True)
    for line, row in zip(grid, rows):
        cells = dict(zip(columns, line))
        style.picture(cells["input"], row.image)
        # left-aligned over the first picture, as the title of the row
        cells["input"].set_title(row.title, fontsize=9, loc="left")
        if predicted:
            if row.prediction is None:
                cells["prediction"].set_visible(False)
            else:
                # some networks have a slightly different aspect ratio: resize to that of the frame
                guess = cv2.resize(row.prediction, row.image.shape[1::-1], interpolation=cv2.INTER_AREA)
                style.picture(cells["prediction"], guess,
                              **({"cmap": "gray", "vmin": 0, "vmax": 255} if guess.ndim == 2 else {}))
        # resized to the picture, so that both show the same places side by side
        error = cv2.resize(np.asarray(row.error, dtype=np.float32), row.image.shape[1::-1],
                           interpolation=cv2.INTER_NEAREST)
        style.picture(cells["error"], error, cmap="inferno", norm=scale)
        style.picture(cells["overlay"], overlay(row.image, np.ma.filled(scale(row.error.astype(np.float64)), 0.0)))
    for name, axes in zip(columns, grid[-1]):
        axes.set_xlabel(name, fontsize=9)
    bar = figure.colorbar(ScalarMappable(scale, "inferno"), ax=grid, shrink=min(0.9, 2 / len(rows) + 0.4), pad=0.01)
    bar.set_label(unit, fontsize=9)
    bar.ax.tick_params(labelsize=8)
    if title:
        figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    return figure


def error_grid(images: Sequence[np.ndarray], names: Sequence[str], maps: Mapping[str, Sequence[np.ndarray]]) -> Figure:
    """Errors of every model on the same frames: the frames, then one row per model with its error over the grey frame.

    Args:
        images: n frames (H, W, 3) uint8; names: n titles above them.
        maps: row title -> n error maps (h, w); each model has its own scale, up to its highest map shown.
    """
    aspect = images[0].shape[0] / images[0].shape[1]
    figure = style.new_figure(3.1 * len(images) + 0.9, (3.1 * aspect + 0.06) * (len(maps) + 1) + 0.6, photo=True)
    grid = figure.subplots(len(maps) + 1, len(images), squeeze=False)
    for axes, image, words in zip(grid[0], images, names):
        style.picture(axes, image)
        axes.set_title(words, fontsize=10)
    grid[0, 0].set_ylabel("camera", fontsize=10)
    for line, (title, errors) in zip(grid[1:], maps.items()):
        top = max(float(np.quantile(np.concatenate([e.ravel() for e in errors]).astype(np.float64), 0.999)), 1e-12)
        for axes, image, error in zip(line, images, errors):
            style.picture(axes, overlay(image, np.clip(error.astype(np.float64) / top, 0, 1)))
        line[0].set_ylabel(title, fontsize=10)
    return figure


FLOOR = 0.4


def overlay(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """The image in grey with a heat map in [0, 1] as colour; heat below `FLOOR` is not drawn."""
    grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    share = cv2.resize(np.clip((np.nan_to_num(heat) - FLOOR) / (1 - FLOOR), 0, 1).astype(np.float32), grey.shape[::-1])
    colour = cv2.applyColorMap((share * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    share = 0.8 * share[..., None]
    return (grey[..., None] * (1 - share) + colour * share).astype(np.uint8)
