"""cameras.toml: what is read from it, every kind of mistake in it, a process a camera, health and metrics."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import pytest

from pixelplay.cli import main
from pixelplay.errors import PixelPlayError
from pixelplay.watch import config, group
from pixelplay.watch.metrics import Metrics

GOOD = """
output = "kept"
[defaults]
detector = "door_detector"
every = 60
[cameras.door]
address = "rtsp://user:S3cretPw@192.0.2.7/live"
quiet = ["22:00-06:00"]
[cameras.door.clips]
before = 5
[[cameras.door.zones]]
name = "street"
use = "ignore"
points = [[0, 0], [1, 0], [1, 0.3]]
[[cameras.door.alarms]]
webhook = "https://example.org/S3cretPw"
[[cameras.door.alarms]]
mqtt = "mqtt://user:S3cretPw@broker/home"
[cameras.yard]
address = 0
every = 5
"""


def loaded(folder, text):
    file = folder / "cameras.toml"
    file.write_text(text)
    return config.load(file)


def test_a_configuration_is_read_with_defaults(tmp_path):
    found = loaded(tmp_path, GOOD)
    door, yard = found.cameras["door"], found.cameras["yard"]
    assert found.output == tmp_path / "kept" and door.detector == yard.detector == tmp_path / "door_detector"
    assert (door.every, yard.every, yard.address) == (60, 5, "0") and (door.clips.before, door.clips.after) == (5, 3)
    assert door.zones[0].points == ((0, 0), (1, 0), (1, 0.3)) and door.zones[0].use == "ignore"
    assert [(a.kind, a.when) for a in door.alarms] == [("webhook", ("begin",)), ("mqtt", ("begin", "end"))]


@pytest.mark.parametrize(("before", "after", "where", "expected"), [
    ('output = "kept"', "output = 3", "output: 3", "text in quotes"),
    ('output = "kept"', 'ouput = "kept"', "ouput: there is no such key", "did you mean output?"),
    ("every = 60", "every = -1", "[cameras.door] every: -1", "a number from 0 up"),
    ("every = 60", "evry = 60", "[defaults] evry", "did you mean every?"),
    ('detector = "door_detector"', "", "[cameras.door] detector: is missing", "text in quotes"),
    ("address = 0", "", "[cameras.yard] address: is missing", "text in quotes"),
    ("address = 0", "address = true", "[cameras.yard] address: True", "text in quotes"),
    ("address = 0", 'addres = "0"', "[cameras.yard] addres: there is no such key", "did you mean address?"),
    ('["22:00-06:00"]', '["22-6"]', "[cameras.door] quiet", '["22:00-06:00"]'),
    ('["22:00-06:00"]', '["25:00-06:00"]', "[cameras.door] quiet", '["22:00-06:00"]'),
    ('["22:00-06:00"]', '"22:00-06:00"', "[cameras.door] quiet", "a list of texts"),
    ("before = 5", "before = 500", "[cameras.door.clips] before: 500", "from 0 to 60"),
    ("before = 5", 'before = "5"', "[cameras.door.clips] before: '5'", "from 0 to 60"),
    ("before = 5", "before = nan", "[cameras.door.clips] before: nan", "from 0 to 60"),
    ("before = 5", "befor = 5", "[cameras.door.clips] befor", "did you mean before?"),
    ("[cameras.door.clips]\nbefore = 5", "clips = 5", "[cameras.door] clips: 5", "a table [cameras.door.clips]"),
    ('use = "ignore"', 'use = "skip"', "[cameras.door.zones 1] use: 'skip'", '"watch" or "ignore"'),
    ("[1, 0.3]]", "[1, 30]]", "[cameras.door.zones 1] points", "three points or more"),
    (", [1, 0.3]]", "]", "[cameras.door.zones 1] points", "three points or more"),
    ("points = [[0, 0], [1, 0], [1, 0.3]]", "", "[cameras.door.zones 1] points: is missing", "three points"),
    ("[[cameras.door.zones]]", "[cameras.door.zones]", "[cameras.door] zones", "tables [[cameras.door.zones]]"),
    ('webhook = "https://example.org/S3cretPw"', 'webhook = "example.org"', "[cameras.door.alarms 1] webhook",
     "an address such as https://host/path"),
    ('webhook = "https://example.org/S3cretPw"', 'webhook = "ftp://u:S3cretPw@x/y"', "[cameras.door.alarms 1] webhook",
     "an address such as https://host/path"),
    ('webhook = "https://example.org/S3cretPw"', 'command = "no-such-program-here x"',
     "[cameras.door.alarms 1] command", "no-such-program-here is not found"),
    ('webhook = "https://example.org/S3cretPw"', "command = 'sh \"x'", "[cameras.door.alarms 1] command",
     "quotes closed"),
    ('webhook = "https://example.org/S3cretPw"', "", "[cameras.door.alarms 1]: names no receiver",
     "one of webhook"),
    ('mqtt = "mqtt://user:S3cretPw@broker/home"', 'mqtt = "mqtt://broker"\ncommand = "false"',
     "[cameras.door.alarms 2]: names mqtt and command", "one of webhook"),
    ('mqtt = "mqtt://user:S3cretPw@broker/home"', 'mqtt = "mqtt://broker"\nwhen = ["start"]',
     "[cameras.door.alarms 2] when", '["begin"]'),
    ("[cameras.yard]", '[cameras."the yard"]', "the name 'the yard'", "letters, digits"),
    ("[cameras.yard]", "[camera.yard]", "camera: there is no such key", "did you mean cameras?"),
    ("every = 5", "every = ", "is no TOML", "below a line"),
    ("every = 5", "models = []", "[cameras.yard] models: []", "a list of texts"),
    ("every = 5", "keep = {days = 0}", "[cameras.yard.keep] days: 0", "a number above 0"),
])
def test_every_mistake_names_file_table_key_and_what_was_expected(tmp_path, before, after, where, expected):
    assert before in GOOD
    with pytest.raises(PixelPlayError) as found:
        loaded(tmp_path, GOOD.replace(before, after, 1))
    text = str(found.value)
    assert text.startswith(str(tmp_path / "cameras.toml")) and where in text and expected in text
    assert "S3cretPw" not in text


@pytest.mark.parametrize("text", ["", 'output = "x"', "[defaults]\nevery = 3"])
def test_a_configuration_without_a_camera(tmp_path, text):
    with pytest.raises(PixelPlayError, match="names no camera"):
        loaded(tmp_path, text)


@pytest.mark.parametrize(("arguments", "words"), [
    ([], "one source is needed"),
    (["0", "--config", "cameras.toml"], "one source is needed"),
    (["--config", "nowhere.toml"], "nowhere.toml cannot be read"),
    (["--config", "cameras.toml", "--camera", "attic"], "has no camera attic"),
    (["--config", "cameras.toml", "--detector", "d", "--on-event", "true"], "--detector, --on-event cannot be given"),
    (["0", "--camera", "door"], "--camera names a camera of a configuration"),
    (["0", "--output", "x.mp4"], "--record x.mp4"),
    (["0", "--webhook", "host"], "--webhook cannot be used"),
    (["0", "--on-event", "no-such-program-here"], "no-such-program-here is not found"),
    (["0", "--seconds", "0"], "--seconds 0"),
])
def test_mistakes_on_the_command_line(tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cameras.toml").write_text(GOOD)
    assert main(["watch", *arguments]) == 2
    assert words in capsys.readouterr().err


# ---- a process a camera ---------------------------------------------------------------------------------------------

def test_a_camera_that_dies_is_started_again_and_one_that_is_done_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr(group, "PAUSES", (0.05, 0.2))
    code = ("import pathlib, sys; p = pathlib.Path(sys.argv[1]); n = len(p.read_text()) if p.exists() else 0; "
            "p.write_text('x' * (n + 1)); sys.exit(0 if n == int(sys.argv[2]) else 1)")
    commands = {n: [sys.executable, "-c", code, str(tmp_path / n), str(times)] for n, times in (("a", 0), ("b", 3))}
    assert group.Group(list(commands), commands.__getitem__).run() == 0
    assert {n: len((tmp_path / n).read_text()) for n in commands} == {"a": 1, "b": 4}


GROUP = """
import sys
from pixelplay.watch.group import Group
code = "import os, signal, sys, time; say = lambda text: os.write(1, text + bytes([10]))"
code += "; signal.signal(signal.SIGTERM, lambda *_: (say(b'ended'), sys.exit(0))); say(b'on'); time.sleep(600)"
Group(["a", "b"], lambda name: [sys.executable, "-c", code]).run()
"""


def test_sigterm_ends_all():
    process = subprocess.Popen([sys.executable, "-c", GROUP], stdout=subprocess.PIPE, text=True)
    assert [process.stdout.readline().strip() for _ in range(2)] == ["on", "on"]
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=120)[0].split() == ["ended", "ended"] and process.returncode == 0


def test_no_password_is_on_a_command_line(tmp_path):
    found = group.command(tmp_path / "cameras.toml", "door", ["--seconds", "3"])
    assert found[1:] == ["-m", "pixelplay", "watch", "--config", str(tmp_path / "cameras.toml"), "--camera", "door",
                         "--seconds", "3"]


# ---- health and metrics ---------------------------------------------------------------------------------------------

def got(port, page):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{page}", timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as cause:
        with cause:
            return cause.code, cause.read().decode()


def test_health_and_metrics_of_two_cameras(tmp_path):
    pytest.importorskip("prometheus_client")
    (tmp_path / "door").mkdir()
    status = {"camera": "door", "time": time.time(), "state": "ok", "frames": 7, "lag_s": 1.5, "left_out": 2,
              "failed": 0, "reconnected": 1, "events": 3, "notices": 0, "alarms_waiting": 4, "alarms_held_back": 0,
              "score": None}
    (tmp_path / "door" / "status.json").write_text(json.dumps(status))
    before = threading.active_count()
    with Metrics(0, tmp_path, ["door", "yard"]) as served:
        code, text = got(served.port, "/metrics")
        assert code == 200 and 'pixelplay_frames_total{camera="door"} 7.0' in text
        assert 'pixelplay_lag_seconds{camera="door"} 1.5' in text and 'pixelplay_up{camera="yard"} 0.0' in text
        assert got(served.port, "/health")[0] == 503 and got(served.port, "/x")[0] == 404
        served.names = ["door"]
        code, text = got(served.port, "/health")
        assert code == 200 and json.loads(text)["cameras"]["door"]["events"] == 3
        with pytest.raises(PixelPlayError, match="the port cannot be used"):
            Metrics(served.port, tmp_path, ["door"])
    assert threading.active_count() <= before + 1
