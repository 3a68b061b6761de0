"""What is looked at where a machine cannot look at everything, and when that changes.

A pace is a set of models and how many frames are skipped. Its scores are brought to the scale of the first pace by the
held-out training scores, thinned out in the same way: a score means the same at every pace. `Pacer` goes to a slower
one when frames wait, and back when there has been time enough for a while.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from pixelplay.data.footage import segments
from pixelplay.detector import Detector, mean_score
from pixelplay.fusion.events import threshold_from_training
from pixelplay.fusion.scores import ScoreFile

LIGHT = 0.01
"""Share of the ensemble's weight below which models are left out before frames are: they cost time, decide little."""
FEWEST = 2
"""Models that are left at the slowest pace, where there are so many."""


@dataclasses.dataclass(frozen=True, eq=False)
class Pace:
    """What is looked at.

    Attributes:
        detector: whose models they are.
        models: names; every: of so many frames one is looked at.
    """

    detector: Detector
    models: tuple[str, ...]
    every: int = 1

    @property
    def words(self) -> str:
        """For people."""
        frames = "every frame" if self.every == 1 else "every second frame" if self.every == 2 \
            else f"one of {self.every} frames"
        return f"{frames}, {', '.join(self.models)}"

    @functools.cached_property
    def weights(self) -> dict[str, float]:
        """Of its models; they sum to 1."""
        return self.detector.weights(self.models)

    @functools.cached_property
    def limits(self) -> tuple[float, float]:
        """Where an event begins and ends at this pace."""
        training = self.detector.training
        members = {n: seldom(f, training.videos, training.frames, self.every)
                   for n, f in self.detector.members(self.models).items()}
        found = threshold_from_training(mean_score(members, training, self.weights, causal=True))
        return found.high, found.low

    def score(self, z: dict[str, float], first: Pace) -> float:
        """The final score of a frame, by its models' calibrated ones, on the scale of the first pace."""
        score = sum(w * z[n] for n, w in self.weights.items())
        if self is first:
            return score
        (high, low), (wanted, lower) = self.limits, first.limits
        return wanted + (score - high) * ((wanted - lower) / (high - low) if high > low else 1.0)


def paces(detector: Detector, models: Sequence[str]) -> list[Pace]:
    """All paces of some models of a detector: everything; without the models that decide next to nothing; every second
    frame; ever fewer models of these, the one with the least weight goes first."""
    models, weights = tuple(models), detector.weights(models)
    found = [Pace(detector, models)]
    heavy = tuple(n for n in models if weights[n] >= LIGHT)
    if heavy != models:
        models = heavy
        found.append(Pace(detector, models))
    found.append(Pace(detector, models, 2))
    while len(models) > FEWEST:
        least = min(models, key=lambda n: weights[n])
        models = tuple(n for n in models if n != least)
        found.append(Pace(detector, models, 2))
    return found


def seldom(file: ScoreFile, videos: np.ndarray, frames: np.ndarray, every: int) -> ScoreFile:
    """Training scores as if one of `every` frames had been looked at: the others take the score of the one
    before."""
    if every == 1:
        return file
    values = file.values.copy()
    for part in segments(videos, frames, np.iinfo(np.int64).max):
        number = frames[part] - frames[part.start]
        looked = np.flatnonzero(number % every == 0)
        source = looked[np.searchsorted(number[looked], number, side="right") - 1]
        values[part] = file.values[part][source]
    return dataclasses.replace(file, values=values)


LATE = 1.0
"""Seconds of frames that wait before less is looked at."""
CALM = 0.3
"""Seconds of frames that may wait while more is tried."""
SETTLE = 2.0
"""Seconds after a change before the next one."""
TRY = (15.0, 600.0)
"""Seconds of calm before more is tried; doubled each time that did not last, up to the second number."""
LASTED = 30.0
"""Seconds after which a change to more has lasted."""
ROOM = 0.85
"""Share of the time that scoring may be expected to take after a change to more."""


class Pacer:
    """Chooses among paces.

    Args:
        every: of how many frames each looks at one, most is looked at first.
    Attributes:
        step: the present one, 0 = everything.
    """

    def __init__(self, every: Sequence[int]):
        self.every, self.step = every, 0
        self._changed = self._calm = 0.0
        self._wait, self._tried = TRY[0], False
        self._busy: dict[int, float] = {}

    def look(self, now: float, waiting: float, busy: float) -> int:
        """The pace to go on at.

        Args:
            now: seconds of a clock; waiting: seconds of frames that wait.
            busy: share of the time since the last look that scoring took.
        """
        before = self._busy.get(self.step, busy)
        self._busy[self.step] = before + 0.2 * (busy - before)
        if waiting > CALM:
            self._calm = now
        if now - self._changed < SETTLE:
            return self.step
        if waiting > LATE and self.step + 1 < len(self.every):
            if self._tried and now - self._changed < LASTED:
                self._wait = min(2 * self._wait, TRY[1])
            self._go(self.step + 1, now, tried=False)
        elif self.step and now - max(self._calm, self._changed) >= self._wait and self._room():
            self._go(self.step - 1, now, tried=True)
        elif self._tried and now - self._changed >= LASTED:
            self._tried, self._wait = False, TRY[0]
        return self.step

    def _room(self) -> bool:
        """Whether the next better pace may be expected to fit."""
        # looking at every frame takes twice the time of every second one; a model more takes less than that
        twice = self.every[self.step] > self.every[self.step - 1]
        return self._busy[self.step] * (2.0 if twice else 1.4) < ROOM

    def _go(self, step: int, now: float, *, tried: bool) -> None:
        self.step, self._changed, self._calm, self._tried = step, now, now, tried
