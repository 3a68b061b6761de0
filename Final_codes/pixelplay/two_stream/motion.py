"""Motion of actors: how fast each one moves, against what is usual where it stands and for its size.

Reads velocity fields, foreground masks and boxes; makes per-actor speeds (pixels of the original frame per frame) and
a `SpeedModel` of the training speeds. A speed is judged against the training median and 95th percentile among actors
in nearby image rows (perspective) of similar size (a few pixels of noise are no runner). How local that comparison is
- not at all, by row, by size, by both - is the choice that predicts the training videos best, each left out in turn.

The score is one-sided by construction: a speed between 0 and the usual is covered by normal actors that start, stop
and stand, and a zero is never rewarded with surprise. Attribute after Reiss and Hoshen, arXiv 2212.00789.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from pixelplay.two_stream.memory import folds

SPEEDS = ("mean", "upper")
"""Per-actor speeds: the mean over its pixels, and the 90th percentile of the slower of its two flow directions."""
BANDWIDTHS = ((np.inf, np.inf), (0.08, np.inf), (np.inf, 0.5), (0.08, 0.5))
"""Candidate kernels: standard deviation in (image heights, natural log of area); infinite = not local."""
LEVELS = (0.5, 0.95)
PRIOR = 30.0
"""Weight, in actors, of all training actors in every local estimate: a place nobody visited is judged globally."""
MAX_ACTORS = 8000
BINS = 8
"""Orientations of an actor's motion histogram, the first around rightwards, then clockwise in the image."""
MIN_MODE_ACTORS = 500


def actor_motion(velocities: Sequence[np.ndarray], mask: np.ndarray, boxes: np.ndarray,
                 scale: Sequence[float] | np.ndarray = (1.0, 1.0)) -> np.ndarray:
    """Motion of each actor of one frame.

    Args:
        velocities: one or two (h, w, 2) fields, pixels per frame forward in time, from the past and the future frame.
        mask: (h, w) bool foreground.
        boxes: (n, 4) xyxy in pixels of the fields.
        scale: width and height of such a pixel in original ones.
    Returns:
        (n, 5 + BINS) float32: mean speed, upper speed, mean x velocity, mean y velocity in original pixels per frame,
        area measured over in pixels of the fields; then the histogram: the mean speed that each orientation adds.
    """
    out, scale = np.zeros((len(boxes), 5 + BINS), np.float32), np.asarray(scale, np.float32)
    height, width = mask.shape
    for i, (x0, y0, x1, y1) in enumerate(boxes):
        part = (slice(max(int(y0), 0), min(max(int(np.ceil(y1)), int(y0) + 1), height)),
                slice(max(int(x0), 0), min(max(int(np.ceil(x1)), int(x0) + 1), width)))
        inside = mask[part]
        if inside.sum() < 0.1 * inside.size:  # a detection the background hides: measure the whole box
            inside = np.ones_like(inside)
        if not inside.any():
            continue
        flows = [v[part][inside] * scale for v in velocities]
        speeds = [np.hypot(f[:, 0], f[:, 1]) for f in flows]
        # a false match or an occlusion seldom happens towards both sides: the slower direction is the safer one
        slower = speeds[0] if len(speeds) == 1 else np.minimum(speeds[0], speeds[1])
        turn = np.arctan2(flows[0][:, 1], flows[0][:, 0]) * (BINS / (2 * np.pi))
        histogram = np.bincount(np.round(turn).astype(int) % BINS, speeds[0], BINS) / len(turn)
        out[i] = (speeds[0].mean(), np.percentile(slower, 90), *flows[0].mean(0), inside.sum(), *histogram)
    return out


@dataclasses.dataclass(frozen=True)
class Actors:
    """What the speed model knows about n actors.

    Attributes:
        speeds: (n, 2) mean and upper speed, original pixels per frame.
        row: (n,) lower edge of the box, 0 = top of the image, 1 = bottom.
        size: (n,) natural log of the area as a share of the image.
        mode: (n,) int background mode (camera or lighting).
        histogram: (n, BINS) mean speed by orientation, in heights of the actor's box per frame; None where a model
            of plain speeds is all that is wanted.
    """

    speeds: np.ndarray
    row: np.ndarray
    size: np.ndarray
    mode: np.ndarray
    histogram: np.ndarray | None = None

    def take(self, keep: np.ndarray) -> Actors:
        """The actors of a mask or of positions."""
        return Actors(self.speeds[keep], self.row[keep], self.size[keep], self.mode[keep],
                      None if self.histogram is None else self.histogram[keep])


GRID_ROW = np.linspace(0.0, 1.0, 21)
GRID_SIZE = np.linspace(np.log(1e-4), np.log(0.3), 14)


class SpeedModel:
    """Local median and 95th percentile of the training speeds.

    Attributes:
        bandwidths: ((row, size) per speed) the chosen kernels.
        tables: mode (-1 = all) -> (2 speeds, 2 levels, 21, 14) float32 quantiles on the grid.
        spread: (2,) smallest allowed distance between the two quantiles, original pixels per frame.
    """

    def __init__(self, bandwidths: tuple, tables: dict[int, np.ndarray], spread: np.ndarray):
        self.bandwidths, self.tables, self.spread = bandwidths, tables, spread

    @classmethod
    def fit(cls, actors: Actors, bandwidths: tuple) -> SpeedModel:
        """Fit with given kernels."""
        groups = {-1: np.arange(len(actors.row))}
        modes, counts = np.unique(actors.mode, return_counts=True)
        if len(modes) > 1:
            groups |= {int(m): np.flatnonzero(actors.mode == m) for m, c in zip(modes, counts) if c >= MIN_MODE_ACTORS}
        tables = {}
        for mode, members in groups.items():
            some = members[np.linspace(0, len(members) - 1, min(len(members), MAX_ACTORS)).astype(int)]
            part = actors.take(some)
            tables[mode] = np.stack([_quantile_table(part.speeds[:, s], part.row, part.size, bandwidths[s])
                                     for s in range(len(SPEEDS))])
        overall = np.quantile(actors.speeds, LEVELS, axis=0)
        # where everybody stands still the quantiles coincide; a tenth of the usual range keeps noise from exploding
        spread = np.maximum(0.1 * (overall[1] - overall[0]), 1e-3)
        return cls(bandwidths, tables, spread)

    def per_speed(self, actors: Actors) -> np.ndarray:
        """(n, 2): 0 = the local median, 1 = the local 95th percentile, 2 = as far beyond it again."""
        low, high = self._levels(actors)
        return (actors.speeds - low) / np.maximum(high - low, self.spread)

    def score(self, actors: Actors) -> np.ndarray:
        """(n,) float64: mean of `per_speed`, cut at 0: slower than usual is never an anomaly."""
        if len(actors.row) == 0:
            return np.zeros(0)
        return np.maximum(self.per_speed(actors), 0.0).mean(1)

    def _levels(self, actors: Actors) -> tuple[np.ndarray, np.ndarray]:
        out = np.empty((2, len(actors.row), len(SPEEDS)))
        for mode in np.unique(actors.mode):
            members = np.flatnonzero(actors.mode == mode)
            table = self.tables.get(int(mode), self.tables[-1])
            for s in range(len(SPEEDS)):
                for level in range(2):
                    out[level, members, s] = _interpolate(table[s, level], actors.row[members], actors.size[members])
        return out[0], out[1]

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything as arrays, for saving."""
        return {"bandwidths": np.asarray(self.bandwidths, np.float64), "spread": np.asarray(self.spread, np.float64),
                "modes": np.asarray(list(self.tables), np.int64), "tables": np.stack(list(self.tables.values()))}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> SpeedModel:
        """Undo `arrays`."""
        return cls(tuple(map(tuple, arrays["bandwidths"].tolist())),
                   dict(zip(arrays["modes"].tolist(), arrays["tables"])), arrays["spread"])


def fit_speeds(actors: Actors, videos: np.ndarray) -> tuple[SpeedModel, np.ndarray]:
    """Choose the kernels on held-out training videos and fit.

    Args:
        actors: of the training footage.
        videos: (n,) video of each actor.
    Returns:
        the model on all actors, and (n,) scores of each actor by a model without its video (with its own fold's
        where there are more than 16 videos).
    """
    if len(actors.row) == 0:
        tables = {-1: np.zeros((len(SPEEDS), 2, len(GRID_ROW), len(GRID_SIZE)))}
        return SpeedModel((BANDWIDTHS[0],) * len(SPEEDS), tables, np.full(len(SPEEDS), 1e-3)), np.zeros(0)
    fold = folds(videos)
    if len(np.unique(fold)) < 2:  # one actor: nothing can be held out, and nothing can be chosen
        model = SpeedModel.fit(actors, (BANDWIDTHS[0],) * len(SPEEDS))
        return model, model.score(actors)
    losses = np.zeros((len(BANDWIDTHS), len(SPEEDS)))
    for b, bandwidth in enumerate(BANDWIDTHS):
        for f in np.unique(fold)[:6]:
            model = SpeedModel.fit(actors.take(fold != f), (bandwidth,) * len(SPEEDS))
            held = actors.take(fold == f)
            losses[b] += _pinball(held.speeds, model._levels(held)[1], LEVELS[1]).sum(0)
    # the simplest that is as good: a gain within one per cent is chance
    chosen = tuple(BANDWIDTHS[int(np.argmax(losses[:, s] <= 1.01 * losses[:, s].min()))] for s in range(len(SPEEDS)))
    held_out = np.empty(len(actors.row))
    for f in np.unique(fold):
        held_out[fold == f] = SpeedModel.fit(actors.take(fold != f), chosen).score(actors.take(fold == f))
    return SpeedModel.fit(actors, chosen), held_out


def _pinball(values: np.ndarray, quantile: np.ndarray, level: float) -> np.ndarray:
    """Quantile loss: smallest in expectation for the true quantile (Koenker and Bassett 1978)."""
    return np.where(values >= quantile, level * (values - quantile), (1 - level) * (quantile - values))


def _quantile_table(values: np.ndarray, row: np.ndarray, size: np.ndarray, bandwidth: tuple[float, float]
                    ) -> np.ndarray:
    """Kernel-weighted quantiles on the grid -> (2 levels, 21, 14)."""
    order = np.argsort(values, kind="stable")
    values = values[order].astype(np.float64)
    near_row = np.exp(-0.5 * ((row[order][None] - GRID_ROW[:, None]) / bandwidth[0]) ** 2)
    near_size = np.exp(-0.5 * ((size[order][None] - GRID_SIZE[:, None]) / bandwidth[1]) ** 2)
    prior = PRIOR / len(values)
    table = np.empty((len(LEVELS), len(GRID_ROW), len(GRID_SIZE)))
    for i in range(len(GRID_ROW)):
        if i and np.isinf(bandwidth[0]):
            table[:, i] = table[:, 0]
            continue
        for j in range(len(GRID_SIZE)):
            mass = np.cumsum(near_row[i] * near_size[j] + prior)
            table[:, i, j] = values[np.minimum(np.searchsorted(mass, np.asarray(LEVELS) * mass[-1]), len(values) - 1)]
    return table


def _interpolate(table: np.ndarray, row: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Bilinear look-up on the grid, edges repeated."""
    def where(grid: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        position = np.clip((x - grid[0]) / (grid[1] - grid[0]), 0, len(grid) - 1)
        low = np.minimum(position.astype(int), len(grid) - 2)
        return low, position - low

    i, u = where(GRID_ROW, np.asarray(row, float))
    j, v = where(GRID_SIZE, np.asarray(size, float))
    return ((1 - u) * ((1 - v) * table[i, j] + v * table[i, j + 1])
            + u * ((1 - v) * table[i + 1, j] + v * table[i + 1, j + 1]))
