"""A detector learns later: an event that was called normal is no alarm any more, others are; a season's footage."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from footage import make_footage
from test_channels import one, walkers

import pixelplay
from pixelplay.calibration import Rarity, calibrate
from pixelplay.cli import main
from pixelplay.data.footage import around
from pixelplay.detector import Detector
from pixelplay.errors import PixelPlayError
from pixelplay.files import sha256_of
from pixelplay.two_stream.channels import CHANNELS, fit_channel
from pixelplay.two_stream.memory import nearest, to_cover
from pixelplay.update import HISTORY, WHOLE, replace

MODELS = ("local_memory", "unet")

# ---- the parts ----------------------------------------------------------------------------------------------------


def test_the_furthest_join_until_all_lie_within_the_limit():
    rng = np.random.default_rng(0)
    bank, queries = rng.normal(0, 1, (50, 8)), rng.normal(0, 3, (400, 8))
    distance = nearest(queries, bank)[0][:, 0]
    limit = float(np.quantile(distance, 0.3))
    rows = to_cover(queries, distance, limit)
    covered = np.concatenate([bank, queries[rows]])
    assert nearest(queries, covered)[0].max() <= limit * (1 + 1e-5)
    # each was further than the limit from all that joined before it
    for i, row in enumerate(rows):
        assert nearest(queries[[row]], np.concatenate([bank, queries[rows[:i]]]))[0][0, 0] > limit
    assert len(to_cover(queries, distance, distance.max())) == 0
    assert len(to_cover(queries[:5], np.full(5, np.nan), 100.0)) == 1
    assert len(to_cover(queries[:0], distance[:0], 1.0)) == 0


@pytest.mark.parametrize("videos", [np.inf, 3])
def test_a_rarity_is_undone(videos):
    rarity = Rarity.fit(np.random.default_rng(1).gamma(2, 1, 500), videos)
    for wanted in (0.2, 0.9, 1.0, 1.5, 4.0):
        assert rarity(np.array([rarity.highest(wanted)]))[0] == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("log", [False, True])
def test_a_calibration_is_undone(log):
    calibration = calibrate(np.random.default_rng(2).gamma(2, 1, 500), log=log)
    for wanted in (0.0, 1.0, 2.5):
        assert calibration(np.array(calibration.raw(wanted))) == pytest.approx(wanted)


def test_rows_around_stay_in_their_video():
    videos = np.array(["a"] * 5 + ["b"] * 4)
    wanted = np.zeros(9, bool)
    wanted[[4, 6]] = True
    assert np.flatnonzero(around(wanted, videos, 2, 1)).tolist() == [2, 3, 4, 5, 6, 7]
    assert not around(np.zeros(9, bool), videos, 2, 2).any()


@pytest.mark.parametrize(("learnt", "other"), [
    (one(angle=90), one(angle=-90)), (one(speed=0), one(angle=90)), (one(articulation=4), one(articulation=20)),
    (one(row=0.9, speed=2.0), one(row=0.4, speed=2.0))],
    ids=["wrong direction", "stands", "gestures", "a near runner"])
def test_a_channel_learns_an_actor_and_no_other(learnt, other):
    actors, videos = walkers(8000)
    for kind in CHANNELS:
        channel, held_out = fit_channel(kind, actors, videos)
        limit = float(np.quantile(held_out, 0.9))
        found, added = channel.accept(learnt, limit)
        assert found.score(learnt)[0] <= limit * (1 + 1e-9)
        assert (added > 0) == (channel.score(learnt)[0] > limit)
        # the other one is as strange as it was, or nearly
        assert found.score(other)[0] > limit or channel.score(other)[0] <= limit
        again = kind.from_arrays(found.arrays())
        assert np.array_equal(again.score(actors), found.score(actors))


# ---- an event that was normal ---------------------------------------------------------------------------------------


def film(path, pixels):
    """(N, H, W, 3) frames as a video."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt, stream.bit_rate = *pixels.shape[1:3], "yuv420p", 4_000_000
        for picture in pixels:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def crossed(pixels, first, row, colour, step):
    """Something large crosses the picture, as nothing else does."""
    for t in range(12):
        left = 10 + step * t
        cv2.rectangle(pixels[first + t], (left, row), (left + 14, row + 22), colour, -1)


@pytest.fixture(scope="module")
def door(tmp_path_factory):
    """A detector, a video with two events, and what a watch made of it."""
    root = tmp_path_factory.mktemp("door")
    normal = make_footage(4, 75, (96, 160), seed=1).pixels
    for i in range(4):
        film(root / "normal" / f"n{i}.mp4", normal[75 * i:75 * i + 75])
    pixels = make_footage(1, 230, (96, 160), seed=9).pixels.copy()
    crossed(pixels, 50, 10, (255, 0, 255), 6)
    crossed(pixels, 175, 65, (0, 255, 80), 9)
    film(root / "day.mp4", pixels)
    pixelplay.fit(root / "normal", root / "detector", profile="smoke", models=MODELS)
    return root, watched(root, root / "detector", "first")


def watched(root, detector, name):
    """Descriptions of the events, in order."""
    assert main(["watch", str(root / "day.mp4"), "--detector", str(detector), "--output", str(root / name)]) == 0
    found = [json.loads(path.read_text()) | {"path": path} for path in (root / name).glob("camera/clips/*.json")]
    return sorted(found, key=lambda e: e["start_s"])


@pytest.fixture
def copy(door, tmp_path):
    return shutil.copytree(door[0] / "detector", tmp_path / "detector")


def files(folder):
    return {p.relative_to(folder).as_posix(): sha256_of(p) for p in folder.rglob("*") if p.is_file()}


@pytest.mark.slow
def test_an_event_that_was_normal_is_none_any_more_and_the_other_one_is(door, copy, tmp_path, capsys):
    root, events = door
    assert [round(e["start_s"]) for e in events] == [2, 7]
    before, first = Detector.load(root / "detector"), events[0]["path"]
    assert main(["feedback", str(copy), str(first.with_suffix(".mp4")), "--normal"]) == 0
    printed = capsys.readouterr().out
    assert [round(e["start_s"]) for e in watched(root, copy, "after one")] == [7]
    # what was learnt is in the bundle, whose digests hold, and nothing else is beside it
    after = Detector.load(copy)
    (entry,) = after.about[HISTORY]
    assert entry["name"] == events[0]["id"] and entry["name"] in printed
    assert entry["line"][WHOLE] == [pytest.approx(d.threshold(live=True).high, abs=1e-4) for d in (before, after)]
    assert entry["above"][0] > 0 == entry["above"][1] and entry["highest"][0] > entry["highest"][1]
    assert sum(entry["added"]["local_memory"].values()) and sum(entry["added"]["unet"].values())
    assert set(before.training.ids) < set(after.training.ids)
    assert len(after.training.ids) - len(before.training.ids) == entry["frames"]
    assert [p.name for p in tmp_path.iterdir()] == ["detector"]
    # the same event once more
    state = files(copy)
    assert main(["feedback", str(copy), str(first), "--normal"]) == 2
    assert f"has learnt {entry['name']} before" in capsys.readouterr().err and files(copy) == state
    # another one, beside it
    new = tmp_path / "new"
    assert main(["feedback", str(copy), str(events[1]["path"]), "--normal", "--output", str(new)]) == 0
    assert files(copy) == state and watched(root, new, "after both") == []
    assert [e["name"] for e in Detector.load(new).about[HISTORY]] == [e["id"] for e in events]


@pytest.mark.slow
@pytest.mark.parametrize(("broken", "words"), [
    ("pixelplay.autoencoders.unet.UNet.save", "the disk is full"),
    ("pixelplay.update_command.replace", "the disk is full"),
    ("pixelplay.update._accept", "would still raise an alarm")])
def test_whatever_goes_wrong_leaves_the_detector_as_it_was(door, copy, tmp_path, monkeypatch, capsys, broken, words):
    def fail(*_, **__):
        raise PixelPlayError("the disk is full")

    monkeypatch.setattr(broken, (lambda *_: {}) if broken.endswith("_accept") else fail)
    state = files(copy)
    assert main(["feedback", str(copy), str(door[1][0]["path"]), "--normal"]) == 2
    assert words in capsys.readouterr().err
    assert files(copy) == state and [p.name for p in tmp_path.iterdir()] == ["detector"]


@pytest.mark.slow
def test_the_old_detector_comes_back_where_the_new_one_cannot_be_moved(door, copy, tmp_path, monkeypatch):
    new, state = Detector.load(shutil.copytree(copy, tmp_path / "new")), files(copy)
    moves = Path.rename

    def rename(self, target):
        if self == new.folder:
            raise OSError("no")
        return moves(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", rename)
        with pytest.raises(OSError, match="no"):
            replace(new, copy)
    assert files(copy) == state
    # a kill between the two moves: the next one says what lies where
    copy.rename(tmp_path / "detector.old")
    with pytest.raises(PixelPlayError, match=r"detector\.old is in the way"):
        replace(new, copy)
    (tmp_path / "detector.old").rename(copy)
    assert files(replace(new, copy).folder) == state and not (tmp_path / "detector.old").exists()


@pytest.mark.slow
def test_mistakes_are_said_and_change_nothing(door, copy, tmp_path, capsys):
    root, events = door
    state, clip = files(copy), events[0]["path"].with_suffix(".mp4")
    running = tmp_path / "running.json"
    running.write_text(json.dumps({"id": "x", "type": "begin"}))
    alone = shutil.copy(events[0]["path"], tmp_path / "alone.json")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("years of work")
    place = cv2.resize(np.random.default_rng(3).integers(0, 255, (9, 15, 3), np.uint8), (160, 96))
    film(tmp_path / "elsewhere.mp4", np.stack([place] * 30))
    shutil.copytree(copy, tmp_path / "run" / "detector")
    (tmp_path / "run" / "01_frame_extraction").mkdir()
    (tmp_path / "run" / "01_frame_extraction" / "manifest.csv").touch()
    for command, words in [
            (["feedback", copy, running, "--normal"], "describes no event that is over"),
            (["feedback", copy, alone, "--normal"], "alone.mp4 is missing"),
            (["feedback", copy, root / "day.mp4", "--normal"], "describes no event that is over"),
            (["feedback", copy, clip, "--normal", "--output", tmp_path / "other"], "is no detector"),
            (["feedback", tmp_path / "run", clip, "--normal"], "belongs to a run"),
            (["feedback", tmp_path / "other", clip, "--normal"], "holds no detector.json"),
            (["update", copy, tmp_path / "elsewhere.mp4"], "shows none of the scenes"),
            (["update", copy, copy], "no video")]:
        assert main([str(c) for c in command]) == 2, command
        assert words in capsys.readouterr().err, command
    with pytest.raises(SystemExit, match="2"):
        main(["feedback", str(copy), str(clip)])
    assert "--normal" in capsys.readouterr().err and files(copy) == state


# ---- a season's footage ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_seasons_footage_is_learnt_with_its_own_scores_held_out(door, copy, tmp_path, capsys):
    root, _ = door
    season = make_footage(2, 100, (96, 160), seed=21).pixels.copy()
    for i in range(2):
        crossed(season, 100 * i + 40, 10, (255, 0, 255), 6)
        film(tmp_path / "season" / f"n{i}.mp4", season[100 * i:100 * i + 100])
    before = Detector.load(root / "detector")
    assert main(["update", str(copy), str(tmp_path / "season")]) == 0
    printed, after = capsys.readouterr().out, Detector.load(copy)
    assert [round(e["start_s"]) for e in watched(root, copy, "season")] == [7]
    (entry,) = after.about[HISTORY]
    # names that training has already are not taken twice
    assert entry["videos"] == ["n0-later2", "n1-later2"] and entry["frames"] == 200 and entry["above"][1] == 0
    for name, (old, new) in entry["line"].items():
        names = None if name == WHOLE else [name]
        assert [before.threshold(names, live=True).high, after.threshold(names, live=True).high] == pytest.approx(
            [old, new], abs=1e-4)
        assert f"{old:.2f}" in printed and f"{new:.2f}" in printed
    for name in MODELS:
        known, own = before.members()[name], after.members()[name]
        values = dict(zip(own.ids.tolist(), own.values.tolist()))
        assert [values[i] for i in known.ids.tolist()] == known.values.tolist()
        # scored by a model that learnt the other video: not as strange as before, nor as low as what was learnt
        assert known.values.min() < max(values[f"n0-later2_{f}"] for f in range(40, 60))


@pytest.mark.slow
def test_footage_without_an_event_changes_no_model(door, copy, tmp_path, capsys):
    film(tmp_path / "quiet.mp4", make_footage(1, 60, (96, 160), seed=1).pixels)
    state = files(copy)
    assert main(["update", str(copy), str(tmp_path / "quiet.mp4")]) == 0
    after = files(copy)
    assert {name for name in state if state[name] != after[name]} >= {"detector.json", "training.csv"}
    assert not [name for name in state if name.endswith((".safetensors", "card.json")) and state[name] != after[name]]
    assert Detector.load(copy).about[HISTORY][0]["frames_learnt"] == 0
