"""Stage 1 as a whole: finds and mends, resumes after a kill, leaves frames alone where it must."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from scene import background, dataset, frame, write

from pixelplay.__main__ import main
from pixelplay.data.clips import scratch_folder
from pixelplay.data.corruption import Fault, Recipe, corrupt_dataset, corrupt_frame, flag_of, frame_rng
from pixelplay.data.layouts import find_dataset
from pixelplay.data.reading import open_stream
from pixelplay.errors import PixelPlayError
from pixelplay.files import read_json, write_json
from pixelplay.repair import stage
from pixelplay.repair.stage import RepairConfig, open_footage, prepare
from pixelplay.visual.repair_sheet import flagged_pairs

RECIPE = Recipe((Fault("vflip", .15), Fault("hflip", .05), Fault("noise", .25, 37.0), Fault("noise", .15, 27.0),
                 Fault("blank", .05)), dropped=.05)


@pytest.fixture
def clean(tmp_path):
    return find_dataset(dataset(tmp_path / "clean", 24, 60))


@pytest.fixture
def corrupted(tmp_path, clean):
    plan = corrupt_dataset(clean, tmp_path / "copy", RECIPE, seed=4)
    return find_dataset(tmp_path / "copy"), plan[~plan["dropped"]].reset_index(drop=True)


def test_flags_are_the_truth_and_the_repair_is_near_the_clean_frame(tmp_path, clean, corrupted):
    manifest, truth = corrupted
    repaired = prepare(manifest, tmp_path / "out").split("test")
    assert repaired["Id"].tolist() == truth["Id"].tolist()
    assert repaired["flags"].tolist() == truth["kind"].map(flag_of).tolist()
    footage = open_footage(tmp_path / "out", "test")
    originals = {i: f for i, f in zip(clean.split("test")["Id"], open_stream(clean, "test")(np.arange(60)))}
    for (i, full), kind in zip(footage.full_frames(), truth["kind"]):
        error = np.abs(full.astype(int) - originals[footage.ids[i]]).mean()
        if kind != "blank":
            assert error < 8, (footage.ids[i], kind)
            small = np.abs(footage.batch(np.array([i]))[0].astype(int).mean() - full.mean())
            assert small < 2, footage.ids[i]
    trust = footage.reliability
    assert (trust[truth["kind"] == "blank"] == 0).all() and (trust[truth["kind"] == ""] == 1).all()
    train = open_footage(tmp_path / "out", "train")
    assert (train.flags == "").all() and (train.reliability == 1).all()


def test_a_second_run_does_nothing_and_a_killed_one_ends_in_the_same(tmp_path, corrupted, monkeypatch):
    manifest, _ = corrupted
    prepare(manifest, tmp_path / "a")
    stamps = {p: p.stat().st_mtime_ns for p in (tmp_path / "a").rglob("*") if p.is_file()}
    prepare(manifest, tmp_path / "a")
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "a").rglob("*") if p.is_file()} == stamps

    def dies(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(stage.TemporalFusion, "__call__", dies)
        with pytest.raises(KeyboardInterrupt):
            prepare(manifest, tmp_path / "b")
    with pytest.raises(PixelPlayError, match="not finished"):
        open_footage(tmp_path / "b", "test")
    prepare(manifest, tmp_path / "b")
    for path in stamps:
        other = tmp_path / "b" / path.relative_to(tmp_path / "a")
        assert path.read_bytes() == other.read_bytes(), path.name


def test_a_video_that_was_changed_after_stage_1_is_said(tmp_path, clean):
    prepare(clean, tmp_path / "out")
    footage = open_footage(tmp_path / "out", "test")
    for path in scratch_folder().glob("*.rows"):
        path.unlink()
    first = clean.roots["test"] / clean.split("test")["path"].iloc[0]
    first.write_bytes((clean.roots["test"] / clean.split("test")["path"].iloc[40]).read_bytes())
    with pytest.raises(PixelPlayError, match="the frames of test video 1 are not those that stage 1 saw"):
        footage.batch(np.arange(1))


def test_a_dataset_that_moved_is_followed(tmp_path, corrupted):
    manifest, _ = corrupted
    prepare(manifest, tmp_path / "out")
    for side in ("training_videos", "testing_videos"):
        (tmp_path / "moved").mkdir(exist_ok=True)
        (tmp_path / "copy" / side).rename(tmp_path / "moved" / side)
    moved = find_dataset(tmp_path / "moved")
    assert prepare(moved, tmp_path / "out").roots == moved.roots
    assert len(list(open_footage(tmp_path / "out", "test").full_frames(np.arange(3)))) == 3


def test_switching_repair_off_and_on_again_gives_the_raw_and_the_mended_cache(tmp_path, corrupted):
    manifest, _ = corrupted
    prepare(manifest, tmp_path / "out", RepairConfig(enabled=False))
    raw = np.asarray(open_footage(tmp_path / "out", "test").pixels)
    first = open_footage(tmp_path / "out", "test")
    assert (first.flags == "").all()
    prepare(manifest, tmp_path / "out")
    mended = np.asarray(open_footage(tmp_path / "out", "test").pixels)
    assert (mended != raw).any()
    assert open_footage(tmp_path / "out", "test").fingerprint != first.fingerprint
    prepare(manifest, tmp_path / "out", RepairConfig(enabled=False))
    assert (np.asarray(open_footage(tmp_path / "out", "test").pixels) == raw).all()


@pytest.mark.parametrize("train", [
    pytest.param({"1_0": frame(0)}, id="one training frame"),
    pytest.param({f"1_{t}": np.zeros((120, 160, 3), np.uint8) for t in range(12)}, id="black training footage"),
    pytest.param({f"1_{t}": background(t) for t in range(20)}, id="camera that moves")])
def test_without_a_background_frames_are_left_alone_and_it_says_so(tmp_path, train, caplog):
    write(tmp_path / "data", "train", train)
    pictures = {f"1_{t}": frame(t) for t in range(10)}
    pictures["1_4"] = pictures["1_4"][::-1].copy()
    pictures["1_7"] = corrupt_frame(pictures["1_7"], "noise", 37, frame_rng(0, "1_7"))
    manifest = find_dataset(write(tmp_path / "data", "test", pictures))
    prepare(manifest, tmp_path / "out")
    for (_, full), picture in zip(open_footage(tmp_path / "out", "test").full_frames(), pictures.values()):
        assert (full == picture).all()
    notes = read_json(tmp_path / "out" / "repair.json")["notes"]
    assert any("left as they are" in note for note in notes) and "no background for" in caplog.text


def test_a_test_video_of_another_place_is_left_alone(tmp_path):
    write(tmp_path / "data", "train", {f"1_{t}": frame(t) for t in range(20)})
    other = {f"1_{t}": frame(t, seed=77)[:, ::-1].copy() for t in range(6)}
    other = {k: (255 - v.astype(int)).astype(np.uint8) for k, v in other.items()}
    manifest = find_dataset(write(tmp_path / "data", "test", other))
    assert (prepare(manifest, tmp_path / "out").split("test")["flags"].str.count("flip") == 0).all()


def test_all_black_and_single_test_frames_get_through(tmp_path):
    write(tmp_path / "data", "train", {f"1_{t}": frame(t) for t in range(20)})
    write(tmp_path / "data", "test", {f"1_{t}": np.zeros((120, 160, 3), np.uint8) for t in range(4)})
    manifest = find_dataset(write(tmp_path / "data", "test", {"2_5": frame(90)[::-1].copy()}))
    table = prepare(manifest, tmp_path / "out").split("test")
    assert table["flags"].tolist()[-1] == "vflip"
    assert table["flags"].tolist()[:4] == ["blank"] * 4


def test_backgrounds_fit_test_frames_of_another_size(tmp_path):
    write(tmp_path / "data", "train", {f"1_{t}": frame(t) for t in range(20)})
    big = np.repeat(np.repeat(frame(300), 2, axis=0), 2, axis=1)
    noisy = corrupt_frame(big, "noise", 37, frame_rng(0, "1_0"))
    manifest = find_dataset(write(tmp_path / "data", "test", {"1_0": noisy, "1_1": big}))
    table = prepare(manifest, tmp_path / "out").split("test")
    assert table["flags"].tolist() == ["noise", ""]
    mended = next(iter(open_footage(tmp_path / "out", "test").full_frames()))[1]
    assert mended.shape == big.shape


def test_pairs_before_and_after_cover_every_flag(tmp_path, corrupted):
    manifest, truth = corrupted
    prepare(manifest, tmp_path / "out")
    pairs = flagged_pairs(tmp_path / "out", 6)
    assert len(pairs) == 6 and {p.flags for p in pairs} == set(truth["kind"]) - {""}
    for pair in pairs:
        assert pair.before.shape == pair.after.shape
        assert (pair.before != pair.after).any() or pair.flags == "blank"


def test_commands_run_and_say_what_they_found(tmp_path, clean, capsys):
    data = tmp_path / "clean"
    assert main(["corrupt", "--data", str(data), "--output", str(tmp_path / "c"), "--recipe", "competition"]) == 0
    assert "vflip" in capsys.readouterr().out
    assert (tmp_path / "c" / "corruption.csv").exists()
    assert main(["repair", "--data", str(tmp_path / "c"), "--output", str(tmp_path / "o")]) == 0
    assert "vflip" in capsys.readouterr().out
    assert main(["corrupt", "--data", str(data), "--output", str(tmp_path / "c2"), "--recipe", "competitoin"]) == 2
    assert main(["corrupt", "--data", str(data), "--output", str(data / "testing_videos" / "inside")]) == 2
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    assert main(["corrupt", "--data", str(data), "--output", str(tmp_path / "full")]) == 2


def test_the_copy_is_deterministic_and_carries_labels(tmp_path, clean):
    labels = tmp_path / "frame_labels.csv"
    pd.DataFrame({"Id": [f"01_{t:03d}" for t in range(60)], "label": [t % 2 for t in range(60)]}).to_csv(
        labels, index=False)
    manifest = dataclasses.replace(clean, labels=labels)
    plan = corrupt_dataset(manifest, tmp_path / "a", RECIPE, seed=1)
    corrupt_dataset(manifest, tmp_path / "b", RECIPE, seed=1)
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file())
    assert all((tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files)
    kept = pd.read_csv(tmp_path / "a" / "frame_labels.csv")
    assert len(kept) == (~plan["dropped"]).sum() == len(find_dataset(tmp_path / "a").split("test"))


def test_a_stale_plan_of_other_input_is_not_used(tmp_path, clean):
    write_json(tmp_path / "out" / "repair.json", {"extraction": "other", "key": "k", "finished": True, "notes": []})
    assert len(prepare(clean, tmp_path / "out").split("test")) == 60
