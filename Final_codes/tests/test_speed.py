"""Speed maps: pixels per frame whatever the gap, no ghosts of uncovered background, one baseline for a dataset."""


import dataclasses

import cv2
import numpy as np
import pytest
from footage import make_footage

from pixelplay.errors import PixelPlayError
from pixelplay.flow import speed
from pixelplay.flow.speed import (
    Baselines,
    SpeedMaps,
    choose_baseline,
    learn_baselines,
    mean_speed,
    measure_speeds,
    speed_maps,
    with_speeds,
)


def sliding(shift, frames=12, size=(96, 144), numbers=None):
    """A footage whose whole picture, a smooth texture, moves right by `shift` pixels a frame."""
    rng = np.random.default_rng(0)
    texture = cv2.resize(rng.integers(0, 256, (24, 200, 3), np.uint8), (800, size[0]), interpolation=cv2.INTER_CUBIC)
    numbers = np.arange(frames) if numbers is None else np.asarray(numbers)
    footage = make_footage(videos=1, frames=frames, size=size)
    steps = [np.array([[1, 0, shift * n - 400], [0, 1, 0]], float) for n in numbers]
    return footage.with_pixels(np.stack([cv2.warpAffine(texture, s, size[::-1]) for s in steps]),
                               frames=numbers.astype(np.int64))


@pytest.mark.parametrize("shift", [1, 3])
@pytest.mark.parametrize("baseline", [1, 2])
def test_a_moving_picture_has_its_speed_everywhere(shift, baseline):
    found = speed_maps(sliding(shift), baseline).batch(np.arange(12)).astype(float)
    assert found.shape == (12, 24, 36)
    assert np.median(found[:, 4:-4, 6:-6]) == pytest.approx(shift, rel=0.1)


def test_a_missing_frame_is_not_speed():
    numbers = [0, 1, 2, 3, 5, 6, 7, 8]
    found = speed_maps(sliding(2, 8, numbers=numbers), 1).batch(np.arange(8)).astype(float)
    assert np.allclose(np.median(found[:, 4:-4, 6:-6], axis=(1, 2)), 2, rtol=0.15)


def test_no_flow_joins_two_videos_and_a_lone_frame_stands_still():
    footage = make_footage(videos=6, frames=1, size=(64, 96))
    assert (speed_maps(footage, 2).batch(np.arange(6)) == 0).all()
    still = make_footage(videos=2, frames=5, size=(64, 96), blobs=0, noise=0)
    assert speed_maps(still, 2).batch(np.arange(10)).max() < 0.05


@pytest.mark.parametrize(("odd", "judged"), [(6, 5), (1, 0)], ids=["later neighbour", "first frame of a video"])
def test_what_flashes_by_in_one_neighbour_is_no_speed(odd, judged):
    """The other neighbour equals the judged frame; a video's first frame has its other one on the same side."""
    still = make_footage(videos=1, frames=7, size=(64, 96), blobs=0, noise=0)
    flash = np.array(still.pixels)
    flash[odd] = np.random.default_rng(0).integers(0, 256, flash[odd].shape, np.uint8)
    found = speed_maps(still.with_pixels(flash), 1).batch(np.arange(7)).astype(float)
    assert found[judged].max() < 0.05


def test_the_baseline_is_longer_where_everything_is_slower():
    assert choose_baseline(sliding(3)) == 1
    assert choose_baseline(sliding(0.34, 40)) >= 3
    assert choose_baseline(make_footage(videos=1, frames=1)) == 1
    assert choose_baseline(make_footage(videos=1, frames=5, blobs=0, noise=0)) in range(1, 6)


def test_the_unit_is_what_moves():
    cells = np.zeros((4, 3, 3), np.float16)
    cells[0, 0, 0], cells[2, 1, 1] = 2.0, 4.0
    assert mean_speed(SpeedMaps(cells, np.arange(4))) == pytest.approx(3)
    assert mean_speed(SpeedMaps(cells[:0], np.arange(0))) == 1.0
    assert mean_speed(SpeedMaps(cells * 0, np.arange(4))) == 1.0


def test_stage_one_keeps_them_and_a_part_of_the_footage_gets_its_own(tmp_path):
    train, test = make_footage(videos=2, frames=6, size=(64, 96)), make_footage(videos=2, frames=5, size=(64, 96),
                                                                                 seed=3, name="test")
    assert with_speeds(train, tmp_path).speeds is None
    baselines = learn_baselines(tmp_path, train)
    measure_speeds(tmp_path, test, baselines)
    (baseline,) = baselines.steps.tolist()
    kept = with_speeds(test, tmp_path)
    second = kept.of_videos(kept.video_names()[1:])
    fresh = speed_maps(test.of_videos(test.video_names()[1:]), baseline).batch(np.arange(5))
    assert np.array_equal(speed_maps(second, baseline).batch(np.arange(5)), fresh)
    stamps = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.*")}
    measure_speeds(tmp_path, test, baselines)
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.*")} == stamps
    other = make_footage(videos=2, frames=5, size=(64, 96), seed=4, name="test")
    other = dataclasses.replace(other, fingerprint="another")
    assert with_speeds(other, tmp_path).speeds is None
    measure_speeds(tmp_path, other, baselines)
    assert not np.array_equal(with_speeds(other, tmp_path).speeds, kept.speeds)


def test_baselines_come_back_to_the_bit_and_are_refused_where_they_do_not_fit(tmp_path, monkeypatch):
    train = make_footage(videos=2, frames=6, size=(64, 96))
    learnt = learn_baselines(tmp_path, train)
    kept = Baselines.load(tmp_path)
    assert (kept.key, kept.digest) == (learnt.key, learnt.digest)
    for name in ("templates", "steps"):
        one, other = getattr(kept, name), getattr(learnt, name)
        assert (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
    with monkeypatch.context() as patch:
        patch.setattr(Baselines, "learn", None)
        assert learn_baselines(tmp_path, train).steps.tolist() == learnt.steps.tolist()
        patch.setattr(speed, "VERSION", speed.VERSION + 1)
        with pytest.raises(PixelPlayError, match=r"flow\.npz does not fit this version"):
            Baselines.load(tmp_path)
    slower = train.with_pixels(train.pixels[::-1], fingerprint="slower")
    assert learn_baselines(tmp_path, slower).key != learnt.key
    (tmp_path / "flow.npz").unlink()
    with pytest.raises(PixelPlayError, match=r"flow\.npz is missing"):
        Baselines.load(tmp_path)


def test_other_baselines_measure_the_test_footage_again(tmp_path):
    test = make_footage(videos=1, frames=8, size=(64, 96), name="test")
    for steps in ([1], [3]):
        baselines = Baselines(np.zeros((0, 3), np.float32), np.array(steps))
        measure_speeds(tmp_path, test, baselines)
        assert np.array_equal(with_speeds(test, tmp_path).speeds, speed_maps(test, steps[0]).cells)


def test_threads_do_not_change_a_speed():
    from pixelplay.flow.speed import measure

    footage, found = make_footage(videos=2, frames=9, size=(64, 96)), []
    for workers in (1, 4):
        found.append(np.zeros((18, 16, 24), np.float16))
        measure(footage, 2, found[-1], workers)
    assert np.array_equal(*found)
