"""Selection of the actor that shows an event best.

Reads a `RunFolder`; makes a test row and the number of a box in it. The top-scoring actor of an event is often a part
of the body, or a walker beside a fast object: among the actors that score nearly as high, prefer a large one in which
the autoencoders also have a high error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from pixelplay.visual.people import ACTOR_NOTE, Box
from pixelplay.visual.run_folder import RunFolder

Heat = Callable[[int], np.ndarray | None]
SCORES_AS_HIGH = 0.8
"""Smallest score of a candidate, as a share of the top score."""


def best_actor(run: RunFolder, rows: Sequence[int], heat: Heat | None, *, peak: int | None = None,
               compared: bool = False) -> tuple[int, int] | None:
    """(test row, number of the box) of the actor to show.

    Args:
        rows: candidate test rows; peak: row that the actor should be near to.
        heat: row -> heat map, as from `overlays.heat_function`.
        compared: only actors whose nearest training actor has a picture.
    Returns:
        None if no actor is unusual.
    """
    people = run.people
    if people is None:
        return None
    found = [(box, r, b) for r in rows for b, box in enumerate(people.boxes(r))
             if box.score >= ACTOR_NOTE and (not compared or run.nearest_normal(r, b) is not None)]
    least = SCORES_AS_HIGH * max((box.score for box, _, _ in found), default=0.0)
    found = [one for one in found if one[0].score >= least]
    if not found:
        return None
    flags, maps = run.test["flags"].to_numpy(object), {r: heat(r) if heat else None for _, r, _ in found}
    glow = [_mean_heat(maps[r], box, run.footage("test").full_size) for box, r, _ in found]

    def fitness(i: int) -> tuple:
        box, r, b = found[i]
        return (flags[r] == "", glow[i] >= 0.5 * max(glow), people.nearest(r, b) is not None, _area(box),
                0 if peak is None else -abs(r - peak))

    return found[max(range(len(found)), key=fitness)][1:]


def _area(box: Box) -> float:
    x0, y0, x1, y1 = box.xyxy
    return (x1 - x0) * (y1 - y0)


def _mean_heat(heat: np.ndarray | None, box: Box, shape: tuple[int, int]) -> float:
    """Mean of a heat map (h, w) inside a box of a frame of `shape` (H, W)."""
    if heat is None:
        return 0.0
    x0, y0, x1, y1 = np.array(box.xyxy) * np.tile(np.array(heat.shape[::-1]) / shape[::-1], 2)
    inside = heat[max(0, int(y0)):max(1, int(np.ceil(y1))), max(0, int(x0)):max(1, int(np.ceil(x1)))]
    return float(np.nan_to_num(inside).mean()) if inside.size else 0.0
