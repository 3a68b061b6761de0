"""Shapes: what is large or wide for its row, and what little training footage leaves."""

from __future__ import annotations

import numpy as np
import pytest

from pixelplay.two_stream.shape import ShapeModel, fit_shapes, shape_vectors
from pixelplay.two_stream.usual import Places


def people(count: int, seed: int = 0) -> tuple[np.ndarray, Places, np.ndarray]:
    """Upright boxes whose height is a quarter of their lower edge, 400 lines, in four videos."""
    rng = np.random.default_rng(seed)
    row = rng.uniform(0.3, 1.0, count)
    height = 100 * row * np.exp(rng.normal(0, 0.1, count))
    left, foot = rng.uniform(0, 500, count), 400 * row
    boxes = np.stack([left, foot - height, left + 0.4 * height, foot], 1)
    return boxes, places_of(boxes), np.array([f"v{i % 4}" for i in range(count)], object)


def places_of(boxes: np.ndarray) -> Places:
    boxes = np.asarray(boxes, float)
    return Places(boxes[:, 3] / 400, np.zeros(len(boxes)), np.zeros(len(boxes), np.int64))


def test_wide_fallen_and_misplaced_actors_stand_out_and_usual_ones_do_not():
    boxes, places, videos = people(3000)
    model, held_out = fit_shapes(boxes, places, videos)
    odd = np.array([[100, 300, 220, 400],    # a cart: as high as a person, three times as wide
                    [100, 360, 200, 400],    # somebody lies
                    [100, 20, 140, 120]])    # a near person's size, far away
    assert (model.score(odd, places_of(odd)) > 2 * np.quantile(held_out, 0.99)).all()
    fresh, there, _ = people(500, seed=1)
    assert np.mean(model.score(fresh, there) > np.quantile(held_out, 0.99)) < 0.05


def test_an_actor_is_held_out_with_its_video():
    boxes, places, videos = people(400)
    boxes[videos == "v1"] += [0, 0, 300, 0]  # one video alone shows something wide
    places = places_of(boxes)
    model, held_out = fit_shapes(boxes, places, videos)
    wide = videos == "v1"
    assert held_out[wide].min() > model.score(boxes, places)[wide].max()


@pytest.mark.parametrize("count", [0, 1, 2, 6, 40])
def test_few_or_equal_actors_give_finite_scores(count):
    boxes = np.tile([10.0, 10.0, 30.0, 60.0], (count, 1))
    model, held_out = fit_shapes(boxes, places_of(boxes), np.array(["a"] * count, object))
    assert held_out.tolist() == [0.0] * count
    other = np.array([[10.0, 10.0, 10.0, 10.0]])  # a box without an area
    score = model.score(other, places_of(other))
    assert np.isfinite(score).all() and (score > 0) == (count > 0)
    assert model.score(boxes[:0], places_of(boxes[:0])).shape == (0,)


def test_shapes_are_ratios():
    boxes = np.array([[0, 0, 10, 20], [0, 0, 20, 40.0]])
    places = Places(np.full(2, 0.5), np.zeros(2), np.zeros(2, np.int64))
    assert np.diff(shape_vectors(boxes, places), axis=0)[0] == pytest.approx([np.log(2), np.log(2), 0], rel=1e-5)
    assert ShapeModel(shape_vectors(boxes, places)).score(boxes[:1], places.take(np.array([0])))[0] > 0
