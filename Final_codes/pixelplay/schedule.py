"""Time of a run: estimates per stage, fitting a budget of hours, and stopping in time.

Reads the forecasts measured by the preflight; makes the estimates of the plan, the scaled training steps, and the alarm
that ends training while there is time to write a submission.
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
"""Seconds reserved at the end of a budget for the submission."""
LEAST_SHARE = 0.05
"""Smallest share of its training steps with which a network is worth submitting."""
RESERVE = 0.1
"""Share of a budget left unplanned, because estimates come from a few frames."""


class OutOfTime(BaseException):
    """The time budget is spent. A BaseException, so that no `except Exception` on the way swallows it."""


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
        """Record the seconds of a finished stage."""
        self.taken[stage] = seconds

    def left(self) -> float:
        """Estimated seconds of the remaining stages, scaled by the error on the finished ones."""
        done = [name for name in self.taken if name in self.expected]
        expected = sum(self.expected[name] for name in done)
        # too short to estimate the speed of the machine
        ratio = sum(self.taken[name] for name in done) / expected if expected > 1 else 1.0
        return ratio * sum(seconds for name, seconds in self.expected.items() if name not in self.taken)


def fit_steps(forecasts: Mapping[str, Forecast], other: float, seconds: float, *, lanes: int = 1) -> dict[str, int]:
    """Scale the training steps of all networks by one factor, so that a run fits its budget.

    Args:
        forecasts: forecast of each model.
        other: seconds of all other stages.
        seconds: the budget.
        lanes: number of models that run in parallel.
    Returns:
        model -> optimiser steps, for models that train; {} if everything fits unscaled.
    Raises:
        PixelPlayError: the factor would be below `LEAST_SHARE`.
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
    """Raise `OutOfTime` inside the block at the `time.monotonic` value `deadline`; None = never.

    Signals reach only the main thread; in other threads there is no alarm, and the caller checks the time between
    models.
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
    """Format a duration: '42 s', '7 min', '2.5 h'."""
    if seconds < 90:
        return f"{max(0, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
