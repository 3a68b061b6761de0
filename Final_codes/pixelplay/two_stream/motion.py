"""Motion of actors: how fast each one moves, against what is usual where it stands and for its size.

Reads velocity fields, foreground masks and boxes; makes per-actor speeds (pixels of the original frame per frame) and
a `SpeedModel` of the training speeds (see `quantiles.py`).

The score is one-sided by construction: a speed between 0 and the usual is covered by normal actors that start, stop
and stand, and a zero is never rewarded with surprise. Attribute after Reiss and Hoshen, arXiv 2212.00789.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pixelplay.two_stream.quantiles import (
    ALIKE,
    ANYWHERE,
    NEARBY,
    NEARBY_AND_ALIKE,
    Places,
    QuantileModel,
    fit_quantiles,
)

SPEEDS = ("mean", "upper")
"""Per-actor speeds: the mean over its pixels, and the 90th percentile of the slower of its two flow directions."""
KERNELS = (ANYWHERE, NEARBY, ALIKE, NEARBY_AND_ALIKE)


class Motion(NamedTuple):
    """How n actors of one frame move; zeros where nothing could be measured.

    Attributes:
        speed: (n,) float32 mean over its pixels, original pixels per frame.
        upper_speed: (n,) float32, see `SPEEDS`.
        velocity: (n, 2) float32 mean x and y velocity, original pixels per frame.
        area: (n,) float32 pixels of the fields they were measured over.
    """

    speed: np.ndarray
    upper_speed: np.ndarray
    velocity: np.ndarray
    area: np.ndarray

    @classmethod
    def none(cls, count: int) -> Motion:
        """Of actors nothing was measured of."""
        return cls(*(np.zeros(shape, np.float32) for shape in (count, count, (count, 2), count)))


def actor_motion(velocities: Sequence[np.ndarray], mask: np.ndarray, boxes: np.ndarray,
                 scale: Sequence[float] | np.ndarray = (1.0, 1.0)) -> Motion:
    """Motion of each actor of one frame.

    Args:
        velocities: one or two (h, w, 2) fields, pixels per frame forward in time, from the past and the future frame.
        mask: (h, w) bool foreground.
        boxes: (n, 4) xyxy in pixels of the fields.
        scale: width and height of such a pixel in original ones.
    """
    out, scale = Motion.none(len(boxes)), np.asarray(scale, np.float32)
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
        out.speed[i], out.upper_speed[i] = speeds[0].mean(), np.percentile(slower, 90)
        out.velocity[i], out.area[i] = flows[0].mean(0), inside.sum()
    return out


@dataclasses.dataclass(frozen=True)
class Actors(Places):
    """What a motion model knows about n actors.

    Attributes:
        speeds: (n, 2) mean and upper speed, original pixels per frame.
    """

    speeds: np.ndarray


@dataclasses.dataclass(frozen=True)
class SpeedModel:
    """What speeds are usual where."""

    usual: QuantileModel

    def score(self, actors: Actors) -> np.ndarray:
        """(n,) float64 >= 0: how far beyond the usual (see `QuantileModel.score`)."""
        return self.usual.score(actors.speeds, actors)

    @property
    def bandwidths(self) -> tuple:
        """The kernel chosen for each of `SPEEDS`."""
        return self.usual.bandwidths

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything as arrays, for saving."""
        return self.usual.arrays()

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> SpeedModel:
        """Undo `arrays`."""
        return cls(QuantileModel.from_arrays(arrays))


def fit_speeds(actors: Actors, videos: np.ndarray) -> tuple[SpeedModel, np.ndarray]:
    """Fit the training actors; videos: (n,) video of each. Also their (n,) held-out scores (see `fit_quantiles`)."""
    usual, held_out = fit_quantiles(actors.speeds, actors, videos, KERNELS)
    return SpeedModel(usual), held_out
