"""Density of motion histograms: what is unusual, on which side, and safe degenerate cases."""

from __future__ import annotations

import numpy as np
import pytest

from pixelplay.two_stream.motion import BINS, Actors
from pixelplay.two_stream.motion_density import METHODS, DensityModel, fit_density


def people(histogram: np.ndarray) -> Actors:
    n = len(histogram)
    return Actors(np.full(n, 0.5), np.full(n, -5.0), np.zeros(n, np.int64), np.zeros((n, 2)), np.asarray(histogram))


def walkers(count: int = 1200, bins: tuple[int, ...] = (0,), seed: int = 0) -> tuple[Actors, np.ndarray]:
    """People of four videos, each with most of its speed in one of the bins; a few stand."""
    rng = np.random.default_rng(seed)
    histogram = rng.uniform(0, 0.002, (count, BINS))
    histogram[np.arange(count), rng.choice(bins, count)] += rng.normal(0.03, 0.004, count).clip(0.01)
    histogram[::50] = 0.0
    return people(histogram), np.array([f"v{i % 4}" for i in range(count)], object)


def one(speed: float, turn: int) -> Actors:
    histogram = np.full((1, BINS), 0.001)
    histogram[0, turn] = speed
    return people(histogram)


@pytest.mark.parametrize("method", METHODS)
def test_runners_and_those_who_walk_the_wrong_way_are_unusual(method):
    model, held_out = fit_density(*walkers(), method)
    usual = np.quantile(held_out, 0.99)
    assert model.score(one(0.03, 0))[0] < usual
    assert model.score(one(0.08, 0))[0] > usual and model.score(one(0.03, 4))[0] > usual


@pytest.mark.parametrize("method", METHODS)
def test_one_sided_standing_still_is_nothing(method):
    actors, _ = walkers()
    standing = people(np.zeros((1, BINS)))
    one_sided, two_sided = (DensityModel.fit(actors, method, side, 0) for side in (True, False))
    assert one_sided.score(standing)[0] == 0.0
    rare = people(actors.histogram[np.arange(len(actors.row)) % 50 != 0])  # nobody stands: two-sided it is strange
    assert DensityModel.fit(rare, method, False, 0).score(standing)[0] > np.median(two_sided.score(actors))


def test_training_footage_decides_on_the_sides():
    actors, videos = walkers(bins=(0, 4))
    chosen = fit_density(actors, videos, "knn")[0]
    assert chosen.usual > 0, "walking both ways is normal, so only more motion is strange"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("count", [0, 1, 2, 40])
def test_few_or_equal_actors_give_finite_scores(method, count):
    model, held_out = fit_density(people(np.full((count, BINS), 0.01)), np.array(["a"] * count, object), method)
    assert held_out.shape == (count,) and np.isfinite(held_out).all()
    assert np.isfinite(model.score(one(1.0, 3))).all() and len(model.score(people(np.zeros((0, BINS))))) == 0


@pytest.mark.parametrize("method", METHODS)
def test_it_survives_saving(method):
    actors, videos = walkers(300)
    model, _ = fit_density(actors, videos, method)
    again = DensityModel.from_arrays(model.arrays())
    assert np.array_equal(again.score(actors), model.score(actors))
