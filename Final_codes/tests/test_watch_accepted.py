"""Events that were called normal: what is like one raises no alarm, and everything else still does."""

from __future__ import annotations

import dataclasses
import json
import shutil

import av
import cv2
import numpy as np
import pytest

from pixelplay.cli import main
from pixelplay.detector import Detector
from pixelplay.errors import PixelPlayError
from pixelplay.files import write_json
from pixelplay.visual.people import Box
from pixelplay.watch.accepted import Event, accept, accepted_events, place_of
from pixelplay.watch.scorer import Scored

FPS = 25.0


def scored(number, x=20, colour=(200, 60, 60), y=40, z=4.0):
    """A frame in which a square of a colour stands."""
    frame = np.full((100, 200, 3), 90, np.uint8)
    frame[y:y + 24, x:x + 16] = np.clip(np.array(colour) + number % 7, 0, 255)
    return Scored(number, frame, z, {"unet": z, "joint": z - 1}, "", (Box((x, y, x + 16, y + 24), z),), None)


@pytest.fixture
def accepted():
    return Event.of("a", [scored(n, x=20 + n) for n in range(50)], FPS)


@pytest.mark.parametrize(("frame", "expected"), [
    (scored(500, x=33), True),
    (scored(500, x=33, z=3.1), True),
    (scored(500, x=33, z=4.4), True),
    (scored(500, x=33, z=6.0), False),
    (scored(500, x=170), False),
    (scored(500, x=33, y=5), False),
    (scored(500, x=33, colour=(60, 60, 200)), False),
], ids=["the same", "lower", "a little higher", "much higher", "past its way", "above its way", "of another look"])
def test_what_is_like_an_accepted_event_is_told_from_what_is_not(accepted, frame, expected):
    assert accepted.holds(frame) is expected


def test_one_model_that_rises_is_enough(accepted):
    frame = scored(500, x=33)
    assert accepted.holds(dataclasses.replace(frame, models={"unet": 1.0, "joint": 9.0})) is False
    assert accepted.holds(dataclasses.replace(frame, models={"unet": 1.0})) is True


def test_without_actors_the_hottest_place_counts_and_without_heat_the_frame():
    heat = np.zeros((10, 20), np.float32)
    frame = dataclasses.replace(scored(0), boxes=(), heat=heat)
    assert place_of(frame).tolist() == [0, 0, 200, 100]
    heat[5, 10] = 1
    assert place_of(frame).tolist() == pytest.approx([95, 45, 115, 65])


def test_one_frame_is_an_event_too():
    assert Event.of("b", [scored(3)], FPS).holds(scored(3))


# ---- the bundle and the command -----------------------------------------------------------------------

@pytest.mark.slow
def test_the_event_that_was_called_normal_alarms_no_more_and_others_do(finished, tmp_path, monkeypatch, capsys):
    # in so small a picture one actor hides the scene
    monkeypatch.setattr("pixelplay.watch.scene_check.SceneCheck.counts", lambda self, number: True)
    output, videos = finished
    bundle = shutil.copytree(Detector.find(output).folder, tmp_path / "detector")
    about = json.loads((bundle / "detector.json").read_text())
    # low enough that something of the tiny footage is an event
    about["thresholds"]["live"] |= {"high": -1.0, "low": -1.5}
    write_json(bundle / "detector.json", about, seal=True)

    def watch(video, name):
        assert main(["watch", str(video), "--detector", str(bundle), "--output", str(tmp_path / name)]) == 0
        lines = (tmp_path / name / "camera" / "events.jsonl").read_text().splitlines()
        return [e for e in map(json.loads, lines) if e["type"] == "end"]

    before = watch(videos[0], "before")
    assert before
    for event in before:
        assert main(["feedback", str(bundle), str(tmp_path / "before" / "camera" / "clips" / f"{event['id']}.json"),
                     "--normal"]) == 0
    assert "raises no alarm any more" in capsys.readouterr().out
    assert len(list(bundle.glob("accepted-*.npz"))) == len(before)
    Detector.load(bundle)
    after = watch(videos[0], "after")
    seconds = [sum(e["end_s"] - e["start_s"] for e in found) for found in (before, after)]
    assert seconds[1] <= 0.2 * seconds[0]
    # something else in the same place
    other = tmp_path / "other.mp4"
    painted(videos[0], other)
    assert watch(other, "other")


def painted(video, target):
    """The video with a large bright thing that jumps about."""
    with av.open(str(video)) as source, av.open(str(target), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        for number, picture in enumerate(source.decode(video=0)):
            frame = picture.to_ndarray(format="rgb24")
            height, width = frame.shape[:2]
            if number == 0:
                stream.height, stream.width, stream.pix_fmt, stream.bit_rate = height, width, "yuv420p", 4_000_000
            x = (number * 9) % (width // 2)
            cv2.rectangle(frame, (x, height // 3), (x + width // 3, height - 4), (255, 255, 0), -1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def test_an_accepted_event_is_part_of_the_bundle_and_may_be_replaced(bare, accepted):
    for _ in range(2):
        path = accept(Detector.load(bare), accepted)
        (kept,) = accepted_events(Detector.load(bare))
        assert (kept.id, kept.models, kept.radius) == (accepted.id, accepted.models, accepted.radius)
        np.testing.assert_array_equal(kept.looks, accepted.looks)
    path.write_bytes(b"")
    with pytest.raises(PixelPlayError, match="is not the file"):
        Detector.load(bare)


@pytest.fixture
def bare(tmp_path):
    """A bundle without models."""
    write_json(tmp_path / "detector.json", {
        "bundle": 1, "files": {}, "models": {}, "weights": {}, "thresholds": {}, "profile": "smoke",
        "train_fingerprint": ""}, seal=True)
    return tmp_path


@pytest.mark.parametrize(("content", "words"), [
    (None, "is no description"), ({}, "has no id"),
    ({"id": "a", "start_s": 1, "end_s": None, "clip_start_s": 0}, "has no end_s"),
    ({"id": "a", "start_s": 1, "end_s": 2, "clip_start_s": 0}, "e.mp4 is missing")])
def test_what_is_no_event_is_told(bare, tmp_path, capsys, content, words):
    if content is not None:
        write_json(tmp_path / "e.json", content)
    assert main(["feedback", str(bare), str(tmp_path / "e.json"), "--normal"]) == 2
    assert words in capsys.readouterr().err
