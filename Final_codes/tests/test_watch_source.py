"""Live sources that misbehave: corrupt frames, ended and silent connections, no rate, and secrets in addresses; and
what `watch` leaves behind whatever happens."""

from __future__ import annotations

import dataclasses
import itertools
import logging
import re
import signal
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest
from media import write_video
from mjpeg_server import MjpegServer, jpeg, picture, textured
from watch_stub import FakeScorer, film, stub

from pixelplay.cli import main
from pixelplay.errors import PixelPlayError
from pixelplay.watch import source as live_source
from pixelplay.watch.camera import GIVEN_UP
from pixelplay.watch.source import Lost, Source, masked

GOOD = [picture(10 * i) for i in range(20)]
MEASURED = Source._measure


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(Source, "_measure", lambda self: 25.0)
    monkeypatch.setattr(live_source, "PAUSES", (0.02, 0.1))


def watched(connections, **settings):
    """The source when its frames are at their end, and number -> grey level of the frames."""
    with MjpegServer(connections) as server, Source(server.address, **{"timeout": 0.5, "give_up": 0.6} | settings
                                                    ) as source:
        return source, {i: round(float(frame.mean())) for i, frame in source.frames()}


@pytest.mark.parametrize("broken", [b"nothing", b"\xff\xd8\xff\xd9", GOOD[7][:60], b"\0" * 2000])
def test_a_frame_that_cannot_be_decoded_is_left_out_and_the_others_keep_their_numbers(broken):
    source, found = watched([[broken if i in (7, 12) else f for i, f in enumerate(GOOD)]])
    assert {i: v for i, v in found.items() if i not in (7, 12)} == {i: 10 * i for i in range(20) if i not in (7, 12)}
    assert source.failed == 2 and source.given_up


def test_an_ended_connection_is_made_anew_and_leaves_a_gap():
    source, found = watched([GOOD[:10], [*GOOD[10:15]], GOOD[15:]])
    assert list(found.values()) == [10 * i for i in range(20)]
    assert list(found) == sorted(set(found)) and list(found)[-1] > 19
    assert source.reconnected >= 2 and source.given_up


def test_a_silent_connection_is_made_anew():
    source, found = watched([[*GOOD[:8], 60.0], GOOD[8:]], timeout=0.3, give_up=5)
    assert list(found.values()) == [10 * i for i in range(20)]
    assert source.reconnected >= 1


def test_connections_that_open_and_give_nothing_are_given_up():
    source, found = watched([GOOD[:5], *[[] for _ in range(200)]])
    assert list(found.values()) == [0, 10, 20, 30, 40] and source.given_up


def test_a_recording_behind_an_address_ends_without_a_loss(tmp_path):
    write_video(tmp_path / "clip.mp4", 9, fps=10)
    with Source((tmp_path / "clip.mp4").as_uri()) as source:
        assert [i for i, _ in source.frames()] == list(range(9))
    assert source.fps == 10 and not source.given_up and source.reconnected == 0


class Clockwork:
    """A connection without a rate and the clock it runs by: `burst` frames at once, then one every 1 / rate seconds."""

    fps = None

    def __init__(self, rate, burst):
        self.now, self.rate, self.left = 100.0, rate, burst

    def read(self):
        self.left -= 1
        self.now += 1 / self.rate if self.left < 0 else 1e-4
        return np.zeros((4, 4, 3), np.uint8)

    def close(self):
        pass

    def monotonic(self):
        return self.now


@pytest.mark.parametrize(("rate", "burst"), [(12, 0), (12, 10), (30, 25), (5, 3)])
def test_a_rate_that_is_not_named_is_measured_past_the_first_burst(monkeypatch, rate, burst):
    connection = Clockwork(rate, burst)
    monkeypatch.setattr(Source, "_measure", MEASURED)
    monkeypatch.setattr(live_source.time, "monotonic", connection.monotonic)
    monkeypatch.setattr(Source, "_connect", lambda self: connection)
    with Source("http://nobody") as source:
        assert source.fps == pytest.approx(rate, rel=0.01)


def test_mjpeg_names_no_rate():
    with MjpegServer([GOOD]) as server:
        stream = live_source.Stream(server.address, 2.0)
        assert stream.fps is None and not stream.finite
        stream.close()


@pytest.mark.parametrize("text", [
    "http://user:S3cretPw@10.0.0.1/video", "rtsp://S3cretPw@cam/live", "http://u:p@S3cretPw@cam:80/",
    "http://cam/v?user=a&password=S3cretPw", "http://cam/v?pwd=S3cretPw&x=1", "http://cam/?token=S3cretPw",
    "cannot open 'http://a:S3cretPw@cam/x': refused", "rtsp://cam/s?auth=S3cretPw;x=2"])
def test_secrets_are_masked(text):
    assert "S3cretPw" not in masked(text) and "***" in masked(text)
    assert masked("rtsp://cam:554/live?channel=2") == "rtsp://cam:554/live?channel=2"


def test_no_word_of_a_password_in_errors_and_log(caplog, capsys):
    caplog.set_level(logging.DEBUG)
    with MjpegServer([GOOD[:6]]) as server:
        address = server.address.replace("://", "://user:S3cretPw@")
        with Source(address, timeout=0.3, give_up=0.2) as source:
            list(source.frames())
    with pytest.raises(PixelPlayError) as told, Source(address, timeout=0.2):
        pass
    out = capsys.readouterr()
    assert source.given_up and "given up" in caplog.text and "://***@127.0.0.1" in caplog.text
    assert "S3cretPw" not in caplog.text + str(told.value) + out.out + out.err


def test_a_mistake_in_the_reader_is_raised_and_nothing_hangs(monkeypatch):
    with MjpegServer([GOOD]) as server, Source(server.address, timeout=0.5) as source:
        monkeypatch.setattr(source._connection, "read", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            list(source.frames())


# ---- the command ------------------------------------------------------------------------------------------------

@pytest.fixture
def fake(monkeypatch, tmp_path):
    stub(monkeypatch.setattr)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def frames_of(path):
    with av.open(str(path)) as clip:
        return sum(1 for _ in clip.decode(video=0))


def test_watch_gives_up_with_status_3_and_keeps_everything(fake):
    bright = [jpeg(textured(level, i)) for i, level in enumerate([60] * 8 + [180] * 10 + [60] * 8)]
    with MjpegServer([bright]) as server:
        assert main(["watch", server.address, "--timeout", "0.3", "--give-up", "0.3", "--record",
                     "watched.mp4"]) == GIVEN_UP == 3
    assert frames_of("watched.mp4") == len(pd.read_csv("watched.scores.csv")) == len(bright)
    events = pd.read_csv("watched.events.csv")
    assert len(events) == 1
    for column in ("start_time", "end_time"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d", events[column][0])
    assert pd.Timestamp(events["end_time"][0]) > pd.Timestamp(events["start_time"][0])


def test_watch_never_writes_over_what_is_there(fake):
    write_video(fake / "in.mp4", 6)
    for _ in range(3):
        assert main(["watch", "in.mp4", "--record", "watched.mp4"]) == 0
    names = [f"watched{n}.{kind}" for n, kind in itertools.product(("", "-2", "-3"), ("mp4", "events.csv",
                                                                                     "scores.csv"))]
    assert sorted(p.name for p in fake.iterdir() if p.is_file()) == sorted([*names, "in.mp4"])
    assert pd.read_csv("watched.events.csv")["start_time"].isna().all()  # a file has no clock


@pytest.mark.parametrize("name", ["10:30.mp4", "²", "٣", "５", "1²", "①", "0x1"])
def test_a_file_name_that_looks_like_an_address_or_a_number_is_a_file(fake, name):
    write_video(fake / "in.mp4", 4)
    (fake / "in.mp4").rename(fake / name)
    assert main(["watch", name]) == 0
    assert main(["watch", f"{name}{name}"]) == 2  # and none that is there


def test_an_error_keeps_the_recording_and_the_open_event(fake, monkeypatch):
    film(fake / "in.mp4", [60] * 30)
    real = FakeScorer.push

    def dies(self, number, frame):
        if number == 20:
            raise OSError(28, "No space left on device")
        return [dataclasses.replace(s, score=5.0) for s in real(self, number, frame)]

    monkeypatch.setattr(FakeScorer, "push", dies)
    assert main(["watch", "in.mp4", "--record", "watched.mp4"]) == 2
    assert frames_of("watched.mp4") == len(pd.read_csv("watched.scores.csv")) == 20
    assert pd.read_csv("watched.events.csv")["last_frame"].tolist() == [19]


KILLED = """
import os, sys
sys.path[:0] = {path!r}
from watch_stub import FakeScorer, stub
from pixelplay.cli import main
stub()
real = FakeScorer.push
def push(self, number, frame):
    if number == 180:
        os.kill(os.getpid(), 9)
    return real(self, number, frame)
FakeScorer.push = push
main(["watch", "in.mp4", "--record", "watched.mp4"])
"""


def test_a_killed_recording_plays(tmp_path):
    write_video(tmp_path / "in.mp4", 200)
    here = Path(__file__).parent
    done = subprocess.run([sys.executable, "-c", KILLED.format(path=[str(here), str(here.parent)])], cwd=tmp_path,
                          capture_output=True, check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr[-500:]
    assert frames_of(tmp_path / "watched.mp4") >= 180 - 25  # the last half second is not flushed
    assert len(pd.read_csv(tmp_path / "watched.scores.csv")) == 180


@pytest.mark.parametrize("options", [["--timeout", "0"], ["--give-up", "-1"]])
def test_times_must_be_above_zero(fake, options):
    write_video(fake / "in.mp4", 4)
    assert main(["watch", "in.mp4", *options]) == 2


def test_a_camera_that_is_not_there(monkeypatch):
    def none(number):
        raise Lost("there is none")

    monkeypatch.setattr(live_source, "Camera", none)
    with pytest.raises(PixelPlayError, match="camera 3 cannot be opened: there is none"), Source("3"):
        pass
