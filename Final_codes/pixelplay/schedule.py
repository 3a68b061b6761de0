"""Time: what each stage of a run will take, how that fits a budget of hours, and when to stop.

Reads the forecasts that the preflight measured; makes the plan's estimates, the autoencoders' scaled steps, and the
alarm that ends training while there is still time to write a submission.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import signal
import threading
import time
from collections.abc import Iterator, Mapping

from pixelplay.errors import PixelPlayError
from pixelplay.model import Forecast

LAST_MINUTE = 60.0
"""Seconds kept at the end of a budget for the submission."""
LEAST_SHARE = 0.05
"""A network that trains for less than this share of its steps has learnt nothing worth a submission."""
RESERVE = 0.1
"""Share of a budget that is not planned: estimates come from a few frames."""


class OutOfTime(BaseException):
    """The budget is spent. No `Exception`: nothing between a training loop and the run may take it for its own."""


@dataclasses.dataclass
class Schedule:
    """Estimated and measured seconds of the stages of a run, in order.

    Attributes:
        expected: stage -> seconds estimated before the run.
        taken: stage -> seconds measured, of finished stages.
    """

    expected: dict[str, float]
    taken: dict[str, float] = dataclasses.field(default_factory=dict)

    def finish(self, stage: str, seconds: float) -> None:
        """Note what a stage really took."""
        self.taken[stage] = seconds

    def left(self) -> float:
        """Seconds the other stages will take, corrected by how far the finished ones were off."""
        done = [name for name in self.taken if name in self.expected]
        expected = sum(self.expected[name] for name in done)
        # stages of a second or less say nothing about the machine
        ratio = sum(self.taken[name] for name in done) / expected if expected > 1 else 1.0
        return ratio * sum(seconds for name, seconds in self.expected.items() if name not in self.taken)


def fit_steps(forecasts: Mapping[str, Forecast], other: float, seconds: float, *, lanes: int = 1) -> dict[str, int]:
    """Scale the training steps of all networks alike, so that a run fits its budget.

    Args:
        forecasts: model -> what it takes.
        other: seconds of all other stages.
        seconds: the budget.
        lanes: models that run side by side.
    Returns:
        model -> optimiser steps, of models that train; {} where everything fits as it is.
    Raises:
        PixelPlayError: the budget does not even hold what cannot be scaled.
    """
    available = (seconds - LAST_MINUTE) * (1 - RESERVE) - other
    training = sum(f.training for f in forecasts.values()) / lanes
    rest = sum(f.rest for f in forecasts.values()) / lanes
    if training + rest <= available:
        return {}
    share = (available - rest) / training if training else 0.0
    if share < LEAST_SHARE:
        needed = math.ceil(((other + rest + LEAST_SHARE * training) / (1 - RESERVE) + LAST_MINUTE) / 36) / 100
        raise PixelPlayError(f"--hours {seconds / 3600:.3g} is too short: about {needed:.2f} hours are needed before "
                             "the networks have learnt anything",
                             hint=f"give at least --hours {needed:.2f}, fewer --models, or --profile lite")
    return {name: max(1, round(share * f.steps)) for name, f in forecasts.items() if f.steps}


@contextlib.contextmanager
def alarm(deadline: float | None) -> Iterator[None]:
    """Raise `OutOfTime` inside the block at a `time.monotonic` moment; None = never.

    Signals reach the main thread alone; elsewhere the block runs on, and the caller checks the time between models.
    """
    if deadline is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    if deadline <= time.monotonic():
        raise OutOfTime

    def ring(*_: object) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, deadline - time.monotonic())
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def in_words(seconds: float) -> str:
    """'42 s', '7 min', '2.5 h': a time as a person says it."""
    if seconds < 90:
        return f"{max(0, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
