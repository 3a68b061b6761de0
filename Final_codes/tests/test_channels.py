"""Channels: what each of them sees, what it does not, and that little or equal footage is no trouble."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from pixelplay.two_stream.channels import CHANNELS, Actors, Articulation, Speed, Velocity, fit_channel


def walkers(count: int = 60000, seed: int = 0) -> tuple[Actors, np.ndarray]:
    """People who walk to the right or left, larger and faster the lower they are, in four videos."""
    rng = np.random.default_rng(seed)
    row = rng.uniform(0.3, 1.0, count)
    height = 0.3 * row * rng.normal(1, 0.05, count)
    speed = 0.02 * row * rng.normal(1, 0.1, count)
    velocity = np.stack([speed * rng.choice([-1, 1], count), 0.1 * speed * rng.normal(0, 1, count)], 1)
    actors = Actors(row, height, velocity, 1.3 * speed, 0.005 * row * rng.normal(1, 0.1, count))
    return actors, np.array([f"v{i % 4}" for i in range(count)], object)


def one(row: float = 0.6, speed: float = 1.0, angle: float = 0.0, articulation: float = 1.0) -> Actors:
    """A walker as in `walkers`; its speed and articulation in what is usual there, its direction in degrees."""
    along, turn = 0.02 * row * speed, np.deg2rad(angle)
    return Actors(*(np.array([v]) for v in (row, 0.3 * row, [along * np.cos(turn), along * np.sin(turn)], 1.3 * along,
                                            0.005 * row * articulation)))


@pytest.fixture(scope="module")
def fitted():
    """Each channel with the 99th percentile of its held-out scores."""
    actors, videos = walkers()
    return {kind: (channel, np.quantile(held_out, 0.99)) for kind in CHANNELS
            for channel, held_out in [fit_channel(kind, actors, videos)]}


@pytest.mark.parametrize(("strange", "seen_by"), [
    (one(angle=90), {Velocity}), (one(speed=0), {Velocity}), (one(articulation=4), {Articulation}),
    (one(row=0.35, speed=2.0), {Speed, Velocity}), (one(), set()), (one(row=0.35), set()), (one(row=0.95), set())],
    ids=["wrong direction", "stands where all walk", "gestures", "a far runner", "walks", "walks far", "walks near"])
def test_a_channel_sees_what_is_its_own(fitted, strange, seen_by):
    assert {kind for kind, (channel, level) in fitted.items() if channel.score(strange)[0] > level} == seen_by


def test_a_piece_of_a_person_is_not_a_small_one_that_runs(fitted):
    channel, _ = fitted[Velocity]
    whole = one()
    piece = dataclasses.replace(whole, height=whole.height / 2)
    small = Actors(*(np.concatenate(v) for v in zip(vars(whole).values(), vars(piece).values())))
    walking = channel.vectors(small, np.maximum(channel.height(small.row), small.height))
    assert walking[0, 0] == pytest.approx(walking[1, 0], rel=0.1)


@pytest.mark.parametrize("kind", CHANNELS)
def test_a_score_of_a_training_actor_does_not_come_from_its_own_video(kind):
    actors, videos = walkers(400)
    odd = one(angle=90, speed=3.0, articulation=4.0)
    both = zip(vars(actors).values(), vars(odd).values())
    many = Actors(*(np.concatenate([a, np.repeat(b, 40, 0)]) for a, b in both))
    channel, held_out = fit_channel(kind, many, np.append(videos, ["odd"] * 40))
    assert held_out[400:].min() > held_out[:400].max() and channel.score(odd)[0] < held_out[400]


@pytest.mark.parametrize("kind", CHANNELS)
@pytest.mark.parametrize("count", [1, 2, 40])
def test_few_or_equal_actors_give_finite_scores(kind, count):
    same = Actors(*(np.repeat(v, count, 0) for v in vars(one()).values()))
    channel, held_out = fit_channel(kind, same, np.array(["a"] * count, object))
    assert held_out.shape == (count,) and np.isfinite(held_out).all()
    fast = channel.score(one(speed=9, articulation=9))
    assert np.isfinite(fast).all() and fast[0] > channel.score(one())[0]
    assert channel.score(one().take(np.zeros(1, bool))).shape == (0,)


def test_nobody_is_no_channel():
    channel, held_out = fit_channel(Speed, one().take(np.zeros(1, bool)), np.zeros(0, object))
    assert channel is None and held_out.shape == (0,)


@pytest.mark.parametrize("kind", CHANNELS)
def test_a_channel_survives_saving(kind):
    actors, videos = walkers(600)
    channel, _ = fit_channel(kind, actors, videos)
    assert np.array_equal(kind.from_arrays(channel.arrays()).score(actors), channel.score(actors))
