"""Borrowing from clean neighbours, and noise-conditional calibration."""

import numpy as np
import pytest
from scene import background, frame

from pixelplay.calibration import calibrate
from pixelplay.data.corruption import corrupt_frame, frame_rng
from pixelplay.repair.conditional import noise_conditional
from pixelplay.repair.neighbours import REACH, Lender, clean_neighbours


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
    refined = Lender()(noisy, near)
    assert error(refined, truth) < .5 * error(noisy, truth)
    assert error(Lender()(noisy, near[:1]), truth) < .7 * error(noisy, truth)


def test_what_only_this_frame_shows_stays():
    shown = background()
    shown[40:70, 60:100] = (250, 20, 20)
    refined = Lender()(shown, [background(), background()])
    inside = np.abs(refined.astype(int) - background())[48:62, 68:92].mean()
    assert inside > .7 * np.abs(shown.astype(int) - background())[48:62, 68:92].mean()


def test_nothing_to_borrow_or_tiny_frames_come_back_as_they_are():
    assert (Lender()(frame(0), []) == frame(0)).all()
    tiny = np.zeros((16, 16, 3), np.uint8)
    assert (Lender()(tiny, [tiny]) == tiny).all()
    lender = Lender()
    lender(frame(0), [frame(1)])
    assert lender(frame(0, size=(64, 96)), [frame(1, size=(64, 96))]).shape == (64, 96, 3)


def test_conditional_calibration_takes_offset_and_scale_of_noise_out():
    rng = np.random.default_rng(0)
    scores = {s: np.exp(rng.normal(s / 20, 1 + s / 40, 4000)) for s in (0.0, 20.0, 40.0)}
    z = noise_conditional(scores, log=True)
    for sigma, values in scores.items():
        found = z(values, np.full(len(values), sigma))
        assert np.median(found) == pytest.approx(0, abs=.05)
        assert np.median(np.abs(found)) == pytest.approx(1 / 1.4826, abs=.05)
    clean = calibrate(scores[0.0], log=True)
    assert z(scores[0.0], np.zeros(4000)) == pytest.approx(clean(scores[0.0]))
    assert z(np.array([3.0]), np.array([90.0])) == z(np.array([3.0]), np.array([40.0]))


def test_conditional_calibration_refuses_what_it_cannot_use_and_survives_constants():
    with pytest.raises(ValueError, match="sigma 0"):
        noise_conditional({10.0: np.ones(3)}, log=False)
    with pytest.raises(ValueError, match="sigma 0"):
        noise_conditional({}, log=False)
    assert noise_conditional({0.0: np.ones(3)}, log=False)(np.ones(2), np.zeros(2)).tolist() == [0, 0]
