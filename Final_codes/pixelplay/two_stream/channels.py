"""Channels of motion: several normality scores per actor, each for one attribute.

Reads the position, size and motion of actors (numbers, no images); learns from normal actors; makes a score per actor.
`speed`: faster than normal in that part of the image. `velocity`: direction and speed that are abnormal for an actor of
that size, including standing still. `articulation`: motion within the body that is abnormal for that size. Scores of
different channels are not comparable; `calibration.Rarity` makes them so.

After Reiss and Hoshen, arXiv 2212.00789 (one density per attribute, maxima joined).
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar, TypeVar

import numpy as np
from scipy.spatial import cKDTree

from pixelplay.data.subsample import spread
from pixelplay.two_stream.memory import folds, to_cover

BANDS = 12
"""Bands of image rows with their own quantiles, because of perspective."""
PRIOR = 30
"""Pseudo-actors at the quantile of the whole image that are added to every band: a band with few actors takes the
global quantile, and its own counts after thousands."""
NEIGHBOURS = 20
MOST = 20000
"""Largest number of actors in a channel's bank."""


@dataclasses.dataclass(frozen=True)
class Actors:
    """Position, size and motion of n actors; lengths are in image heights.

    Attributes:
        row: (n,) lower edge of the box, 0 = top of the image, 1 = bottom.
        height: (n,) of the box.
        velocity: (n, 2) mean x and y velocity, per frame.
        speed: (n,) upper speed (see `motion.Motion`), per frame.
        articulation: (n,) motion relative to the whole body, per frame; NaN = not measured.
    """

    row: np.ndarray
    height: np.ndarray
    velocity: np.ndarray
    speed: np.ndarray
    articulation: np.ndarray

    def __len__(self) -> int:
        return len(self.row)

    def take(self, keep: np.ndarray) -> Actors:
        """The actors at a mask or at positions."""
        return Actors(*(v[keep] for v in vars(self).values()))


@dataclasses.dataclass(frozen=True)
class ByRow:
    """A quantile as a function of the image row.

    Attributes:
        values: (`BANDS`,) from the top to the bottom.
    """

    values: np.ndarray

    @classmethod
    def fit(cls, row: np.ndarray, values: np.ndarray, level: float) -> ByRow:
        """Fit to (n,) rows and values, n >= 1."""
        band = np.clip((row * BANDS).astype(np.int64), 0, BANDS - 1)
        whole = np.full(PRIOR, np.quantile(values, level))
        return cls(np.array([np.quantile(np.concatenate([values[band == b], whole]), level) for b in range(BANDS)]))

    def __call__(self, row: np.ndarray) -> np.ndarray:
        """(n,) rows -> (n,) quantiles, linear between the centres of the bands."""
        return np.interp(row, (np.arange(BANDS) + 0.5) / BANDS, self.values)

    def raised(self, row: np.ndarray, least: np.ndarray) -> ByRow:
        """A copy that is at least `least` (n,) at n rows: only the two bands next to a row are raised."""
        values, place = self.values.copy(), row * BANDS - 0.5
        short = least > self(row)
        for band in (np.floor(place), np.ceil(place)):
            np.maximum.at(values, np.clip(band, 0, BANDS - 1).astype(np.int64)[short], least[short])
        return ByRow(values)


C = TypeVar("C", bound="Channel")


class Channel:
    """One attribute of motion.

    Class attributes:
        name: as in score files.
        words: reason for a high score, after 'person' or 'object'.
    """

    name: ClassVar[str]
    words: ClassVar[str]

    @classmethod
    def fit(cls: type[C], actors: Actors) -> C:
        """Fit to n >= 1 normal actors."""
        raise NotImplementedError

    def score(self, actors: Actors) -> np.ndarray:
        """(n,) float64 >= 0, higher = more abnormal."""
        raise NotImplementedError

    def accept(self: C, actors: Actors, ceiling: float) -> tuple[C, int]:
        """A copy that has also learnt n more normal actors, none of which then scores above `ceiling` > 0; and the
        number of additions."""
        raise NotImplementedError

    def arrays(self) -> dict[str, np.ndarray]:
        """The state, for saving."""
        raise NotImplementedError

    @classmethod
    def from_arrays(cls: type[C], arrays: dict[str, np.ndarray]) -> C:
        """Inverse of `arrays`."""
        raise NotImplementedError


class Speed(Channel):
    """Speed over the 99th percentile of normal speeds in its row: one-sided."""

    name = "speed"
    words = "moves faster than anybody here"

    def __init__(self, usual: ByRow):
        self.usual = usual

    @classmethod
    def fit(cls, actors: Actors) -> Speed:
        return cls(ByRow.fit(actors.row, actors.speed, 0.99))

    def score(self, actors: Actors) -> np.ndarray:
        return actors.speed / np.maximum(self.usual(actors.row), 1e-6)

    def accept(self, actors: Actors, ceiling: float) -> tuple[Speed, int]:
        """Raise the normal speed in their rows."""
        usual = self.usual.raised(actors.row, actors.speed / ceiling)
        return Speed(usual), int((usual.values > self.usual.values).sum())

    def arrays(self) -> dict[str, np.ndarray]:
        return {"usual": self.usual.values}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> Speed:
        return cls(ByRow(arrays["usual"]))


class Nearest(Channel):
    """Distance to the `NEIGHBOURS`-th nearest normal actor in a space of two or three dimensions.

    Lengths are in heights of a person: the height of the box or, if larger, the typical height in its row, because
    foreground often covers only a part of a person.

    Args:
        height: typical height by row; scale: (d,) of the vectors; bank: (K, d) normal actors, scaled.
    """

    def __init__(self, height: ByRow, scale: np.ndarray, bank: np.ndarray):
        self.height, self.scale, self.bank = height, scale, bank
        self._tree = cKDTree(bank)

    @classmethod
    def vectors(cls, actors: Actors, person: np.ndarray) -> np.ndarray:
        """(n, d) vectors of n actors; person: (n,) height of a person at their rows."""
        raise NotImplementedError

    @classmethod
    def units(cls, vectors: np.ndarray) -> np.ndarray:
        """(d,) scale of (n, d) vectors, so that all dimensions have equal weight."""
        return np.maximum(vectors.std(0), 1e-6)

    @classmethod
    def fit(cls, actors: Actors) -> Nearest:
        height = ByRow.fit(actors.row, actors.height, 0.5)
        vectors = cls.vectors(actors, _person(actors, height))
        scale = cls.units(vectors)
        return cls(height, scale, spread(vectors / scale, MOST))

    def score(self, actors: Actors) -> np.ndarray:
        if len(actors) == 0:
            return np.zeros(0)
        return self._tree.query(self._scaled(actors), [min(NEIGHBOURS, len(self.bank))])[0][:, 0]

    def accept(self, actors: Actors, ceiling: float) -> tuple[Nearest, int]:
        """Add actors to the bank, as often as needed to have `NEIGHBOURS` neighbours."""
        if len(actors) == 0:
            return self, 0
        vectors = self._scaled(actors)
        new = vectors[to_cover(vectors, self.score(actors), ceiling)]
        return type(self)(self.height, self.scale, np.concatenate([self.bank, np.repeat(new, NEIGHBOURS, axis=0)])), \
            len(new)

    def _scaled(self, actors: Actors) -> np.ndarray:
        return self.vectors(actors, _person(actors, self.height)) / self.scale

    def arrays(self) -> dict[str, np.ndarray]:
        return {"height": self.height.values, "scale": self.scale, "bank": self.bank}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> Nearest:
        return cls(ByRow(arrays["height"]), arrays["scale"], arrays["bank"])


class Velocity(Nearest):
    """Direction and speed, compared with actors of similar height."""

    name = "velocity"
    words = "moves, or stands, as nobody does here"

    @classmethod
    def vectors(cls, actors: Actors, person: np.ndarray) -> np.ndarray:
        return np.column_stack([actors.velocity / person[:, None], np.log(actors.height)])

    @classmethod
    def units(cls, vectors: np.ndarray) -> np.ndarray:
        speed = max(np.sqrt((vectors[:, :2] ** 2).sum(1).mean() / 2), 1e-6)
        return np.array([speed, speed, max(vectors[:, 2].std(), 1e-6)])


class Articulation(Nearest):
    """Motion relative to the body's mean motion, compared with actors of similar height."""

    name = "articulation"
    words = "moves its body as nobody does here"

    @classmethod
    def vectors(cls, actors: Actors, person: np.ndarray) -> np.ndarray:
        return np.column_stack([np.log(actors.articulation / person + 1e-3), np.log(actors.height)])


CHANNELS: tuple[type[Channel], ...] = (Speed, Velocity, Articulation)


def _person(actors: Actors, height: ByRow) -> np.ndarray:
    """(n,) height of a person at the actors' rows, in image heights."""
    return np.maximum(np.maximum(height(actors.row), actors.height), 1e-3)


def fit_channel(kind: type[C], actors: Actors, videos: np.ndarray) -> tuple[C | None, np.ndarray]:
    """Fit a channel to normal actors; videos: (n,) video of each.

    Returns:
        The channel, None without actors; and the held-out score (n,) of each actor, by a channel fitted without its
        video (or its fold, with more than 16 videos).
    """
    if len(actors) == 0:
        return None, np.zeros(0)
    channel, fold = kind.fit(actors), folds(videos)
    held_out = np.empty(len(actors))
    for f in np.unique(fold):
        others = fold != f
        # a single actor has no others to be compared with
        judge = kind.fit(actors.take(others)) if others.any() else channel
        held_out[~others] = judge.score(actors.take(~others))
    return channel, held_out
