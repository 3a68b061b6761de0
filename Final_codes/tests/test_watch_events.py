"""Events of a watched camera: clips, lines and pictures, what a kill leaves, zones, scene checks and retention."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from mjpeg_server import textured
from watch_stub import film, stub

from pixelplay.cli import main
from pixelplay.fusion.events import EventStream, Threshold, find_events
from pixelplay.scenes.description import LENGTH, features, thumbnail
from pixelplay.visual.people import Box
from pixelplay.watch.journal import Journal
from pixelplay.watch.scene_check import SceneCheck, gradients
from pixelplay.watch.scorer import Scored
from pixelplay.watch.zones import Zone, counts

HERE = Path(__file__).parent


def lines(folder):
    return [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]


def frames_of(path):
    with av.open(str(path)) as clip:
        return sum(1 for _ in clip.decode(video=0))


@pytest.fixture
def here(monkeypatch, tmp_path):
    stub(monkeypatch.setattr)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_event_is_a_clip_a_picture_and_two_lines(here):
    film(here / "in.mp4", [60] * 100 + [180] * 20 + [60] * 150 + [180] * 30 + [60] * 10)
    assert main(["watch", "in.mp4"]) == 0
    folder = here / "watched" / "camera"
    found = lines(folder)
    assert [e["type"] for e in found] == ["begin", "end"] * 2
    assert [e["id"] for e in found] == [found[0]["id"]] * 2 + [found[2]["id"]] * 2
    assert (found[1]["start_s"], found[1]["end_s"]) == (4.0, 4.8) and found[0]["end_s"] is None
    assert found[0]["score"] == 5 and found[0]["camera"] == "camera" and found[0]["boxes"][0]["xyxy"] == [2, 20, 10, 40]
    # three seconds before to three after; the second one meets the end of the video
    assert [frames_of(folder / found[i]["clip"]) for i in (1, 3)] == [75 + 20 + 75, 75 + 30 + 10]
    assert cv2.imread(str(folder / found[1]["thumbnail"])).shape == (48, 64, 3)
    assert json.loads((folder / "clips" / f"{found[1]['id']}.json").read_text()) == found[1]
    status = json.loads((folder / "status.json").read_text())
    assert status["state"] == "ended" and status["frames"] == 310 and status["events"] == 2


KILLED = """
import os, sys
sys.path[:0] = {path!r}
from watch_stub import FakeScorer, stub
from pixelplay.cli import main
stub()
real = FakeScorer.push
def push(self, number, frame):
    if number == {number}:
        os.kill(os.getpid(), 9)
    return real(self, number, frame)
FakeScorer.push = push
main(["watch", "in.mp4", "--on-event", {command!r}])
"""


def killed(folder, number, command="false"):
    """Watch in.mp4 with a receiver, and kill -9 before a frame is scored."""
    code = KILLED.format(path=[str(HERE), str(HERE.parent)], number=number, command=command)
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, check=False, timeout=240)
    assert done.returncode == -signal.SIGKILL, done.stderr[-800:]


def test_a_kill_in_an_event_costs_half_a_second_and_its_alarm_comes_at_the_next_start(here):
    film(here / "in.mp4", [60] * 50 + [180] * 100)
    # the receiver is down until a file is there
    receiver = (f"{sys.executable} -c \"import sys, pathlib; pathlib.Path('up').exists() or sys.exit(1); "
                "open('got', 'a').write(sys.stdin.read() + chr(10))\"")
    killed(here, 120, receiver)
    folder = here / "watched" / "camera"
    (begin,) = lines(folder)
    assert begin["type"] == "begin" and begin["alarm"] and frames_of(folder / begin["clip"]) >= 120 - 25
    assert len(list(folder.glob("outbox/*/*.json"))) == 1
    with (folder / "events.jsonl").open("a") as torn:
        torn.write('{"type": "beg')
    film(here / "quiet.mp4", [60] * 5)
    (here / "up").touch()
    for _ in range(2):
        assert main(["watch", "quiet.mp4", "--on-event", receiver]) == 0
    assert [json.loads(g)["id"] for g in (here / "got").read_text().splitlines()] == [begin["id"]]
    found = lines(folder)
    assert [e["type"] for e in found] == ["begin", "end"] and found[1]["interrupted"] is True
    assert not list(folder.glob("outbox/*/*.json"))


@pytest.mark.parametrize("seed", range(20))
def test_a_current_event_is_the_one_that_is_found_at_the_end(seed):
    rng = np.random.default_rng(seed)
    scores = np.convolve(rng.normal(0, 3, 400), np.ones(12) / 3, "same")
    frames, limits = np.cumsum(np.where(rng.random(400) < 0.02, 20, 1)), Threshold(3.0, 1.5, "")
    stream, current, ended = EventStream("v", limits), None, []
    for frame, score in zip(frames.tolist(), scores.tolist()):
        for event in stream.push(frame, score):
            assert current is not None and event.first_frame == current.first_frame
            ended.append(event)
            current = None
        if stream.current is not None:
            assert current is None or stream.current.first_frame == current.first_frame
            current = stream.current
    ended += stream.finish()
    assert ended
    expected = find_events(np.full(400, "v"), frames, scores, limits)
    assert sorted((e.first_frame, e.last_frame, e.peak_frame) for e in ended) == sorted(
        (e.first_frame, e.last_frame, e.peak_frame) for e in expected)


# ---- zones --------------------------------------------------------------------------------------------------------

def scored(box=None, heat=None):
    return Scored(0, np.zeros((100, 200, 3), np.uint8), 5.0, {}, "", (Box((0, 0, 200, 5), 1.0), Box(box, 4.0))
                  if box else (), heat)


LEFT = ((0, 0), (0.5, 0), (0.5, 1), (0, 1))
BOTTOM = ((0, 0.5), (1, 0.5), (1, 1), (0, 1))


@pytest.mark.parametrize(("box", "zones", "expected"), [
    ((10, 10, 30, 80), [], True),
    ((10, 10, 30, 80), [("watch", LEFT)], True),
    ((150, 10, 170, 80), [("watch", LEFT)], False),
    ((150, 10, 170, 80), [("watch", LEFT), ("watch", BOTTOM)], True),
    ((10, 10, 30, 80), [("ignore", LEFT)], False),
    ((150, 10, 170, 80), [("ignore", LEFT)], True),
    ((10, 10, 30, 80), [("watch", LEFT), ("ignore", BOTTOM)], False),
    ((10, 10, 30, 40), [("watch", LEFT), ("ignore", BOTTOM)], True),
    (None, [("watch", LEFT)], True),
])
def test_an_event_counts_where_the_foot_of_its_highest_actor_stands(box, zones, expected):
    assert counts(scored(box), [Zone("z", points, use) for use, points in zones]) is expected


def test_without_actors_the_hottest_spot_is_the_place():
    heat = np.zeros((10, 20), np.float32)
    heat[8, 15] = 1
    assert not counts(scored(heat=heat), [Zone("z", LEFT)]) and counts(scored(heat=heat), [Zone("z", BOTTOM)])


# ---- the scene ------------------------------------------------------------------------------------------------------

def scene(seed, number=0):
    """A picture with edges of its own, and noise."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 255, (9, 12, 3), np.uint8)
    noise = np.random.default_rng(1000 + number).integers(-4, 5, (180, 320, 3))
    return np.clip(cv2.resize(small, (320, 180), interpolation=cv2.INTER_NEAREST) + noise, 0, 255).astype(np.uint8)


def said(frames, reach=0):
    """What is said of frames, the last state, and which of them count."""
    check = SceneCheck(features(thumbnail(scene(1)))[None], (180, 320), 25.0, reach)
    words = [w for i, frame in enumerate(frames) for w in check.push(i, frame)]
    return words, check.state, [check.counts(i) for i in range(len(frames))]


@pytest.mark.parametrize(("wrong", "state"), [
    (lambda i: np.full((180, 320, 3), 5, np.uint8), "black"),
    (lambda i: np.full((180, 320, 3), 90 + i % 3, np.uint8), "covered"),
    (lambda i: scene(2, i), "moved"),
    (lambda i: cv2.resize(scene(1, i), (240, 240)), "resolution"),
])
def test_a_wrong_scene_is_said_once_and_its_frames_do_not_count(wrong, state):
    frames = [scene(1, i) for i in range(30)] + [wrong(i) for i in range(80)]
    words, found, count = said(frames, reach=4)
    assert found == state and len([w for w in words if "resolution changed" not in w]) == 1
    assert all(count[:25]) and not any(count[30:])
    words, found, count = said(frames + [scene(1, i) for i in range(120)])
    assert found == "" and words[-1] == "the scene is as learnt" and count[-1]


@pytest.mark.parametrize(("wrong", "length"), [(lambda i: np.full((180, 320, 3), 5, np.uint8), 8),
                                              (lambda i: scene(2, i), 8)])
def test_a_moment_of_another_scene_is_no_verdict(wrong, length):
    """A flash, or somebody who passes close to the lens: a few frames do not count, those after it do."""
    frames = [scene(1, i) for i in range(50)] + [wrong(i) for i in range(length)] + [scene(1, i) for i in range(60)]
    check, reach = SceneCheck(features(thumbnail(scene(1)))[None], (180, 320), 25.0, 4), 4
    words, count = [], []
    for i, frame in enumerate(frames):
        words += check.push(i, frame)
        count += [check.counts(i - reach)] if i >= reach else []
    assert not words and check.state == ""
    assert all(count[:45]) and not any(count[50:50 + length - reach]) and all(count[50 + length + 5:])


def test_a_frozen_picture_is_said_and_a_quiet_one_is_not():
    words, state, count = said([scene(1, i) for i in range(20)] + [scene(1, 7)] * 300)
    assert state == "frozen" and len(words) == 1 and not count[-1] and all(count[:200])
    assert said([scene(1, i) for i in range(320)])[:2] == ([], "")


def test_another_resolution_of_the_same_shape_is_a_notice_and_counts():
    frames = [scene(1, i) for i in range(30)] + [cv2.resize(scene(1, i), (160, 90)) for i in range(80)]
    words, state, count = said(frames)
    assert words == ["the resolution changed from 320 x 180 to 160 x 90"] and state == "" and all(count)


def test_a_covered_lens_is_a_notice_and_no_event(here, capsys):
    with av.open("in.mp4", "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for i in range(200):
            frame = textured(60, i) if i < 50 else np.full((48, 64, 3), 180, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    assert main(["watch", "in.mp4"]) == 0
    (notice,) = lines(here / "watched" / "camera")
    assert notice["type"] == "notice" and notice["state"] == "covered" and "covered" in capsys.readouterr().out


@pytest.mark.parametrize(("shift", "expected"), [(0, ""), (4, ""), (32, "moved"), (-32, "moved"), (64, "moved")])
def test_a_shift_of_the_view_is_seen_and_a_tremor_is_not(shift, expected):
    """Shifts in pixels of 320; the pattern repeats every 80."""
    check = SceneCheck(features(thumbnail(repeated(0)))[None], (180, 320), 25.0, 0, [gradients(repeated(0))])
    for i in range(80):
        check.push(i, repeated(shift, i))
    assert check.state == expected


def repeated(shift, number=0):
    """A scene whose structures repeat, with one that does not, shifted to the right."""
    wide = np.tile(scene(3)[:, :80], (1, 6, 1))
    wide[100:140, 180:230] = scene(4)[:40, :50]
    noise = np.random.default_rng(number).integers(-4, 5, (180, 320, 3))
    return np.clip(wide[:, 80 - shift:400 - shift] + noise, 0, 255).astype(np.uint8)


def test_without_a_learnt_background_no_camera_is_called_moved():
    check = SceneCheck(np.zeros((0, LENGTH), np.float32), (180, 320), 25.0, 0)
    assert not [w for i in range(80) for w in check.push(i, scene(i % 2, i))] and check.state == ""


# ---- the journal ----------------------------------------------------------------------------------------------------

def stored(folder, names, size=1000):
    for age, name in enumerate(reversed(names)):
        for kind in ("mp4", "jpg", "json"):
            path = folder / "clips" / f"{name}.{kind}"
            path.write_bytes(b"0" * size)
            os.utime(path, (path.stat().st_mtime - age * 86400 - 60,) * 2)


@pytest.mark.parametrize(("days", "gigabytes", "left"), [
    (100, 1, "abcd"), (2, 1, "cd"), (100, 6.5e-6, "cd"), (100, 1e-9, "b"), (0.5, 1, "bd")])
def test_the_oldest_clips_go_first_and_an_open_one_stays(tmp_path, days, gigabytes, left):
    with Journal(tmp_path) as journal:
        journal.append({"type": "begin", "id": "a"})
        stored(tmp_path, "abcd")
        gone = journal.expire(days, gigabytes, open_ids=frozenset("b" if "b" in left else ""))
        assert sorted({p.stem for p in journal.clips.iterdir()}) == sorted(left)
        assert gone == [n for n in "abcd" if n not in left]
        assert list(journal.entries()) == [{"type": "begin", "id": "a"}]


@pytest.mark.parametrize("torn", ["", "{", '{"type": "x"', "x" * 9000])
def test_a_torn_line_is_cut(tmp_path, torn):
    (tmp_path / "events.jsonl").write_text('{"a": 1}\n' + torn)
    with Journal(tmp_path) as journal:
        journal.append({"b": 2})
        assert list(journal.entries()) == [{"a": 1}, {"b": 2}]
