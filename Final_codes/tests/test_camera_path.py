"""The camera's path: a lasting shift is corrected in every frame, a jolt in its own, and nothing else is touched."""

import numpy as np
import pytest
from test_timeline import soft, soft_scene, touched

from pixelplay.repair import camera_path, geometry

LIMIT = 1.0


def camera_shifts(own, shown=None, videos=None, frames=None):
    own = np.array(own, float)
    shown = own if shown is None else np.array(shown, float)
    videos = np.array(["1"] * len(own), dtype=object) if videos is None else videos
    frames = np.arange(len(own)) if frames is None else frames
    asked = []

    def measure(row):
        asked.append(row)
        return shown[row]

    return camera_path.camera_shifts(own, np.hypot(*own.T) > LIMIT, measure, videos, frames, LIMIT), asked


def test_a_shift_that_some_frames_hide_is_corrected_in_all():
    shown = np.tile([0.99, 0.15], (60, 1)) + 0.01 * np.random.default_rng(0).normal(size=(60, 2))
    own = np.where(np.hypot(*shown.T)[:, None] > LIMIT, shown, 0)
    assert 0 < own.any(axis=1).sum() < 60  # by themselves some frames pass the limit, some do not
    found, _ = camera_shifts(own, shown)
    assert np.abs(found - [0.99, 0.15]).max() < 0.02


def test_a_slow_drift_is_followed_without_a_jump():
    turn = np.linspace(0, np.pi / 2, 80)
    shown = 1.2 * np.column_stack([np.cos(turn), np.sin(turn)])
    found, _ = camera_shifts(shown)
    assert np.hypot(*np.diff(found, axis=0).T).max() < 0.05 and np.abs(found - shown).max() < 0.3


def test_a_jolt_is_corrected_alone():
    own = np.zeros((50, 2))
    own[20] = 6, -2
    found, _ = camera_shifts(own)
    assert found[20].tolist() == [6, -2] and not np.delete(found, 20, axis=0).any()
    own += 3, 0
    found, _ = camera_shifts(own)
    assert found[20].tolist() == [9, -2] and (np.delete(found, 20, axis=0) == [3, 0]).all()


def test_stretches_are_apart_and_those_without_a_shift_are_not_looked_at():
    own = np.zeros((90, 2))
    own[30:60] = 2, 0
    videos = np.array(["1"] * 60 + ["2"] * 30, dtype=object)
    frames = np.concatenate([np.arange(30), np.arange(100, 130), np.arange(30)])
    found, asked = camera_shifts(own, videos=videos, frames=frames)
    assert asked == list(range(30, 60)) and (found == own).all()


@pytest.mark.parametrize("shift", [(0.98, 0.15), (-0.6, 1.1), (0, 0)])
def test_the_place_of_a_frame_is_measured_within_a_pixel(shift):
    reference = geometry.Reference.of(soft_scene().picture)
    places = np.array([geometry.best_shift(touched(soft(t), 0, 1, *shift), reference) for t in range(700, 708)])
    assert np.abs(np.median(places, axis=0) - shift).max() < 0.25, places
