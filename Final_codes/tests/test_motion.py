"""Flow and motion of actors: units, gaps, borders, tracks; from actors to frames."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from footage import make_footage

from pixelplay.calibration import Rarity
from pixelplay.flow.dense import DenseFlow, matchable
from pixelplay.flow.references import reference_frames, with_references
from pixelplay.two_stream.actor_table import ActorTable
from pixelplay.two_stream.motion import Motion, actor_motion
from pixelplay.two_stream.scoring import fill_between, fill_missing, frame_maxima, reason
from pixelplay.two_stream.tracks import link_actors, track_mean


def textured(shift: float = 0.0) -> np.ndarray:
    """A textured picture (96, 128, 3) moved right by `shift` pixels."""
    grain = np.random.default_rng(0).uniform(0, 255, (24, 40)).astype(np.float32)
    large = cv2.resize(grain, (160, 96), interpolation=cv2.INTER_CUBIC).clip(0, 255)
    moved = cv2.warpAffine(large, np.float32([[1, 0, shift], [0, 1, 0]]), (160, 96), borderMode=cv2.BORDER_REFLECT)
    return np.repeat(moved[:, 16:144, None].astype(np.uint8), 3, axis=2)


@pytest.mark.parametrize("step", [-1, -2, 2])
def test_velocity_is_pixels_per_frame_forward_in_time(step):
    # 2 pixels a frame to the right: the other picture lies `step` frames away
    velocity = DenseFlow()(matchable(textured(0.0)), matchable(textured(2.0 * step)), step)
    assert np.median(velocity[8:-8, 8:-8, 0]) == pytest.approx(2.0, abs=0.2)
    assert np.median(velocity[8:-8, 8:-8, 1]) == pytest.approx(0.0, abs=0.2)


def test_a_still_picture_and_a_tiny_one_do_not_move():
    assert np.abs(DenseFlow()(matchable(textured()), matchable(textured()), -1)).max() < 0.05
    tiny = np.zeros((8, 8), np.uint8)
    assert np.array_equal(DenseFlow()(tiny, tiny + 9, -1), np.zeros((8, 8, 2)))


def test_partners_stay_in_the_video_and_on_their_side_of_a_gap():
    videos = np.array(["a"] * 6 + ["b"] * 3 + ["c"], object)
    frames = np.array([0, 1, 2, 10, 11, 12, 0, 1, 2, 5])
    found = reference_frames(videos, frames, np.ones(10), 2, 2)
    assert found[9] == -1 and (found[:9] >= 0).all()
    assert (np.abs(frames[found[:9]] - frames[:9]) <= 2).all() and found[2] == 0 and found[8] == 6
    assert (found[:3] <= 2).all() and (found[3:6] >= 3).all() and (found[3:6] <= 5).all() and (found[6:9] >= 6).all()


def test_an_unreliable_partner_is_avoided():
    trust = np.ones(9)
    trust[4] = 0.0
    found = reference_frames(np.array(["a"] * 9, object), np.arange(9), trust, 2, 1)
    assert found[6] in (3, 5) and found[5] == 3


def test_frames_come_in_order_with_their_partners_and_are_let_go():
    partner = np.array([2, 0, 0, 1, -1])
    stream = ((i, f"full{i}", f"small{i}") for i in range(5))
    walked = list(with_references(stream, [partner, np.full(5, -1)]))
    assert [(w[0], w[1], w[2]) for w in walked] == [(i, f"full{i}", f"small{i}") for i in range(5)]
    assert [w[3] for w in walked] == [[(2, "small2")], [(0, "small0")], [(0, "small0")], [(1, "small1")], []]


def test_actor_motion_measures_the_foreground_inside_the_box():
    velocity = np.zeros((40, 60, 2), np.float32)
    mask = np.zeros((40, 60), bool)
    mask[10:30, 20:30] = True
    velocity[mask] = (3.0, 4.0)
    out = actor_motion([velocity, velocity * 0.5], mask, np.array([[15, 5, 35, 35], [50, 0, 60, 10], [70, 70, 80, 80]]))
    # the second has no foreground: the whole box is measured; the third lies outside the picture
    assert out.speed == pytest.approx([5.0, 0.0, 0.0]) and out.upper_speed == pytest.approx([2.5, 0.0, 0.0])
    assert out.velocity == pytest.approx(np.array([[3.0, 4.0], [0.0, 0.0], [0.0, 0.0]]))
    assert out.articulation.tolist() == [0.0, 0.0, 0.0], "a body that moves as a whole does not move in itself"


def test_a_waving_arm_is_articulation_and_a_walk_is_not():
    mask, walking = np.ones((30, 30), bool), np.full((30, 30, 2), (2.0, 0.0), np.float32)
    waving = walking.copy()
    waving[:10, 20:] += (0.0, 3.0)
    box = np.array([[0, 0, 30, 30]])
    assert actor_motion([walking], mask, box).articulation[0] == 0
    assert actor_motion([waving], mask, box).articulation[0] == pytest.approx(3.0, abs=0.01)


def test_frame_scores_are_maxima_and_empty_frames_are_unknown():
    out = frame_maxima(np.array([1.0, 3.0, np.nan]), np.array([0, 0, 2]), 4)
    assert out[0] == 3.0 and np.isnan(out[1:]).all()


def test_scores_between_evaluated_frames_never_cross_a_border():
    videos = np.array(["a"] * 3 + ["b"] * 2, object)
    out = fill_between(np.array([0.0, np.nan, 4.0, 10.0, np.nan]), np.array([1, 0, 1, 1, 0], bool), videos,
                       np.array([0, 1, 4, 0, 1]), 3)
    assert out.tolist() == [0.0, 1.0, 4.0, 10.0, 10.0]


def test_a_missing_score_takes_the_nearest_of_its_video():
    videos = np.array(["a"] * 4 + ["b"], object)
    out = fill_missing(np.array([1.0, 0.0, 0.0, 7.0, 0.0]), np.array([0, 1, 1, 0, 1], bool), videos,
                       np.array([0, 1, 40, 50, 0]), -2.0)
    assert out.tolist() == [1.0, 1.0, 7.0, 7.0, -2.0]


def test_rarity_is_the_tail_share_in_powers_of_ten_and_never_ties():
    train = np.random.default_rng(0).exponential(1.0, 20000)
    rarity = Rarity.fit(train, videos=10000)
    assert rarity(np.log([10.0, 100.0, 1e6])) == pytest.approx([1.0, 2.0, 6.0], rel=0.05)
    assert (np.diff(rarity(np.array([0.0, 0.1, 1.0, 5.0, 50.0, 51.0]))) > 0).all()


def test_few_videos_say_less_about_what_they_have_not_shown():
    train = np.random.default_rng(0).exponential(1.0, 2000)
    few, many = Rarity.fit(train, videos=2), Rarity.fit(train, videos=100)
    common, rare = np.array([0.1, 1.0, many.levels[-1]]), np.array([5.0, 9.0, 30.0])
    assert np.array_equal(few(common), many(common))
    assert (few(rare) < many(rare)).all() and (np.diff(few(rare)) > 0).all()


@pytest.mark.parametrize("train", [[2.0], [2.0] * 50, [1.0, 3.0]])
def test_rarity_of_few_or_equal_scores_is_finite(train):
    out = Rarity.fit(np.array(train), videos=1)(np.array([-1.0, 2.0, 9.0]))
    assert np.isfinite(out).all() and out[2] > out[0]


def test_the_reason_is_the_channel_that_spoke():
    words = {"speed": "moves fast", "appearance": "looks odd"}
    assert reason({"speed": 5.0, "appearance": np.nan}, words, 0) == "person moves fast"
    assert reason({"speed": 1.0, "appearance": 4.0}, words, -1) == "object looks odd"
    assert reason({"speed": 1.0, "appearance": 1.0}, words, 0) == ""
    assert reason({"speed": np.nan, "appearance": np.nan}, words, 0) == ""


def walkers_table(frames: int, speed: float = 6.0) -> ActorTable:
    """Two actors walking in opposite directions, one row a frame and actor."""
    position = np.repeat(np.arange(frames), 2)
    left = np.stack([10 + speed * np.arange(frames), 150 - speed * np.arange(frames)], 1).ravel()
    boxes = np.stack([left, np.full_like(left, 20), left + 10, np.full_like(left, 50)], 1).astype(np.float32)
    motion = Motion.none(2 * frames)
    motion.velocity[:, 0] = np.tile([speed, -speed], frames)
    flat = np.zeros(2 * frames, np.int16)
    return ActorTable(position, boxes, flat.astype(np.float32), flat, *motion, flat == 0)


def test_actors_are_linked_along_their_own_motion_but_not_over_a_gap():
    footage = make_footage(1, 8, gaps=[(0, 3)])
    earlier, later = link_actors(walkers_table(8), footage, 1)
    assert later.tolist() == [2, 3, 4, 5, 6, 7, -1, -1, 10, 11, 12, 13, 14, 15, -1, -1]
    assert earlier.tolist() == [-1, -1, 0, 1, 2, 3, 4, 5, -1, -1, 8, 9, 10, 11, 12, 13]


def test_a_score_is_the_mean_of_its_track_and_a_lone_score_stays():
    later = np.array([1, 2, 3, 4, -1, -1, -1])
    earlier = np.array([-1, 0, 1, 2, 3, -1, -1])
    out = track_mean(np.array([1.0, 1.0, 9.0, 1.0, np.nan, 5.0, np.nan]), earlier, later, 2)
    np.testing.assert_allclose(out[:6], [11 / 3, 3.0, 3.0, 11 / 3, 5.0, 5.0])
    assert np.isnan(out[6])


@pytest.mark.parametrize("reach", [1, 2, 3, 6])
def test_an_actor_is_judged_along_its_track(reach):
    once = np.zeros(40)
    once[2 * 10] = 1.0  # the first actor, in frame 10
    out = track_mean(once, *link_actors(walkers_table(20, speed=2.0), make_footage(1, 20), 1), reach)
    assert np.flatnonzero(out[::2]).tolist() == list(range(10 - reach, 10 + reach + 1)) and not out[1::2].any()
