"""Orientation and background: flips are found in noise and darkness, never where nothing can tell them apart."""

import numpy as np
import pytest
from scene import background, frame, symmetric

from pixelplay.data.corruption import corrupt_frame, frame_rng, jpeg
from pixelplay.repair.background import learn_scenes
from pixelplay.repair.orientation import (
    ORIENTATIONS,
    SMALLEST_MARGIN,
    decide,
    distinguishable,
    turn,
    turned_features,
)
from pixelplay.scenes.description import features, thumbnail


def learned(frames, videos=None):
    frames = np.stack(frames)
    videos = np.array(["1"] * len(frames) if videos is None else videos, dtype=object)
    return learn_scenes(frames, np.arange(len(frames)), videos)


def likeness(templates, pictures):
    return np.stack([templates @ features(thumbnail(p)) for p in pictures])


def test_turning_twice_is_the_identity_and_matches_the_generator():
    picture = frame(3)
    for k, name in enumerate(ORIENTATIONS):
        assert (turn(turn(picture, k), k) == picture).all()
        if name:
            assert (turn(picture, k) == corrupt_frame(picture, name, 0, frame_rng(0, "1_0"))).all()


def test_turned_features_are_the_features_of_the_turned_picture():
    thumb = thumbnail(frame(7))
    for k, turned in enumerate(turned_features(features(thumb))):
        assert turned == pytest.approx(features(turn(thumb, k)), abs=1e-4)


def test_features_are_unit_length_and_zero_without_contrast():
    assert np.linalg.norm(features(thumbnail(frame(0)))) == pytest.approx(1, abs=1e-4)
    assert not features(np.full((45, 80), 7, np.float32)).any()


@pytest.mark.parametrize("damage", [[], [("noise", 37)], [("exposure", .4)], [("exposure", .4), ("noise", 37)],
                                    [("exposure", 2.0)], [("blur", 4)], [("impulse", .1)]])
def test_every_orientation_is_recovered_under_damage(damage):
    scene = learned([frame(t) for t in range(30)])[0]
    assert scene.usable and scene.allowed.all()
    for k in range(4):
        picture = turn(frame(500 + k), k)
        for kind, strength in damage:
            picture = corrupt_frame(picture, kind, strength, frame_rng(k, kind))
        found = decide(likeness(scene.templates, [jpeg(picture)]), np.zeros((1, 4)), scene.allowed)
        assert found[0] == k, ORIENTATIONS[k]


def test_a_scene_equal_to_its_mirror_image_is_never_mirrored_but_turned_upright():
    rng = np.random.default_rng(0)
    def noisy():
        return np.clip(symmetric() + rng.normal(0, 3, (120, 160, 3)), 0, 255).astype(np.uint8)
    scene = learned([noisy() for _ in range(20)])[0]
    assert scene.usable and scene.allowed.tolist() == [True, True, False, True]
    pictures = [turn(noisy(), 2) for _ in range(10)] + [turn(noisy(), 1) for _ in range(10)]
    found = decide(likeness(scene.templates, pictures), np.zeros((20, 4)), scene.allowed)
    assert (found[:10] == 0).all()
    assert (found[10:] == 1).all()


def test_neighbours_find_single_flips_where_the_background_cannot():
    # the background says nothing; each frame resembles the one before, except frame 5 and the one after it
    likeness_to_background = np.full((10, 4), .9)
    relative = np.tile([.99, .3, .6, .3], (10, 1))
    relative[5] = relative[6] = [.6, .3, .99, .3]
    relative[0] = 0
    found = decide(likeness_to_background, relative, np.ones(4, bool))
    assert found.tolist() == [0] * 5 + [2] + [0] * 4


def test_a_flipped_start_does_not_turn_the_rest_over():
    own = np.tile([.95, .1, .2, .1], (6, 1))
    own[0] = [.1, .95, .1, .2]
    relative = np.tile([.98, .1, .2, .1], (6, 1))
    relative[0], relative[1] = 0, [.1, .98, .1, .2]
    assert decide(own, relative, np.ones(4, bool)).tolist() == [1, 0, 0, 0, 0, 0]
    assert decide(np.zeros((0, 4)), np.zeros((0, 4)), np.ones(4, bool)).shape == (0,)


def test_margin_decides_what_can_be_told_apart():
    close = np.array([[.9, .9 - SMALLEST_MARGIN / 2, .2, .1]] * 5)
    assert distinguishable(close).tolist() == [True, False, True, True]


def test_too_few_frames_a_moving_camera_and_black_footage_are_recognised():
    few = learned([frame(t) for t in range(3)])[0]
    assert not few.usable and "3 training frames" in few.reason
    assert not learned([frame(0)])[0].usable
    wide = np.concatenate([background(s, (120, 200)) for s in range(8)], axis=1)
    moving = learned([wide[:, 40 * t:40 * t + 160] for t in range(30)])[0]
    assert not moving.usable and "moves" in moving.reason
    black = learned([np.zeros((120, 160, 3), np.uint8)] * 20)
    assert not black[0].usable


def test_videos_of_two_cameras_make_two_scenes():
    frames = [frame(t) for t in range(12)] + [frame(t, seed=9) for t in range(10)] + [frame(t + 50) for t in range(12)]
    scenes = learned(frames, ["a"] * 12 + ["b"] * 10 + ["c"] * 12)
    assert [s.videos for s in scenes] == [("a", "c"), ("b",)]
    assert all(s.usable for s in scenes)
