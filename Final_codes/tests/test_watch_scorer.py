"""Live scoring: the same scores as from a file, once each, across gaps and paces; the command and its mistakes."""

from __future__ import annotations

import dataclasses
import itertools
import shutil

import av
import numpy as np
import pandas as pd
import pytest
from live_run import MODELS

from pixelplay.autoencoders.unet import UNet
from pixelplay.cli import main
from pixelplay.data.extraction import to_working
from pixelplay.detector import Detector
from pixelplay.errors import PixelPlayError
from pixelplay.flow.speed import cell_size, measure
from pixelplay.fusion.recipe import Frames
from pixelplay.fusion.recipes.default import fuse
from pixelplay.visual.run_folder import RunFolder
from pixelplay.watch.paces import Pacer, paces
from pixelplay.watch.scorer import LiveScorer
from pixelplay.watch.source import Source

pytestmark = pytest.mark.slow

def offline(finished):
    """Frame numbers and scores of the first test video by the causal recipe, by model."""
    run = RunFolder(finished[0])
    test = run.test
    z = fuse(run.members, Frames.of_ids(test["Id"].tolist()), causal=True).processed
    rows = run.videos()[0][1]
    return test["frame"].to_numpy()[rows], {n: v[rows] for n, v in z.items()}, run.footage("test").select(
        np.arange(rows.start, rows.stop))


def fed(scorer, footage, numbers=None):
    """Everything a scorer gives for a footage."""
    out = []
    for (_, frame), number in zip(footage.full_frames(), footage.frames if numbers is None else numbers):
        out += scorer.push(int(number), frame)
    return out + scorer.finish()


GAPS = {"none": 0, "that a window may bridge": 3, "that it may not": 5, "longer than smoothing reaches": 500}
"""Step of the frame number after frame 24; two frames are left out beside it."""


@pytest.mark.parametrize("gap", GAPS.values(), ids=GAPS)
def test_a_stream_gets_the_scores_its_file_gets(finished, tmp_path, gap):
    detector, footage = Detector.find(finished[0]), live_footage(finished, gap)
    raw = {n: detector.model(n).score(footage, tmp_path / n).values for n in MODELS}
    frames = Frames.of_ids(footage.ids.tolist())
    expected = fuse({n: dataclasses.replace(f, ids=frames.ids, values=raw[n]) for n, f in detector.members().items()},
                    frames, detector.weights(), causal=True).processed
    found = fed(LiveScorer(detector), footage)
    assert [s.number for s in found] == footage.frames.tolist()
    for name, values in expected.items():
        np.testing.assert_allclose([s.models[name] for s in found], values, atol=1e-4, err_msg=name)


def live_footage(finished, gap):
    """The first test video with some frames missing, at the working size that a stream gets, as one live video."""
    footage = offline(finished)[2]
    keep = np.setdiff1d(np.arange(len(footage)), [5, 20] if gap else [])
    frames = [frame for _, frame in footage.full_frames(keep)]
    pixels = np.stack([to_working(frame, footage.size) for frame in frames])
    numbers = keep + np.where(keep > 24, gap, 0)
    live = dataclasses.replace(
        footage.select(keep), ids=np.array([f"live_{n}" for n in numbers], dtype=object), frames=numbers,
        videos=np.array(["live"] * len(keep), dtype=object), pixels=pixels, rows=np.arange(len(keep)),
        fingerprint=f"live {gap}", open_stream=lambda rows: (frames[r] for r in rows))
    speeds = np.zeros((len(keep), *cell_size(*footage.size)), np.float16)
    measure(dataclasses.replace(live, speeds=None), Detector.find(finished[0]).baselines.of(live), speeds)
    return dataclasses.replace(live, speeds=speeds)


class Stranger(UNet):
    """A model without a stream."""

    def stream(self):
        return None


def test_a_model_without_a_stream_is_scored_in_windows(finished, monkeypatch):
    footage, names = live_footage(finished, 5), ["unet", "stae"]
    expected = fed(LiveScorer(Detector.find(finished[0]), names), footage)
    monkeypatch.setattr("pixelplay.watch.windows.CHUNK", 7)
    monkeypatch.setattr(UNet, "stream", Stranger.stream)
    found = fed(LiveScorer(Detector.find(finished[0]), names), footage)
    assert [s.number for s in found] == footage.frames.tolist()
    np.testing.assert_allclose([s.score for s in found], [s.score for s in expected], atol=1e-4)


def test_scores_come_late_and_memory_stays_small(finished):
    footage = offline(finished)[2]
    scorer, frames, held = LiveScorer(Detector.find(finished[0])), [f for _, f in footage.full_frames()], []
    for number in range(4 * len(frames)):
        for scored in scorer.push(number, frames[number % len(frames)]):
            assert number - scored.number <= scorer.delay
        held.append(sum(len(x) for x in (scorer._waiting, scorer._by_number, scorer._speeds._stretch._items,
                                         *(s.__dict__.get(k, ()) for s in scorer._streams.values()
                                           for k in ("_rows", "_span", "_out", "_order", "_frames")))))
    assert max(held[len(held) // 2:]) <= max(held[:len(held) // 2])


@pytest.mark.parametrize("steps", [[1, 0], [2, 0], [1, 2]])
def test_a_change_of_pace_loses_no_frame_and_scores_stay_comparable(finished, steps):
    footage = offline(finished)[2]
    expected = fed(LiveScorer(Detector.find(finished[0])), footage)
    scorer, found = LiveScorer(Detector.find(finished[0])), []
    for number, (_, frame) in zip(footage.frames, footage.full_frames()):
        if number in (21, 43):
            scorer.change(steps[int(number == 43)])
        found += scorer.push(int(number), frame)
    found += scorer.finish()
    assert [s.number for s in found] == footage.frames.tolist() and np.isfinite([s.score for s in found]).all()
    # where everything was looked at, no score is another (STAE looks further ahead)
    for name in ("unet", "joint", "roadmap"):
        np.testing.assert_allclose([s.models[name] for s in found[:10]], [s.models[name] for s in expected[:10]],
                                   atol=1e-6)
    assert np.corrcoef([s.score for s in found], [s.score for s in expected])[0, 1] > 0.5


def test_scores_of_every_pace_share_their_limits(finished):
    detector = Detector.find(finished[0])
    first, *others = paces(detector, MODELS)
    assert [(p.every, len(p.models)) for p in (first, *others)] == [(1, 6), (1, 4), (2, 4), (2, 3), (2, 2)]
    assert not {"global_memory", "roadmap"} & set(others[0].models), "they weigh less than a hundredth"
    assert [(p.every, len(p.models)) for p in paces(detector, ["stae", "unet", "joint"])] == [(1, 3), (2, 3), (2, 2)]
    for pace in others:
        for limit, wanted in zip(pace.limits, first.limits):
            assert pace.score(dict.fromkeys(MODELS, limit), first) == pytest.approx(wanted)


def test_less_is_looked_at_where_frames_wait_and_more_only_after_a_while():
    pacer, seen = Pacer([1, 2, 2, 2]), []
    for second in range(400):
        # from step 2 on the machine keeps up; for the first 100 seconds of the rest it is too slow for step 1
        slow = pacer.step < 2 if second < 200 else False
        seen.append(pacer.look(float(second), 2.0 if slow else 0.0, 1.0 if slow else 0.4))
    changes = [b - a for a, b in itertools.pairwise(seen) if a != b]
    assert seen[10] == 2 and seen[-1] == 0 and max(seen) <= 2
    # it was tried, but ever less often
    assert 0 < sum(c < 0 for c in changes[:-2]) <= 4
    assert Pacer([1]).look(5.0, 9.0, 1.0) == 0


def test_frames_of_another_size_and_streams_of_one_frame(finished):
    scorer = LiveScorer(Detector.find(finished[0]), ["unet"])
    assert scorer.finish() == []
    (only,) = fed_one(scorer, np.full((33, 57, 3), 90, np.uint8))
    assert only.frame.shape[:2] == tuple(scorer.full_size) and np.isfinite(only.score)


def fed_one(scorer, frame):
    return scorer.push(7, frame) + scorer.finish()


def test_numbers_must_rise(finished):
    scorer = LiveScorer(Detector.find(finished[0]), ["unet"])
    frame = np.zeros((48, 64, 3), np.uint8)
    scorer.push(3, frame)
    with pytest.raises(ValueError, match="frame 3 after frame 3"):
        scorer.push(3, frame)


def test_the_command_writes_clip_events_and_scores(finished, tmp_path, capsys):
    output, videos = finished
    target = tmp_path / "clip.mp4"
    assert main(["watch", str(videos[0]), "--detector", str(output), "--models", "unet", "stae",
                 "--record", str(target), "--output", str(tmp_path / "watched")]) == 0
    numbers, expected, _ = offline(finished)
    table = pd.read_csv(tmp_path / "clip.scores.csv")
    assert table["frame"].tolist() == numbers.tolist()
    np.testing.assert_allclose(table["unet"], expected["unet"], atol=2e-2)
    with av.open(str(target)) as clip:
        assert clip.streams.video[0].codec_context.name == "h264"
        assert sum(1 for _ in clip.decode(video=0)) == len(numbers)
    assert list(pd.read_csv(tmp_path / "clip.events.csv").columns)[:2] == ["first_frame", "last_frame"]
    assert "score" in capsys.readouterr().out
    assert len(list(tmp_path.iterdir())) == 4


def test_a_stream_by_its_address_keeps_counting_what_it_leaves_out(finished):
    source = Source(finished[1][0].as_uri())
    with source:
        numbers = [i for i, _ in source.frames()]
    assert numbers == sorted(set(numbers))
    assert len(numbers) + source.left_out > numbers[-1] >= 0


def test_seconds_end_it(finished, tmp_path):
    assert main(["watch", str(finished[1][0]), "--detector", str(finished[0]), "--models", "unet", "--seconds", "0.4",
                 "--record", str(tmp_path / "clip.mp4"), "--output", str(tmp_path / "watched")]) == 0
    assert len(pd.read_csv(tmp_path / "clip.scores.csv")) == 10


@pytest.mark.parametrize(("arguments", "words"), [
    (["nowhere.mp4"], "nowhere.mp4 is no video file"),
    (["VIDEO", "--models", "quartz"], "has no model quartz"),
    (["VIDEO", "--record", "clip.avi"], "is not an .mp4"),
    (["97"], "camera 97 cannot be opened"),
])
def test_mistakes_are_told_and_nothing_is_written(finished, tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    arguments = [str(finished[1][0]) if a == "VIDEO" else a for a in arguments]
    assert main(["watch", *arguments, "--detector", str(finished[0])]) == 2
    assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_detector_that_lacks_something_says_what(finished, tmp_path):
    copy = shutil.copytree(finished[0] / "detector", tmp_path / "detector")
    shutil.rmtree(copy / "unet")
    with pytest.raises(PixelPlayError, match=r"unet.*is missing"):
        LiveScorer(Detector.load(copy), ["stae"])
