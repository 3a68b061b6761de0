"""Live scoring: the same scores as from a file, once each, across gaps and chunks; the command and its mistakes."""

from __future__ import annotations

import shutil

import av
import cv2
import numpy as np
import pandas as pd
import pytest

from pixelplay.cli import main
from pixelplay.detector import Detector
from pixelplay.errors import PixelPlayError
from pixelplay.fusion.recipe import Frames
from pixelplay.fusion.recipes.default import fuse
from pixelplay.pipeline import Options, Run
from pixelplay.sample.dataset import make_sample
from pixelplay.visual.run_folder import RunFolder
from pixelplay.watch.scorer import LiveScorer
from pixelplay.watch.source import Source

pytestmark = pytest.mark.slow

MODELS = ("local_memory", "stae", "unet")


def film(folder, target):
    """The pictures of a folder as a video."""
    target.parent.mkdir(parents=True, exist_ok=True)
    pictures = [cv2.imread(str(p)) for p in sorted(folder.glob("*.jpg"))]
    with av.open(str(target), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt, stream.bit_rate = *pictures[0].shape[:2], "yuv420p", 4_000_000
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode())


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run on videos, without repair: what a live camera gets is not repaired either."""
    root = tmp_path_factory.mktemp("live")
    sample = make_sample(root / "sample", size="tiny")
    for split, folder in (("training_videos", "train"), ("testing_videos", "test")):
        for place in sorted((sample / split).iterdir())[:2]:
            film(place, root / folder / f"door{place.name}.mp4")
    run = Run(Options(train=root / "train", test=root / "test", output=root / "out", profile="smoke", models=MODELS,
                      repair=False))
    run.extract()
    for name in MODELS:
        run.model(name)
    run.close_detector()
    return run.output, sorted((root / "test").iterdir())


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


@pytest.mark.parametrize("chunk", [1000, 12, 5])
def test_a_stream_gets_the_scores_its_file_got(finished, chunk):
    numbers, expected, footage = offline(finished)
    found = fed(LiveScorer(Detector.find(finished[0]), chunk=chunk), footage)
    assert [s.number for s in found] == numbers.tolist()
    for name, values in expected.items():
        np.testing.assert_allclose([s.models[name] for s in found], values, atol=2e-2, err_msg=name)


def test_scores_come_late_and_the_buffer_stays_small(finished):
    _, _, footage = offline(finished)
    scorer, sizes = LiveScorer(Detector.find(finished[0]), ["stae"], chunk=7), []
    for count, (_, frame) in enumerate(footage.full_frames()):
        ready = scorer.push(count, frame)
        sizes.append(len(scorer._frames))
        assert not ready or count - ready[-1].number >= scorer.reach
    assert max(sizes) <= 2 * scorer.reach + scorer.chunk + scorer.stride


def test_a_gap_is_no_border_of_the_stream_but_no_model_looks_across_it(finished):
    numbers, _, footage = offline(finished)
    numbers = numbers + np.where(np.arange(len(numbers)) >= 25, 500, 0)
    whole = fed(LiveScorer(Detector.find(finished[0]), chunk=1000), footage, numbers)
    pieces = fed(LiveScorer(Detector.find(finished[0]), chunk=9), footage, numbers)
    assert [s.number for s in pieces] == numbers.tolist()
    np.testing.assert_allclose([s.score for s in pieces], [s.score for s in whole], atol=2e-2)


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
    assert main(["watch", str(videos[0]), "--detector", str(output), "--models", "unet", "stae", "--chunk", "20",
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
    (["VIDEO", "--models", "joint"], "has no model joint"),
    (["VIDEO", "--record", "clip.avi"], "is not an .mp4"),
    (["VIDEO", "--chunk", "0"], "--chunk 0"),
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
