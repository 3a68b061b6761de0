"""Figure of frames and their speed maps, on one scale.

Reads images and speed maps (arrays); makes a Figure.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from pixelplay.visual import style


@dataclasses.dataclass(frozen=True)
class SpeedRow:
    """One frame.

    Attributes:
        title: caption. image: (H, W, 3) uint8 RGB. speed: (h, w) float, pixels per frame.
    """

    title: str
    image: np.ndarray
    speed: np.ndarray


def speed_maps(rows: Sequence[SpeedRow]) -> Figure:
    """Frames above their speed maps, one column per frame; one colour scale from 0 to the 99.9th percentile.

    Raises:
        ValueError: no rows.
    """
    if not rows:
        raise ValueError("speed maps need at least one frame")
    aspect = rows[0].image.shape[0] / rows[0].image.shape[1]
    figure = style.new_figure(2.9 * len(rows) + 0.7, 5.8 * aspect + 0.5, photo=True)
    grid = figure.subplots(2, len(rows), squeeze=False)
    top = max(float(np.quantile(np.concatenate([np.ravel(r.speed).astype(np.float64) for r in rows]), 0.999)), 1e-3)
    scale = Normalize(0.0, top, clip=True)
    for above, below, row in zip(*grid, rows):
        style.picture(above, row.image, row.title)
        style.picture(below, row.speed.astype(np.float32), cmap="inferno", norm=scale)
    figure.colorbar(ScalarMappable(scale, "inferno"), ax=grid[1].tolist(), shrink=0.9, pad=0.01).set_label(
        "pixels per frame")
    return figure
