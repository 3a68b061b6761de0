"""Repetitions, blank, exposure, blur, shift and reliability."""

import functools

import cv2
import numpy as np
import pytest
from scene import background, frame

from pixelplay.data.corruption import corrupt_frame, frame_rng
from pixelplay.data.manifest import FLAGS
from pixelplay.repair import geometry
from pixelplay.repair.background import learn_scenes
from pixelplay.repair.reliability import OF_FLAG, reliability
from pixelplay.repair.timeline import RepeatModel, changes, judge, repetitions, run_lengths


@functools.lru_cache
def scene():
    frames = np.stack([frame(t) for t in range(30)])
    return learn_scenes(frames, np.arange(30), np.array(["1"] * 30, dtype=object))[0]


def judged(picture, learned=None):
    learned = learned or scene()
    # as `plan.references` makes them
    values = geometry.measure(picture, geometry.Reference.of(learned.picture, 0.6 * learned.normal["sharpness"][0]))
    flags = judge({k: np.array([v]) for k, v in zip(geometry.COLUMNS, values)}, learned.normal)
    return {k for k, v in flags.items() if v[0]}, dict(zip(geometry.COLUMNS, values))


@pytest.mark.parametrize(("kind", "strength", "expected"), [
    ("blank", 0, {"blank"}), ("blank", 200, {"blank"}), ("exposure", .4, {"exposure"}), ("exposure", 1.8, {"exposure"}),
    ("blur", 3, {"blur"}), ("shift", 8, {"shift"}), ("vflip", 0, None)])
def test_each_kind_is_called_by_its_name(kind, strength, expected):
    found, _ = judged(corrupt_frame(frame(700), kind, strength, frame_rng(0, kind)))
    assert expected is None or found == expected


def with_somebody_close(t):
    """Somebody large before the camera, who is never twice in the same place."""
    picture = frame(t)
    x = 10 + 9 * (t % 8)
    picture[30:, x:x + 45] = (200, 60, 40)
    picture[40:110:6, x:x + 45] = (30, 60, 200)
    return picture


@pytest.mark.parametrize(("kind", "strength"), [("blur", 1.5), ("blur", 2), ("shift", 3), ("shift", 8), ("shift", 14)])
def test_somebody_large_makes_no_shift_of_a_blur_and_no_blur_of_a_shift(kind, strength):
    for t in range(700, 708):
        assert judged(corrupt_frame(with_somebody_close(t), kind, strength, frame_rng(t, kind)))[0] == {kind}, t


def test_clean_frames_pass_and_noise_alone_is_neither_blur_nor_exposure():
    for t in range(600, 630):
        assert judged(frame(t))[0] == set()
    assert judged(corrupt_frame(frame(700), "noise", 37, frame_rng(0, "n")))[0] == set()


def soft(t):
    """A frame through a lens: an edge is wider than a pixel, so half a pixel's move keeps it an edge."""
    return cv2.GaussianBlur(frame(t), (0, 0), 0.7)


@functools.cache
def soft_scene():
    return learn_scenes(np.stack([soft(t) for t in range(30)]), np.arange(30), np.array(["1"] * 30, dtype=object))[0]


def touched(picture, degrees, zoom, dx, dy):
    """What a camera sees after it was touched between two recordings."""
    height, width = picture.shape[:2]
    move = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, zoom)
    move[:, 2] += dx, dy
    return cv2.warpAffine(picture, move, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


@pytest.mark.parametrize("dx", [-.9, -.5, 0, .5, .9])
@pytest.mark.parametrize(("degrees", "zoom"), [(0, 1), (.4, 1), (-.4, 1), (.6, 1), (0, 1.006), (0, .994), (.3, 1.004)])
def test_a_camera_that_was_touched_is_not_out_of_focus(degrees, zoom, dx):
    for t in range(700, 704):
        seen = touched(soft(t), degrees, zoom, dx, -dx / 2)
        assert "blur" not in judged(seen, soft_scene())[0], t
        assert "blur" in judged(corrupt_frame(seen, "blur", 2, frame_rng(t, "blur")), soft_scene())[0], t


def test_gain_offset_and_shift_are_measured():
    _, values = judged(corrupt_frame(frame(700), "exposure", .5, frame_rng(0, "e")))
    assert values["gain"] == pytest.approx(.5, abs=.05) and abs(values["offset"]) < 6
    moved = np.roll(background(), (3, -5), axis=(0, 1))
    _, values = judged(moved)
    assert values["dx"] == pytest.approx(-5, abs=.7) and values["dy"] == pytest.approx(3, abs=.7)


def test_exposure_survives_clipped_and_flat_input():
    gain, offset = geometry.exposure(np.full(100, 255.0, np.float32), np.linspace(0, 255, 100, dtype=np.float32))
    assert (gain, offset) == (0.0, 255.0)
    gain, offset = geometry.exposure(np.full(100, 90.0, np.float32), np.full(100, 60.0, np.float32))
    assert gain == 1.0 and offset == pytest.approx(30)


def test_run_lengths():
    assert run_lengths(np.array([0, 1, 1, 0, 1], bool)).tolist() == [0, 2, 2, 0, 1]
    assert run_lengths(np.zeros(0, bool)).shape == (0,)


def test_repetitions_know_duplicates_frozen_runs_gaps_and_videos():
    model, good = RepeatModel(.1, 0.0, 0), np.zeros(15, bool)
    videos = np.array(["1"] * 12 + ["2"] * 3, dtype=object)
    frames = np.array([*range(6), *range(20, 26), 0, 1, 2])
    change = np.full(15, 2.0)
    change[[0, 12]] = np.nan
    change[2] = 0
    change[7:12] = 0
    short, frozen = repetitions(change, videos, frames, good, good, model)
    assert np.flatnonzero(short).tolist() == [2]
    assert np.flatnonzero(frozen).tolist() == [7, 8, 9, 10, 11]
    nothing, none = repetitions(change, videos, frames, ~good, good, model)
    assert not nothing.any() and not none.any()


def test_footage_that_repeats_pictures_anyway_is_not_accused():
    change = np.tile([1.0, 0.0], 200)
    model = RepeatModel.of(change)
    assert model.around == 1 and model.longest == 1
    good = np.zeros(400, bool)
    short, frozen = repetitions(change, np.array(["1"] * 400, dtype=object), np.arange(400), good, good, model)
    assert not short.any() and not frozen.any()
    assert RepeatModel.of(np.full(5, np.nan)) == RepeatModel(0.0, 0.0, 0)


def test_a_repetition_amid_motion_is_a_duplicate_even_where_still_scenes_repeat():
    model = RepeatModel.of(np.tile([.05, 0.0, .04], 100))
    assert model.around == .04
    videos, frames, good = np.array(["1"] * 9, dtype=object), np.arange(9), np.zeros(9, bool)
    change = np.array([np.nan, .04, 0, .05, .6, 0, .7, .5, 0])
    assert np.flatnonzero(repetitions(change, videos, frames, good, good, model)[0]).tolist() == [5, 8]
    noisy = good.copy()
    noisy[[4, 6, 7]] = True
    assert not repetitions(change, videos, frames, good, noisy, model)[0].any()


def test_changes_stay_inside_videos():
    pixels = np.stack([frame(t) for t in range(4)])
    found = changes(pixels, np.arange(4), np.array(["1", "1", "2", "2"], dtype=object))
    assert np.isnan(found[[0, 2]]).all() and (found[[1, 3]] > 0).all()


def test_reliability_covers_every_flag_and_falls_with_noise():
    assert set(OF_FLAG) == set(FLAGS)
    assert reliability([], 0.0) == 1.0
    values = [reliability(["noise"], s) for s in (5, 15, 27, 37)]
    assert values == sorted(values, reverse=True) and 0 < values[-1] < values[0] < 1
    assert reliability(["vflip", "blank"], 0.0) == 0.0
    assert reliability(["noise"], 20, repaired=False) < reliability(["noise"], 20)
    assert all(0 <= reliability([f], 50.0, 1.0) <= 1 for f in FLAGS)
