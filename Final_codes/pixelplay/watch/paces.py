"""Adaptive reduction of the work on machines that are slower than the camera.

A pace is a set of models and a frame interval. Its scores are mapped to the scale of the first pace, with thresholds
from held-out training scores that are subsampled in the same way, so that one threshold is valid for all paces. `Pacer`
selects a faster pace when frames are waiting, and returns to a more complete one after a period without backlog.
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
"""Models with a smaller share of the ensemble's weight are dropped before frames are skipped: they hardly change the
score."""
FEWEST = 2
"""Smallest number of models to which a pace is reduced."""


@dataclasses.dataclass(frozen=True, eq=False)
class Pace:
    """A set of models and a frame interval.

    Attributes:
        detector: the detector that contains the models.
        models: names of the models.
        every: one of this many frames is scored.
    """

    detector: Detector
    models: tuple[str, ...]
    every: int = 1

    @property
    def words(self) -> str:
        """Description for messages."""
        frames = "every frame" if self.every == 1 else "every second frame" if self.every == 2 \
            else f"one of {self.every} frames"
        return f"{frames}, {', '.join(self.models)}"

    @functools.cached_property
    def weights(self) -> dict[str, float]:
        """Model -> weight; the weights sum to 1."""
        return self.detector.weights(self.models)

    @functools.cached_property
    def limits(self) -> tuple[float, float]:
        """Scores at which an event begins and ends at this pace."""
        training = self.detector.training
        members = {n: seldom(f, training.videos, training.frames, self.every)
                   for n, f in self.detector.members(self.models).items()}
        found = threshold_from_training(mean_score(members, training, self.weights, causal=True))
        return found.high, found.low

    def score(self, z: dict[str, float], first: Pace) -> float:
        """Final score of a frame from the calibrated scores `z` of its models, on the scale of the pace `first`."""
        score = sum(w * z[n] for n, w in self.weights.items())
        if self is first:
            return score
        (high, low), (wanted, lower) = self.limits, first.limits
        return wanted + (score - high) * ((wanted - lower) / (high - low) if high > low else 1.0)


def paces(detector: Detector, models: Sequence[str]) -> list[Pace]:
    """The paces of a detector with these models, from complete to fastest.

    All models; without the models below `LIGHT`, if there are any; the same on every second frame; then one model less
    at a time, down to `FEWEST`. The model with the smallest weight is dropped first.
    """
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
    """Training scores as if only one of `every` frames had been scored: the other frames repeat the previous score."""
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
"""Backlog from which a faster pace is selected, in seconds of footage."""
CALM = 0.3
"""Largest backlog at which a more complete pace is tried, in seconds of footage."""
SETTLE = 2.0
"""Least time between two changes, in seconds."""
TRY = (15.0, 600.0)
"""First and largest time without backlog before a more complete pace is tried, in seconds; it doubles when a try
fails."""
LASTED = 30.0
"""Time after which a try has succeeded, in seconds."""
ROOM = 0.85
"""A more complete pace is tried only if the expected share of time spent in scoring is below this."""


class Pacer:
    """Selects a pace from the backlog and the load.

    Args:
        every: frame interval of each pace, most complete pace first.
    Attributes:
        step: index of the current pace; 0 is the most complete.
    """

    def __init__(self, every: Sequence[int]):
        self.every, self.step = every, 0
        self._changed = self._calm = 0.0
        self._wait, self._tried = TRY[0], False
        self._busy: dict[int, float] = {}

    def look(self, now: float, waiting: float, busy: float) -> int:
        """Update the pace; returns its index.

        Args:
            now: time of a monotonic clock, in seconds.
            waiting: backlog in seconds of footage.
            busy: share of the time since the last call that was spent in scoring.
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
        """Whether the next more complete pace is expected to keep up."""
        # scoring every frame costs twice as much as every second frame; another model costs less than that
        twice = self.every[self.step] > self.every[self.step - 1]
        return self._busy[self.step] * (2.0 if twice else 1.4) < ROOM

    def _go(self, step: int, now: float, *, tried: bool) -> None:
        self.step, self._changed, self._calm, self._tried = step, now, now, tried
