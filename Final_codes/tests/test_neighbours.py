"""Borrowing from clean neighbours."""

import numpy as np
from scene import background, frame

from pixelplay.data.corruption import corrupt_frame, frame_rng
from pixelplay.flow.dense import DenseFlow, matchable
from pixelplay.repair.denoise import Denoiser
from pixelplay.repair.neighbours import REACH, TemporalFusion, clean_neighbours


def error(a, b):
    return np.abs(a.astype(float) - b).mean()


def test_neighbours_are_the_nearest_clean_ones_within_reach_and_video():
    videos = np.array(["1"] * 6 + ["2"] * 2, dtype=object)
    frames = np.array([0, 1, 2, 3, 10, 11, 12, 13])
    clean = np.array([1, 0, 0, 1, 1, 0, 1, 1], bool)
    assert clean_neighbours(clean, videos, frames, 1) == [0]
    assert clean_neighbours(clean, videos, frames, 2) == [3]
    assert clean_neighbours(clean, videos, frames, 5) == [4]
    assert clean_neighbours(np.array([1, 0, 1], bool), videos[:3], frames[:3], 1) == [0, 2]
    assert clean_neighbours(~clean, videos, frames, 7) == []
    far = np.array([0, REACH + 1, 2 * REACH + 2])
    assert clean_neighbours(np.ones(3, bool), videos[:3], far, 1) == []


def test_a_noisy_frame_comes_closer_to_the_truth():
    truth = frame(300)
    noisy = corrupt_frame(truth, "noise", 12, frame_rng(0, "1_0"))
    near = [frame(299), frame(301)]
    refined = TemporalFusion()(noisy, near)
    assert error(refined, truth) < .5 * error(noisy, truth)
    assert error(TemporalFusion()(noisy, near[:1]), truth) < .7 * error(noisy, truth)


def test_what_only_this_frame_shows_stays():
    shown = background()
    shown[40:70, 60:100] = (250, 20, 20)
    refined = TemporalFusion()(shown, [background(), background()])
    inside = np.abs(refined.astype(int) - background())[48:62, 68:92].mean()
    assert inside > .7 * np.abs(shown.astype(int) - background())[48:62, 68:92].mean()


def test_what_stands_still_does_not_begin_to_move():
    truth = background()
    denoised = Denoiser(truth)(corrupt_frame(truth, "noise", 37, frame_rng(0, "1_0")), 37)
    refined = TemporalFusion()(denoised, [truth])
    speed = np.hypot(*DenseFlow()(matchable(truth), matchable(refined), 1).transpose(2, 0, 1))
    assert speed.mean() < .02


def test_somebody_who_has_moved_on_leaves_no_ghost():
    here, there = background().astype(int), background().astype(int)
    here[50:80, 90:100] += 45
    there[50:80, 20:30] += 45
    here, there = (np.clip(f, 0, 255).astype(np.uint8) for f in (here, there))
    own = corrupt_frame(here, "noise", 3, frame_rng(0, "1_0"))
    refined = TemporalFusion()(own, [there])
    for columns in (slice(18, 32), slice(88, 102)):
        assert error(refined[48:82, columns], here[48:82, columns]) < 1.5 * error(own[48:82, columns],
                                                                                 here[48:82, columns])


def test_nothing_to_borrow_or_tiny_frames_come_back_as_they_are():
    assert (TemporalFusion()(frame(0), []) == frame(0)).all()
    tiny = np.zeros((16, 16, 3), np.uint8)
    assert (TemporalFusion()(tiny, [tiny]) == tiny).all()
    fusion = TemporalFusion()
    fusion(frame(0), [frame(1)])
    assert fusion(frame(0, size=(64, 96)), [frame(1, size=(64, 96))]).shape == (64, 96, 3)
