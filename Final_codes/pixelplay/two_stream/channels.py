"""Channels: the ways in which an actor can be unlike those of normal footage, each with a score of its own.

Reads where actors are, how large they are and how they move (numbers alone, no pictures); learns from normal actors;
makes a score for each actor. `speed`: faster than anybody in that part of the image. `velocity`: a direction and speed
that nobody of that size has, standing still among them. `articulation`: a body that moves in itself as nobody's of that
size does. The scores of one channel are comparable with each other only; `calibration.Rarity` makes probabilities of
them.

One attribute a density, and their largest values joined, is from Reiss and Hoshen, arXiv 2212.00789.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar, TypeVar

import numpy as np
from scipy.spatial import cKDTree

from pixelplay.data.subsample import spread
from pixelplay.two_stream.memory import folds, to_cover

BANDS = 12
"""Bands of rows that are told apart: perspective."""
PRIOR = 30
"""Actors with the quantile of the whole image that are added to every band. One that few have crossed is judged with
the others, and a top speed is a band's own only where thousands have shown it."""
NEIGHBOURS = 20
MOST = 20000
"""Most actors that a channel keeps to compare with."""


@dataclasses.dataclass(frozen=True)
class Actors:
    """What channels know of n actors; lengths in heights of the image.

    Attributes:
        row: (n,) lower edge of the box, 0 = top of the image, 1 = bottom.
        height: (n,) of the box.
        velocity: (n, 2) x and y, mean over the actor, per frame.
        speed: (n,) of its fast parts, per frame.
        articulation: (n,) speed of the liveliest part of the box relative to the whole, per frame; NaN = not known.
    """

    row: np.ndarray
    height: np.ndarray
    velocity: np.ndarray
    speed: np.ndarray
    articulation: np.ndarray

    def __len__(self) -> int:
        return len(self.row)

    def take(self, keep: np.ndarray) -> Actors:
        """The actors of a mask or of positions."""
        return Actors(*(v[keep] for v in vars(self).values()))


@dataclasses.dataclass(frozen=True)
class ByRow:
    """A quantile of something by the row of the image.

    Attributes:
        values: (`BANDS`,) from the top to the bottom.
    """

    values: np.ndarray

    @classmethod
    def fit(cls, row: np.ndarray, values: np.ndarray, level: float) -> ByRow:
        """From (n,) rows and values, n >= 1."""
        band = np.clip((row * BANDS).astype(np.int64), 0, BANDS - 1)
        whole = np.full(PRIOR, np.quantile(values, level))
        return cls(np.array([np.quantile(np.concatenate([values[band == b], whole]), level) for b in range(BANDS)]))

    def __call__(self, row: np.ndarray) -> np.ndarray:
        """(n,) rows -> (n,), linear between the bands' centres."""
        return np.interp(row, (np.arange(BANDS) + 0.5) / BANDS, self.values)

    def raised(self, row: np.ndarray, least: np.ndarray) -> ByRow:
        """At least `least` (n,) at n rows: the two bands that a row lies between are raised, no other."""
        values, place = self.values.copy(), row * BANDS - 0.5
        short = least > self(row)
        for band in (np.floor(place), np.ceil(place)):
            np.maximum.at(values, np.clip(band, 0, BANDS - 1).astype(np.int64)[short], least[short])
        return ByRow(values)


C = TypeVar("C", bound="Channel")


class Channel:
    """One way to be unlike normal actors.

    Class attributes:
        name: as in score files.
        words: why an actor that it speaks about stands out, after 'person' or 'object'.
    """

    name: ClassVar[str]
    words: ClassVar[str]

    @classmethod
    def fit(cls: type[C], actors: Actors) -> C:
        """Learn from n >= 1 normal actors."""
        raise NotImplementedError

    def score(self, actors: Actors) -> np.ndarray:
        """(n,) float64 >= 0, higher = less like the normal actors."""
        raise NotImplementedError

    def accept(self: C, actors: Actors, ceiling: float) -> tuple[C, int]:
        """The channel after it has learnt that n actors are normal, too, and how much was added to it: none of them
        scores above `ceiling` > 0."""
        raise NotImplementedError

    def arrays(self) -> dict[str, np.ndarray]:
        """All it has learnt, for saving."""
        raise NotImplementedError

    @classmethod
    def from_arrays(cls: type[C], arrays: dict[str, np.ndarray]) -> C:
        """Undo `arrays`."""
        raise NotImplementedError


class Speed(Channel):
    """Speed over the 99th percentile of normal speeds in the row: one-sided, and large for the fastest alone."""

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
        """Raise the usual speed in their rows."""
        usual = self.usual.raised(actors.row, actors.speed / ceiling)
        return Speed(usual), int((usual.values > self.usual.values).sum())

    def arrays(self) -> dict[str, np.ndarray]:
        return {"usual": self.usual.values}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> Speed:
        return cls(ByRow(arrays["usual"]))


class Nearest(Channel):
    """Distance to the `NEIGHBOURS`-th nearest of the normal actors in a space of two or three numbers.

    Lengths are measured in heights of a person: that of the box, or what is usual in its row where that is more,
    because foreground often shows a part of a person only.

    Args:
        height: usual height by row; scale: (d,) of the vectors; bank: (K, d) normal actors, scaled.
    """

    def __init__(self, height: ByRow, scale: np.ndarray, bank: np.ndarray):
        self.height, self.scale, self.bank = height, scale, bank
        self._tree = cKDTree(bank)

    @classmethod
    def vectors(cls, actors: Actors, person: np.ndarray) -> np.ndarray:
        """(n, d) numbers of n actors; person: (n,) height of a person where they are."""
        raise NotImplementedError

    @classmethod
    def units(cls, vectors: np.ndarray) -> np.ndarray:
        """(d,) what (n, d) vectors are divided by, so that all numbers count alike."""
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
        """Actors join the bank, each as often as there have to be neighbours."""
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
    """Direction and speed, among actors of that height."""

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
    """How a body moves relative to its own mean motion, among actors of that height."""

    name = "articulation"
    words = "moves its body as nobody does here"

    @classmethod
    def vectors(cls, actors: Actors, person: np.ndarray) -> np.ndarray:
        return np.column_stack([np.log(actors.articulation / person + 1e-3), np.log(actors.height)])


CHANNELS: tuple[type[Channel], ...] = (Speed, Velocity, Articulation)


def _person(actors: Actors, height: ByRow) -> np.ndarray:
    """(n,) height of a person where the actors are, in heights of the image."""
    return np.maximum(np.maximum(height(actors.row), actors.height), 1e-3)


def fit_channel(kind: type[C], actors: Actors, videos: np.ndarray) -> tuple[C | None, np.ndarray]:
    """Fit normal actors; videos: (n,) video of each.

    Returns:
        the channel, None without actors, and the (n,) score of each actor by a channel that did not learn from its
        video (from its fold, where there are more than 16 videos).
    """
    if len(actors) == 0:
        return None, np.zeros(0)
    channel, fold = kind.fit(actors), folds(videos)
    held_out = np.empty(len(actors))
    for f in np.unique(fold):
        others = fold != f
        # one actor alone: there is no other to learn from
        judge = kind.fit(actors.take(others)) if others.any() else channel
        held_out[~others] = judge.score(actors.take(~others))
    return channel, held_out
