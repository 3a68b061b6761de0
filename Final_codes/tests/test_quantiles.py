"""What is usual at a place: kernels are chosen value by value, and a value is judged against its own surroundings."""

import numpy as np

from pixelplay.two_stream.quantiles import ANYWHERE, NEARBY, NEARBY_AND_ALIKE, Places, fit_quantiles


def scattered(count: int = 3000) -> tuple[Places, np.ndarray]:
    """Actors anywhere in the image, in four videos."""
    rng = np.random.default_rng(0)
    places = Places(rng.uniform(0, 1, count), rng.uniform(-8, -3, count), np.zeros(count, np.int64))
    return places, np.array([f"v{i % 4}" for i in range(count)], object)


def at(row: float) -> Places:
    return Places(np.array([row]), np.array([-5.0]), np.zeros(1, np.int64))


def test_a_crop_cut_off_by_the_lower_edge_is_compared_with_others_there():
    places, videos = scattered()
    rng = np.random.default_rng(1)
    distance = rng.gamma(20.0, 0.05, len(places)) * np.where(places.row > 0.9, 3.0, 1.0)
    model, held_out = fit_quantiles(distance[:, None], places, videos, (ANYWHERE, NEARBY))
    assert model.bandwidths == (NEARBY,)
    assert model.score(np.array([[3.2]]), at(0.98))[0] < 1.0 < 3.0 < model.score(np.array([[3.2]]), at(0.4))[0]
    assert 0.9 < np.mean(held_out < 1.0) < 0.99


def test_every_value_gets_the_simplest_kernel_that_predicts_it():
    places, videos = scattered()
    rng = np.random.default_rng(2)
    noise = rng.gamma(20.0, 0.05, (len(places), 2))
    values = noise * np.stack([np.ones(len(places)), 1 + 4 * places.row], 1)
    model, _ = fit_quantiles(values, places, videos, (ANYWHERE, NEARBY, NEARBY_AND_ALIKE))
    assert model.bandwidths == (ANYWHERE, NEARBY)


def test_a_busy_mode_of_the_background_has_its_own_usual():
    places, videos = scattered()
    rng = np.random.default_rng(3)
    places = Places(places.row, places.size, np.arange(len(places)) % 2)
    values = rng.gamma(20.0, 0.05, (len(places), 1)) * (1 + 4 * places.mode[:, None])
    model, _ = fit_quantiles(values, places, videos, (ANYWHERE,))
    night, day = (Places(np.array([0.5]), np.array([-5.0]), np.array([m])) for m in (0, 1))
    assert model.score(np.array([[4.0]]), night)[0] > 2.0 > 1.0 > model.score(np.array([[4.0]]), day)[0]
