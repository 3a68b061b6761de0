"""Windows by index: gaps, borders, short videos, reliability; clips on the device; augmentation by step."""

import dataclasses

import numpy as np
import pytest
import torch
from footage import make_footage

from pixelplay.autoencoders.augment import Augment
from pixelplay.autoencoders.base import TrainConfig
from pixelplay.autoencoders.windows import (
    Clips,
    background_median,
    find_windows,
    network_size,
    noise_floor,
    to_network,
)
from pixelplay.data.subsample import spread

OFFSETS = (-4, -2, 0)


def with_numbers(footage, numbers, videos=None):
    """The same pictures under other frame numbers."""
    return dataclasses.replace(footage, frames=np.asarray(numbers, np.int64),
                               videos=footage.videos if videos is None else np.asarray(videos, object))


def test_every_window_stays_inside_one_video():
    footage = make_footage(videos=3, frames=10)
    windows = find_windows(footage, OFFSETS, max_gap=3)
    assert len(windows) == 3 * (10 - 4)
    assert (footage.videos[windows.rows] == footage.videos[windows.anchors][:, None]).all()
    times = footage.frames[windows.rows] - footage.frames[windows.anchors][:, None]
    assert (times == np.asarray(OFFSETS)).all()
    assert not windows.padded.any() and (windows.weight == 1).all()


def test_a_missing_number_is_bridged_by_its_nearest_neighbour_and_counts_less():
    footage = with_numbers(make_footage(videos=1, frames=9), [0, 1, 2, 3, 5, 6, 7, 8, 9])
    windows = find_windows(footage, OFFSETS, max_gap=3)
    at = {int(footage.frames[a]): i for i, a in enumerate(windows.anchors)}
    assert footage.frames[windows.rows[at[8]]].tolist() == [3, 6, 8]  # 4 is missing: 3 stands in
    assert windows.weight[at[8]] == 0.5 and windows.weight[at[9]] == 1.0


def test_no_window_crosses_a_gap_larger_than_its_tolerance():
    footage = with_numbers(make_footage(videos=1, frames=12), [*range(6), *range(40, 46)])
    rows = find_windows(footage, OFFSETS, max_gap=3).rows
    assert len(rows) == 4
    assert ((rows < 6).all(axis=1) | (rows >= 6).all(axis=1)).all()


@pytest.mark.parametrize("frames", [1, 2, 4])
def test_a_video_shorter_than_a_window_gets_padded_windows(frames):
    long, short = make_footage(videos=1, frames=9), make_footage(videos=1, frames=frames)
    footage = dataclasses.replace(
        long, ids=np.concatenate([long.ids, short.ids]), frames=np.concatenate([long.frames, short.frames]),
        videos=np.array(["1"] * 9 + ["2"] * frames, object), rows=np.arange(9 + frames),
        reliability=np.ones(9 + frames, np.float32), flags=np.array([""] * (9 + frames), object),
        pixels=np.concatenate([long.pixels, short.pixels]))
    windows = find_windows(footage, OFFSETS, max_gap=3)
    assert windows.padded.sum() == frames
    assert (windows.rows[windows.padded] >= 9).all()
    assert windows.rows[windows.padded].max() == 9 + frames - 1


def test_one_unreliable_frame_lowers_the_weight_of_every_window_it_is_in():
    footage = make_footage(videos=1, frames=10)
    footage.reliability[5] = 0.1
    windows = find_windows(footage, OFFSETS, max_gap=3)
    inside = (windows.rows == 5).any(axis=1)
    assert np.allclose(windows.weight[inside], 0.1) and (windows.weight[~inside] == 1).all()


def test_empty_footage_has_no_windows():
    footage = make_footage(videos=1, frames=3).select(np.zeros(3, bool))
    assert len(find_windows(footage, OFFSETS, max_gap=3)) == 0
    assert len(Clips(footage, OFFSETS, (16, 32), 1)) == 0


def test_clips_are_the_frames_of_the_windows_and_the_same_from_memory_and_from_the_map():
    footage = make_footage(videos=2, frames=8, size=(32, 48))
    held = Clips(footage, OFFSETS, (32, 48), 3)
    read = Clips(footage, OFFSETS, (32, 48), 3, budget=0)
    assert held.held is not None and read.held is None
    for (a, i), (b, j) in zip(held.batches(batch=3), read.batches(batch=3), strict=True):
        assert (i == j).all() and all(torch.equal(x, y) for x, y in zip(a, b))
    first = held.take(held.windows.rows[:1]).frames[0, 0]
    wanted = footage.pixels[footage.rows[held.windows.rows[0, 0]]].transpose(2, 0, 1) / 255
    assert np.allclose(first.numpy(), wanted, atol=1e-6)


def test_resizing_averages_areas_and_gray_is_luma():
    frames = np.zeros((1, 4, 4, 3), np.uint8)
    frames[0, :2, :2] = (255, 0, 0)
    small = to_network(frames, (2, 2), 1)
    assert small.dtype == torch.uint8 and small.shape == (1, 1, 2, 2)
    assert small[0, 0].tolist() == [[76, 0], [0, 0]]


def test_network_size_keeps_the_shape_in_multiples_of_sixteen():
    assert network_size((192, 288), 96) == (96, 144)
    assert network_size((192, 336), 96) == (96, 160)
    assert network_size((10, 500), 16)[0] == 16


def test_spread_and_statistics_of_training_frames():
    assert spread(0, 5).tolist() == [] and spread(3, 5).tolist() == [0, 1, 2]
    assert spread(6, 3).tolist() == [0, 2, 5]
    assert spread(np.arange(10, 16), 4, rounded=True).tolist() == [10, 12, 13, 15]
    still = make_footage(videos=1, frames=6, blobs=0, noise=0)
    assert torch.equal(noise_floor(still, (48, 80), 3), torch.zeros(1, 48, 80))
    background = background_median(still, (48, 80), 3)
    assert torch.allclose(background, torch.from_numpy(still.pixels[0].transpose(2, 0, 1) / 255).float(), atol=1e-6)
    noisy = noise_floor(make_footage(videos=1, frames=30, blobs=0, noise=5), (48, 80), 3)
    # the difference of two frames has sqrt(2) times the noise; luma averages the channels' noise
    assert 1 / 255 < noisy.median() < 10 / 255
    assert torch.equal(noise_floor(still.select(np.arange(1)), (48, 80), 3), torch.zeros(1, 48, 80))


def test_augmentation_depends_on_the_step_alone_and_a_process_gets_its_share_of_it():
    clips = Clips(make_footage(videos=2, frames=30, size=(32, 48)), OFFSETS, (32, 48), 1)
    config = TrainConfig(noise_p=1.0, skip_p=0.5, brightness=0.2)
    windows = np.arange(8)
    clip, target = Augment(clips, config, seed=1).batch(5, windows)
    again = Augment(clips, config, seed=1)
    again.batch(4, windows)
    halves = [again.batch(5, windows, half) for half in (slice(0, 4), slice(4, 8))]
    for which, whole in enumerate((clip, target)):
        for field in ("frames", "speed"):
            assert torch.equal(torch.cat([getattr(h[which], field) for h in halves]), getattr(whole, field))
    assert not torch.equal(Augment(clips, config, seed=1).batch(6, windows)[0].frames, clip.frames)
    assert clip.frames.min() >= 0 and clip.frames.max() <= 1


def test_a_clip_played_too_fast_shows_it_in_its_speed_and_its_target_does_not():
    clips = Clips(make_footage(videos=1, frames=40, size=(32, 48), speed=1.0, noise=0), (-2, -1, 0), (32, 48), 1)
    config, windows = TrainConfig(noise_p=0.0, skip_p=1.0, brightness=0.0), np.arange(20, 28)
    clip, target = Augment(clips, config, seed=1).batch(0, windows)
    plain = clips.take(clips.windows.rows[windows])
    assert torch.equal(target.frames, plain.frames) and torch.equal(target.speed, plain.speed)
    assert plain.speed.max() > 0
    assert torch.equal(clip.frames[:, -1], plain.frames[:, -1])  # the judged frame stands; its past lies further back
    # 2 to 5 times as fast: a drawn factor each window, the same for all of its places
    still = plain.speed[:, -1] == 0
    factor = (clip.speed[:, -1] / plain.speed[:, -1]).masked_fill(still, torch.nan).flatten(1)
    for row in factor:
        row = row[row.isfinite()]
        assert row.std() < 0.02 and round(float(row.mean())) in (2, 3, 4, 5)


def test_noise_touches_the_input_only_and_nothing_is_touched_when_all_is_off():
    clips = Clips(make_footage(videos=1, frames=20, size=(32, 48)), OFFSETS, (32, 48), 1)
    off = TrainConfig(noise_p=0.0, skip_p=0.0, brightness=0.0)
    clip, target = Augment(clips, off, seed=0).batch(0, np.arange(4))
    taken = clips.take(clips.windows.rows[:4])
    for field in ("frames", "speed"):
        assert torch.equal(getattr(clip, field), getattr(target, field))
        assert torch.equal(getattr(clip, field), getattr(taken, field))
    noisy, clean = Augment(clips, dataclasses.replace(off, noise_p=1.0), seed=0).batch(0, np.arange(4))
    assert torch.equal(clean.frames, target.frames) and (noisy.frames - clean.frames).abs().max() > 0.01
    assert torch.equal(noisy.speed, clean.speed)


def test_too_fast_inputs_keep_the_anchor_and_never_leave_their_video():
    footage = make_footage(videos=2, frames=30, size=(32, 48))
    clips = Clips(footage, OFFSETS, (32, 48), 1)
    augment = Augment(clips, TrainConfig(skip_p=1.0), seed=0)
    rows, factor = augment._fast_rows(np.arange(len(clips)), np.full(len(clips), 5))
    anchors = clips.windows.anchors
    assert (rows[:, -1] == anchors).all()
    assert (footage.videos[rows] == footage.videos[anchors][:, None]).all()
    assert footage.frames[rows[-1]].tolist() == [9, 19, 29] and factor[-1] == 5 and factor.min() == 1
