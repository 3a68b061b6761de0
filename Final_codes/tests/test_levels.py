"""The level of a recorded video: bounded by training, blind to other videos, absent where nothing is known of it."""

import dataclasses

import numpy as np
import pytest

from pixelplay.fusion.levels import BOUND, LEAST_VIDEOS, QUIET, video_offsets
from pixelplay.fusion.recipe import Frames, load_recipe
from pixelplay.fusion.scores import ScoreFile


def footage(levels, frames=50, seed=0):
    """(scores, videos): noise around one level a video."""
    rng = np.random.default_rng(seed)
    videos = np.repeat(np.array([f"v{k}" for k in range(len(levels))], dtype=object), frames)
    return np.repeat(np.asarray(levels, float), frames) + rng.uniform(0, 0.01, frames * len(levels)), videos


def test_a_videos_level_is_taken_within_what_training_videos_differ_by():
    train = footage([1.0, 1.2, 1.4, 1.6])
    bound = BOUND * np.std([1.0, 1.2, 1.4, 1.6], ddof=1)
    values, videos = footage([1.3, 1.5, 1.1, 9.0, -9.0], seed=1)
    found = video_offsets(values, videos, *train)
    by_video = [found[videos == f"v{k}"] for k in range(5)]
    assert all(np.ptp(v) == 0 for v in by_video)
    assert [v[0] for v in by_video] == pytest.approx([0, 0.2, -0.2, bound, -bound], abs=0.02)


def test_the_level_is_that_of_the_quiet_frames():
    values, videos = footage([1.0])
    busy = values.copy()
    busy[: int((1 - QUIET) * len(values)) - 1] += 5.0
    train = footage([1.0, 1.2, 1.4, 1.6])
    assert np.abs(video_offsets(busy, videos, *train) - video_offsets(values, videos, *train)).max() < 0.02


@pytest.mark.parametrize("count", range(1, LEAST_VIDEOS))
def test_too_few_training_videos_tell_no_level(count):
    values, videos = footage([3.0, 1.0])
    assert not video_offsets(values, videos, *footage(np.arange(count))).any()


def test_equal_training_videos_allow_no_offset():
    values, videos = footage([3.0, 1.0])
    train = (np.ones(30), np.repeat(np.array(["a", "b", "c"], dtype=object), 10))
    assert not video_offsets(values, videos, *train).any()


def test_a_live_level_is_that_of_the_frames_so_far():
    train = footage([1.0, 1.2, 1.4, 1.6])
    values, videos = footage([1.5, 1.0], frames=60, seed=3)
    whole = video_offsets(values, videos, *train, causal=True)
    for stop in (1, 30, 60, 90):
        assert (video_offsets(values[:stop], videos[:stop], *train, causal=True) == whole[:stop]).all()
    assert whole[59] == pytest.approx(video_offsets(values, videos, *train)[59]), "at its end a video is known"


def test_a_live_level_forgets(monkeypatch):
    monkeypatch.setattr("pixelplay.fusion.levels.WINDOW", 50)
    train = footage([1.0, 1.2, 1.4, 1.6])
    values = np.concatenate([np.full(100, 1.5), np.full(100, 1.1)])
    found = video_offsets(values, np.array(["live"] * 200, dtype=object), *train, causal=True)
    later = video_offsets(values[51:], np.array(["live"] * 149, dtype=object), *train, causal=True)
    assert (found[100:] == later[49:]).all() and found[99] > 0 > found[-1]


@pytest.mark.parametrize("recipe", ["default", "causal"])
def test_scores_lose_a_level_that_training_videos_show_and_say_so(recipe):
    train, names = footage([1.0, 1.2, 1.4, 1.6])
    values, videos = footage([1.5, 1.0, 1.0], seed=2)
    frames = Frames.of_ids([f"{v}_{k % 50}" for k, v in enumerate(videos)])
    ids = np.array([f"{v}_{k}" for k, v in enumerate(names)], dtype=object)
    file = ScoreFile("m", frames.ids, values, ids, train, {"kind": "zscore"})
    few = dataclasses.replace(file, train_ids=ids[:100], train_values=train[:100])
    gap = []
    for one in (file, few):
        fused = load_recipe(recipe).fuse({"m": one}, frames, None)
        gap.append(fused.processed["m"][:50].mean() - fused.processed["m"][50:].mean())
        assert ("own level" in fused.calibration["m"]) == (one is file)
    assert abs(gap[0]) < 0.1 < gap[1]
