"""Noise-conditional calibration: rehearsed on training footage, it takes out what noise adds, and nothing else."""

import dataclasses

import numpy as np
import pytest
from scene import frame, write

from pixelplay.data.corruption import Fault, Recipe, corrupt_dataset
from pixelplay.data.layouts import find_dataset
from pixelplay.errors import PixelPlayError
from pixelplay.files import read_json
from pixelplay.fusion.calibrated import calibrated, without_noise
from pixelplay.fusion.recipe import Frames, load_recipe
from pixelplay.fusion.scores import Rehearsed, ScoreFile, read_rehearsed, read_scores, write_rehearsed, write_scores
from pixelplay.repair.conditional import FADE, QUIET, RINGS, UNIT, NoiseResponse, noise_response, surroundings
from pixelplay.repair.rehearsal import LENGTH, STRETCHES, added_noise, choose_stretches, open_rehearsal, rehearse
from pixelplay.repair.stage import noise_levels, open_footage, prepare


def names(count, video="1"):
    return np.array([video] * count, dtype=object), np.arange(count)


def noisy_model(rng, sigma, videos, frames, base):
    """A window model: noise of the frame and its neighbours lifts the score of quiet frames."""
    around = surroundings(sigma, videos, frames)
    lift = around @ [0.8, 0.6, 0.3, 0.0] * np.clip(1 - (base - QUIET) / FADE, 0, 1)
    return base + lift + rng.normal(0, .3, len(base)) * (around[:, 0] > 0)


# ---- the response ------------------------------------------------------------------------------------------


def test_surroundings_are_rings_in_frame_time_within_a_video():
    videos = np.array(["1"] * 4 + ["2"] * 2, dtype=object)
    frames = np.array([0, 1, 2, 4, 5, 6])
    around = surroundings(np.array([UNIT, 0, 0, 0, 0, UNIT]), videos, frames)
    assert around[0].tolist() == [1, 0, 0, 0]
    assert around[1].tolist() == [0, .5, 0, 0]
    # two frames away lies one noisy frame; frame 3 is missing and counts as nothing
    assert around[2].tolist() == [0, 0, .5, 0]
    assert around[3].tolist() == pytest.approx([0, 0, 1 / 3, 0])
    assert around[4].tolist() == [0, 1, 0, 0] and around[5, 0] == 1
    assert surroundings(np.zeros(0), *names(0)).shape == (0, len(RINGS))
    far = surroundings(np.array([UNIT, 0.0]), names(2)[0], np.array([0, 100]))
    assert far.tolist() == [[1, 0, 0, 0], [0, 0, 0, 0]]


def test_the_response_is_found_and_odd_frames_do_not_decide_it():
    rng = np.random.default_rng(0)
    videos, frames = names(400)
    sigma = np.where(rng.random(400) < .4, rng.choice([20.0, 40.0], 400), 0.0)
    before = np.convolve(rng.normal(0, 1, 440), np.ones(41) / 41, "valid")
    after = noisy_model(rng, sigma, videos, frames, before)
    after[::50] += 30
    found = noise_response(before, after, sigma, videos, frames)
    assert found.shift == pytest.approx([.8, .6, .3, 0], abs=.25)


def test_correcting_undoes_the_lift_keeps_the_order_and_leaves_the_rest_alone():
    clean = np.zeros((3, len(RINGS)))
    assert (NoiseResponse(np.ones(len(RINGS))).correct(np.arange(3.0), clean) == np.arange(3.0)).all()
    truth = np.linspace(-6, 15, 400)
    for lift in (-2.0, .5, 2.0, 9.0):
        around = np.repeat([[1.0, 0, 0, 0]], 400, axis=0)
        width = max(FADE, 1.5 * lift)
        lifted = truth + lift * np.clip(1 - (truth - QUIET) / width, 0, 1)
        back = NoiseResponse(np.array([lift, 0, 0, 0])).correct(lifted, around)
        assert back == pytest.approx(truth) and (np.diff(back) > 0).all()
        assert (back[truth > QUIET + width] == truth[truth > QUIET + width]).all()


def test_without_evidence_there_is_no_response():
    assert noise_response(np.zeros(10), np.ones(10), np.full(10, 20.0), *names(10)) is None
    assert noise_response(np.zeros(99), np.ones(99), np.zeros(99), *names(99)) is None
    flat = noise_response(np.zeros(99), np.zeros(99), np.full(99, 20.0), *names(99))
    assert np.allclose(flat.shift, 0)


# ---- in the recipe -----------------------------------------------------------------------------------------


@pytest.fixture
def scored():
    """Scores of 300 normal test frames in three videos, the second of them noisy, and the model's rehearsal."""
    rng = np.random.default_rng(1)
    videos, numbers = np.repeat(np.array(["1", "2", "3"], dtype=object), 100), np.tile(np.arange(100), 3)
    sigma = np.where((videos == "2") & (rng.random(300) < .5), 37.0, 0.0)
    ids = np.array([f"{v}_{f}" for v, f in zip(videos, numbers)], dtype=object)
    base = rng.normal(0, .2, 300)
    values = np.exp(noisy_model(rng, sigma, videos, numbers, base) * .2)
    at = np.where(rng.random(300) < .4, 30.0, 0.0)
    before = rng.normal(0, .2, 300)
    after = noisy_model(rng, at, *names(300), before)
    rehearsed = Rehearsed(np.array([f"9_{k}" for k in range(300)], dtype=object), at,
                          np.exp(before * .2), np.exp(after * .2))
    file = ScoreFile("m", ids, values, ids, np.exp(rng.normal(0, 1, 300) * .2), {"kind": "error", "sigma": 4.0},
                     rehearsed)
    return Frames(ids, videos, numbers, np.ones(300), sigma), file, np.exp(base * .2)


def test_corruption_alone_does_not_raise_a_score(scored):
    frames, file, clean = scored
    noisy = frames.videos == "2"
    truth = calibrated(dataclasses.replace(file, values=clean))[0]
    plain = calibrated(file)[0]
    assert (plain - truth)[noisy].mean() > .5
    corrected = calibrated(without_noise(file, frames)[0])[0]
    assert abs((corrected - truth)[noisy].mean()) < .15


def test_where_nothing_is_noisy_no_bit_changes_and_no_other_video_is_felt(scored):
    frames, file, _ = scored
    corrected, _ = without_noise(file, frames)
    quiet = frames.videos != "2"
    assert (corrected.values[quiet] == file.values[quiet]).all()
    assert (corrected.values[~quiet] != file.values[~quiet]).any()
    rule = load_recipe("default")
    whole = rule.fuse({"m": file}, frames).values
    for video in ("1", "2", "3"):
        rest = frames.videos != video
        less = Frames(*(getattr(frames, f.name)[rest] for f in dataclasses.fields(Frames)))
        part = dataclasses.replace(file, ids=file.ids[rest], values=file.values[rest])
        assert (rule.fuse({"m": part}, less).values == whole[rest]).all(), video


def test_models_without_a_rehearsal_are_left_alone(scored):
    frames, file, _ = scored
    for other in (dataclasses.replace(file, rehearsed=None), dataclasses.replace(file, train_values=None)):
        same, words = without_noise(other, frames)
        assert same is other and words == ""


def test_the_rehearsal_file_comes_back_and_is_checked(tmp_path, scored):
    file = scored[1]
    path = write_scores(tmp_path, "m", file.ids, file.values, about={"kind": "error"})
    assert read_scores(path, file.ids).rehearsed is None
    target = write_rehearsed(path, file.rehearsed)
    back = read_scores(path, file.ids).rehearsed
    for name in ("ids", "sigma", "before", "after"):
        assert (getattr(back, name) == getattr(file.rehearsed, name)).all(), name
    target.write_text("Id,sigma,before\n1_0,0,1\n")
    with pytest.raises(PixelPlayError, match="header"):
        read_rehearsed(path)
    target.write_text("Id,sigma,before,after\n1_0,0,1,nan\n")
    with pytest.raises(PixelPlayError, match="1_0"):
        read_rehearsed(path)


# ---- the rehearsal itself ----------------------------------------------------------------------------------


def test_stretches_have_no_gap_and_are_few():
    videos, frames = names(4800)
    found = choose_stretches(videos, frames)
    assert len(found) == STRETCHES and all(len(s) == LENGTH for s in found)
    assert len(choose_stretches(videos[:880], frames[:880])) == 2
    frames = frames + (frames >= 100)
    assert all((np.diff(frames[s]) == 1).all() for s in choose_stretches(videos[:200], frames[:200]))
    assert choose_stretches(*names(5)) == [] and choose_stretches(*names(0)) == []


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rehearsal")
    write(folder / "clean", "train", {f"{v}_{t}": frame(t + 40 * v) for v in (1, 2) for t in range(30)})
    write(folder / "clean", "test", {f"1_{t}": frame(t + 200) for t in range(40)})
    corrupt_dataset(find_dataset(folder / "clean"), folder / "copy", Recipe((Fault("noise", .4, 37.0),)), seed=4)
    prepare(find_dataset(folder / "copy"), folder / "out")
    rehearse(folder / "out")
    return folder


def test_the_rehearsal_is_training_footage_noised_and_repaired(stage):
    found = open_rehearsal(stage / "out")
    train = open_footage(stage / "out", "train")
    assert (found.before.ids == found.after.ids).all() and set(found.before.ids) <= set(train.ids)
    wanted = np.array([added_noise(i) for i in found.before.ids])
    assert ((found.sigma > 0) == (wanted > 0)).all() and (wanted > 0).sum() > 5
    hit = wanted > 0
    assert np.abs(found.sigma[hit] - wanted[hit]).mean() < 8
    every = np.arange(len(found.sigma))
    change = np.abs(found.after.batch(every).astype(int) - found.before.batch(every)).mean(axis=(1, 2, 3))
    assert (change[~hit] == 0).all() and (change[hit] > 0).all() and change[hit].max() < 8
    full = list(found.after.full_frames())
    assert [k for k, _ in full] == every.tolist() and full[0][1].shape == (120, 160, 3)
    assert found.after.fingerprint != found.before.fingerprint and found.after.name != found.before.name


def test_it_is_made_once_only_for_noise_and_the_same_whatever_the_test_set(stage, tmp_path):
    stamp = (stage / "out" / "rehearsal.npy").stat().st_mtime_ns
    rehearse(stage / "out")
    assert (stage / "out" / "rehearsal.npy").stat().st_mtime_ns == stamp
    assert any(noise_levels(stage / "out").values())
    prepare(find_dataset(stage / "clean"), tmp_path / "clean")
    rehearse(tmp_path / "clean")
    assert open_rehearsal(tmp_path / "clean") is None and not any(noise_levels(tmp_path / "clean").values())
    # another corruption of another length of test footage: the same rehearsal
    for picture in sorted((stage / "copy" / "testing_videos" / "01").iterdir())[20:]:
        picture.unlink()
    (stage / "copy" / "frame_labels.csv").unlink(missing_ok=True)
    prepare(find_dataset(stage / "copy"), tmp_path / "short")
    rehearse(tmp_path / "short")
    for name in ("rehearsal.npy", "rehearsal.csv"):
        assert (tmp_path / "short" / name).read_bytes() == (stage / "out" / name).read_bytes(), name
    assert read_json(tmp_path / "short" / "rehearsal.json")["noisy"] > 0
