"""What is usual where an actor stands and for its size: local quantiles of anything that is measured per actor.

Reads values (speeds, distances to a memory bank) of training actors with their places; makes a `QuantileModel` of their
median and 95th percentile among actors in nearby image rows (perspective) of similar size (a few pixels of noise are
no runner). How local that comparison is - not at all, by row, by size, by both - is the choice that predicts the
training videos best, each left out in turn.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from pixelplay.data.subsample import spread
from pixelplay.two_stream.memory import folds

Bandwidth = tuple[float, float]
"""Standard deviations of a kernel in image heights and in the natural logarithm of the area; infinite = not local."""
ANYWHERE: Bandwidth = (np.inf, np.inf)
NEARBY: Bandwidth = (0.08, np.inf)
ALIKE: Bandwidth = (np.inf, 0.5)
NEARBY_AND_ALIKE: Bandwidth = (0.08, 0.5)
LEVELS = (0.5, 0.95)
PRIOR = 30.0
"""Weight, in actors, of all training actors in every local estimate: a place nobody visited is judged globally."""
MAX_ACTORS = 8000
MIN_MODE_ACTORS = 500
GRID_ROW = np.linspace(0.0, 1.0, 21)
GRID_SIZE = np.linspace(np.log(1e-4), np.log(0.3), 14)

P = TypeVar("P", bound="Places")


@dataclasses.dataclass(frozen=True)
class Places:
    """Where n actors stand.

    Attributes:
        row: (n,) lower edge of the box, 0 = top of the image, 1 = bottom.
        size: (n,) natural log of the area as a share of the image.
        mode: (n,) int background mode (camera or lighting).
    """

    row: np.ndarray
    size: np.ndarray
    mode: np.ndarray

    def __len__(self) -> int:
        return len(self.row)

    def take(self: P, keep: np.ndarray) -> P:
        """The actors of a mask or of positions."""
        return type(self)(*(v[keep] for v in vars(self).values()))


class QuantileModel:
    """Local median and 95th percentile of S values measured on every training actor.

    Attributes:
        bandwidths: the kernel chosen for each value.
        tables: mode (-1 = all) -> (S, 2 levels, 21, 14) quantiles on the grid.
        spread: (S,) smallest allowed distance between the two quantiles.
    """

    def __init__(self, bandwidths: tuple[Bandwidth, ...], tables: dict[int, np.ndarray], spread: np.ndarray):
        self.bandwidths, self.tables, self.spread = bandwidths, tables, spread

    @classmethod
    def fit(cls, values: np.ndarray, places: Places, bandwidths: Sequence[Bandwidth]) -> QuantileModel:
        """Fit (n, S) values, n >= 1, with a given kernel each."""
        groups = {-1: np.arange(len(places))}
        modes, counts = np.unique(places.mode, return_counts=True)
        if len(modes) > 1:
            groups |= {int(m): np.flatnonzero(places.mode == m) for m, c in zip(modes, counts) if c >= MIN_MODE_ACTORS}
        tables = {}
        for mode, members in groups.items():
            some = spread(members, MAX_ACTORS)
            tables[mode] = np.stack([_quantile_table(column, places.row[some], places.size[some], bandwidth)
                                     for column, bandwidth in zip(values[some].T, bandwidths)])
        overall = np.quantile(values, LEVELS, axis=0)
        # where all are equal the quantiles coincide; a tenth of the usual range keeps noise from exploding
        return cls(tuple(bandwidths), tables, np.maximum(0.1 * (overall[1] - overall[0]), 1e-3))

    def relative(self, values: np.ndarray, places: Places) -> np.ndarray:
        """(n, S) -> (n, S): 0 = the local median, 1 = the local 95th percentile, 2 = as far beyond it again."""
        low, high = self.levels(places)
        return (values - low) / np.maximum(high - low, self.spread)

    def score(self, values: np.ndarray, places: Places) -> np.ndarray:
        """(n,) float64 >= 0: mean of `relative` over the values, each cut at 0: less than usual is never an anomaly."""
        return np.maximum(self.relative(values, places), 0.0).mean(1) if len(places) else np.zeros(0)

    def levels(self, places: Places) -> np.ndarray:
        """(2, n, S) the median and the 95th percentile that are usual at each place."""
        out = np.empty((len(LEVELS), len(places), len(self.bandwidths)))
        for mode in np.unique(places.mode):
            members = np.flatnonzero(places.mode == mode)
            table = self.tables.get(int(mode), self.tables[-1])
            for s in range(len(self.bandwidths)):
                for level in range(len(LEVELS)):
                    out[level, members, s] = _interpolate(table[s, level], places.row[members], places.size[members])
        return out

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything as arrays, for saving."""
        return {"bandwidths": np.asarray(self.bandwidths, np.float64), "spread": np.asarray(self.spread, np.float64),
                "modes": np.asarray(list(self.tables), np.int64), "tables": np.stack(list(self.tables.values()))}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> QuantileModel:
        """Undo `arrays`."""
        return cls(tuple(map(tuple, arrays["bandwidths"].tolist())),
                   dict(zip(arrays["modes"].tolist(), arrays["tables"])), arrays["spread"])


def fit_quantiles(values: np.ndarray, places: Places, videos: np.ndarray, kernels: Sequence[Bandwidth]
              ) -> tuple[QuantileModel, np.ndarray]:
    """Choose a kernel for each value on held-out training videos and fit.

    Args:
        values: (n, S) finite, of the training actors; places: theirs; videos: (n,) video of each.
        kernels: candidates, the simplest first.
    Returns:
        the model on all actors, and the (n,) score of each actor by a model without its video (without its fold,
        where there are more than 16 videos).
    """
    count = values.shape[1]
    if len(values) == 0:
        tables = {-1: np.zeros((count, len(LEVELS), len(GRID_ROW), len(GRID_SIZE)))}
        return QuantileModel((kernels[0],) * count, tables, np.full(count, 1e-3)), np.zeros(0)
    fold = folds(videos)
    if len(np.unique(fold)) < 2:  # one actor: nothing can be held out, and nothing can be chosen
        model = QuantileModel.fit(values, places, (kernels[0],) * count)
        return model, model.score(values, places)
    losses = np.zeros((len(kernels), count))
    for k, kernel in enumerate(kernels):
        for f in np.unique(fold)[:6]:
            model = QuantileModel.fit(values[fold != f], places.take(fold != f), (kernel,) * count)
            losses[k] += _pinball(values[fold == f], model.levels(places.take(fold == f))[1], LEVELS[1]).sum(0)
    # the simplest that is as good: a gain within one per cent is chance
    chosen = tuple(kernels[int(np.argmax(losses[:, s] <= 1.01 * losses[:, s].min()))] for s in range(count))
    held_out = np.empty(len(values))
    for f in np.unique(fold):
        model = QuantileModel.fit(values[fold != f], places.take(fold != f), chosen)
        held_out[fold == f] = model.score(values[fold == f], places.take(fold == f))
    return QuantileModel.fit(values, places, chosen), held_out


def _pinball(values: np.ndarray, quantile: np.ndarray, level: float) -> np.ndarray:
    """Quantile loss: smallest in expectation for the true quantile (Koenker and Bassett 1978)."""
    return np.where(values >= quantile, level * (values - quantile), (1 - level) * (quantile - values))


def _quantile_table(values: np.ndarray, row: np.ndarray, size: np.ndarray, bandwidth: Bandwidth
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
