"""Foreground and actors: what is found, what is not, and crops that are never distorted."""

from __future__ import annotations

import numpy as np
import pytest
from footage import make_footage

from pixelplay.scenes.grouping import group_videos
from pixelplay.scenes.lighting import SAME_LIGHT, colour_thumbnail, distances
from pixelplay.two_stream.actor_table import _faster
from pixelplay.two_stream.actors import ActorRules, crop, join_actors, within_rules
from pixelplay.two_stream.detectors import Detections
from pixelplay.two_stream.foreground import analysis_size, components, fit_background, shrink

RULES = ActorRules(min_area=1e-4)


@pytest.fixture(scope="module")
def background():
    return fit_background(make_footage(3, 20, (96, 160)), (96, 160))


def scene(seed: int = 9):
    """One frame without actors (h, w, 3)."""
    return make_footage(1, 1, (96, 160), seed, blobs=0).pixels[0]


def found(boxes, classes=None) -> Detections:
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    return Detections(boxes, np.full(len(boxes), 0.9, np.float32),
                      np.zeros(len(boxes), np.int16) if classes is None else np.asarray(classes, np.int16))


def test_an_empty_scene_has_no_foreground_and_an_object_has_its_own(background):
    empty = scene()
    mode, distance = background.mode_of(empty)
    assert background.mask(empty, mode).mean() < 0.001 and distance < 5
    empty[40:60, 50:60] = (255, 0, 255)
    boxes = components(background.mask(empty, mode), 20)
    assert len(boxes) == 1 and np.abs(boxes[0] - [50, 40, 60, 60]).max() <= 3


def test_less_light_is_no_foreground(background):
    dark = (scene().astype(float) * 0.7).astype(np.uint8)
    assert background.mask(dark, 0).mean() < 0.01


def test_a_noisy_frame_is_not_alive(background):
    noisy = np.clip(scene() + np.random.default_rng(0).normal(0, 40, (96, 160, 3)), 0, 255).astype(np.uint8)
    assert background.mask(noisy, 0).mean() < 0.05


def test_another_camera_is_another_mode():
    thumbs = np.stack([colour_thumbnail(scene()), colour_thumbnail(scene(10)), colour_thumbnail(scene()[::-1])])
    assert group_videos(thumbs, distances, SAME_LIGHT) == [[0, 1], [2]]
    assert group_videos(thumbs, distances, SAME_LIGHT, most=1) == [[0, 1, 2]]


def test_analysis_size_never_enlarges():
    assert analysis_size((240, 360), 480) == (240, 360)
    assert analysis_size((1080, 1920), 480) == (270, 480)
    assert shrink(np.zeros((1080, 1920, 3), np.uint8), (270, 480)).shape == (270, 480, 3)


def test_a_detection_grows_by_the_foreground_attached_to_it():
    mask = np.zeros((96, 160), bool)
    mask[20:70, 40:60] = True
    joined = join_actors(found([[42, 20, 58, 55]]), mask, (96, 160), RULES)
    assert joined.classes.tolist() == [0]
    assert np.abs(joined.boxes[0] - [40, 20, 60, 70]).max() <= 1


def test_people_in_one_foreground_part_stay_apart():
    mask = np.zeros((96, 160), bool)
    mask[20:60, 20:80] = True
    people = [[20, 20, 48, 60], [50, 20, 80, 60]]
    assert join_actors(found(people), mask, (96, 160), RULES).boxes.tolist() == people


def test_foreground_no_detector_knows_is_an_actor_in_original_pixels():
    mask = np.zeros((48, 80), bool)
    mask[10:20, 30:40] = True
    joined = join_actors(Detections.none(), mask, (96, 160), RULES)
    assert joined.classes.tolist() == [-1] and np.abs(joined.boxes[0] - [60, 20, 80, 40]).max() <= 2


def test_nothing_anywhere_is_no_actor():
    assert len(join_actors(Detections.none(), np.zeros((48, 80), bool), (96, 160), RULES)) == 0


def test_slivers_specks_and_floods_are_no_actors():
    boxes = np.array([[0, 0, 150, 4], [0, 0, 1, 1], [0, 0, 160, 96], [10, 10, 30, 50]], np.float32)
    assert within_rules(boxes, (96, 160), RULES).tolist() == [False, False, False, True]


@pytest.mark.parametrize("box", [(60, 20, 70, 60), (0, 0, 10, 40), (150, 60, 160, 96), (5, 5, 5, 5)])
def test_a_crop_is_square_and_undistorted(box):
    frame = np.zeros((96, 160, 3), np.uint8)
    frame[::8] = frame[:, ::8] = 255
    part = crop(frame, np.array(box, np.float32), 0.1, side=64)
    assert part.shape == (64, 64, 3) and part.dtype == np.uint8
    if box[0] == 60:  # a 10 x 40 box: 48 pixels in both directions, 8-pixel grid lines 6 a side
        bright = part[..., 0].astype(float)
        across, down = (np.abs(np.fft.rfft(bright.mean(a) - bright.mean()))[1:].argmax() + 1 for a in (0, 1))
        assert across == down


@pytest.mark.parametrize("limit", [0.05, 1.0, 3.0])
def test_faster_than_a_limit_is_what_hypot_says(limit):
    velocity = np.random.default_rng(0).normal(0, 1, (40, 60, 2)).astype(np.float32)
    velocity[0, 0], velocity[0, 1], velocity[0, 2] = (limit, 0), (0.6 * limit, 0.8 * limit), (0, 0)
    assert np.array_equal(_faster(velocity, limit), np.hypot(velocity[..., 0], velocity[..., 1]) > limit)
