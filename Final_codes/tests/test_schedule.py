"""Estimates that follow what was measured, budgets of hours, and the alarm that ends a model."""

import signal
import time

import pytest

from pixelplay.errors import PixelPlayError
from pixelplay.model import Forecast
from pixelplay.schedule import LAST_MINUTE, RESERVE, OutOfTime, Schedule, alarm, fit_steps, in_words

HOUR = 3600.0
MODELS = {"stae": Forecast(7200, 600, 4000), "unet": Forecast(3600, 600, 2000), "global_memory": Forecast(0, 900)}


def total(steps):
    """Seconds of all models with the steps they were given."""
    return sum(f.with_steps(steps[name]).seconds if f.steps else f.seconds for name, f in MODELS.items())


def test_a_run_that_fits_is_left_as_it_is():
    assert fit_steps(MODELS, 300, 10 * HOUR) == {}


@pytest.mark.parametrize("hours", [1.5, 2.0, 3.0])
def test_steps_are_scaled_alike_until_the_run_fits(hours):
    steps = fit_steps(MODELS, 300, hours * HOUR)
    assert set(steps) == {"stae", "unet"}, "what does not train is not shortened"
    assert steps["stae"] == pytest.approx(2 * steps["unet"], abs=2)
    available = (hours * HOUR - LAST_MINUTE) * (1 - RESERVE)
    assert available - 10 < 300 + total(steps) < available + 10


def test_two_lanes_need_half_the_cut():
    one, two = (fit_steps(MODELS, 0, 2.5 * HOUR, lanes=lanes) for lanes in (1, 2))
    assert two == {} and one["stae"] < 4000


def test_a_budget_without_room_for_training_is_refused_and_the_least_is_named():
    with pytest.raises(PixelPlayError, match=r"--hours 0\.5 is too short") as refused:
        fit_steps(MODELS, 300, 0.5 * HOUR)
    needed = float(str(refused.value).split("at least --hours ")[1].split(",")[0])
    assert fit_steps(MODELS, 300, needed * HOUR)["unet"] >= 0.05 * 2000
    with pytest.raises(PixelPlayError):
        fit_steps(MODELS, 300, (needed - 0.02) * HOUR)


def test_what_is_left_is_corrected_by_what_was_measured():
    schedule = Schedule({"a": 100.0, "b": 50.0, "c": 30.0})
    assert schedule.left() == 180
    schedule.finish("a", 200.0)
    assert schedule.left() == pytest.approx(2 * 80)
    schedule.finish("b", 10.0)
    assert schedule.left() == pytest.approx(210 / 150 * 30)
    schedule.finish("c", 30.0)
    assert schedule.left() == 0


def test_a_stage_that_was_not_planned_changes_nothing():
    schedule = Schedule({"a": 100.0})
    schedule.finish("other", 1e6)
    assert schedule.left() == 100


def test_the_alarm_rings_inside_the_block_and_is_off_behind_it():
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(OutOfTime), alarm(time.monotonic() + 0.05):
        while True:
            time.sleep(0.01)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) is before


def test_a_deadline_that_has_passed_rings_at_once():
    with pytest.raises(OutOfTime), alarm(time.monotonic() - 1):
        pytest.fail("the block began")


def test_no_code_between_takes_the_alarm_for_its_own():
    with pytest.raises(OutOfTime), alarm(time.monotonic() + 0.05):
        while True:
            try:
                time.sleep(0.01)
            except Exception:  # noqa: BLE001  what the test is about: such code exists in libraries
                pytest.fail("swallowed")


@pytest.mark.parametrize(("seconds", "words"), [(0.2, "0 s"), (89, "89 s"), (600, "10 min"), (9000, "2.5 h")])
def test_times_in_words(seconds, words):
    assert in_words(seconds) == words
