"""A minute of footage with all that goes wrong in it: broken frames, a stream that ends and comes back, a kill -9, a
receiver that is down. No event is lost, none is told twice, and memory does not grow.

The same for half an hour and by the clock, with models: Experiments/E23_soak.py.
"""

from __future__ import annotations

import collections
import json
import sys
from pathlib import Path

import av
import numpy as np
from mjpeg_server import MjpegServer, jpeg, textured
from test_watch_alarms import Receiver

from pixelplay.watch import group

HERE = Path(__file__).parent
SIZE = (192, 256)
STRETCHES = 10
"""Bright stretches of the minute; each is an event."""
KILLED = 6
"""The one in which the program is killed."""

CAMERA = """
import os, pathlib, queue, sys
sys.path[:0] = {path!r}
import psutil
from watch_stub import FakeScorer, stub
from pixelplay.cli import main
from pixelplay.watch import outbox, source
stub()
# no frame is left out however slow the machine is: the camera waits
class Waiting(queue.Queue):
    full = lambda self: False
source.queue.Queue = Waiting
source.PATIENCE = 1.0
source.PAUSES = outbox.PAUSES = (0.02, 0.1)
source.Source._measure = lambda self: 25.0
again = pathlib.Path("killed").exists()
pathlib.Path("up").touch() if again else None
real, seen, memory = FakeScorer.push, [], []
def push(self, number, frame):
    seen.append(frame.mean() > 100)
    begun = sum(b > a for a, b in zip([False, *seen], seen))
    if not again and begun == {killed} and sum(seen[-15:]) == 15:
        pathlib.Path("killed").touch()
        os.kill(os.getpid(), 9)
    if len(seen) % 100 == 0:
        memory.append(psutil.Process().memory_info().rss)
    return real(self, number, frame)
FakeScorer.push = push
status = main(["watch", {address!r}, "--webhook", {receiver!r}, "--timeout", "20",
               "--give-up", "0.5"])
pathlib.Path("memory").write_text(" ".join(map(str, memory)))
sys.exit(0 if status == 3 else 1)
"""


def minute():
    """1,500 frames: ten times 125 dark ones and 25 bright ones, two of the dark ones broken."""
    levels = ([60] * 125 + [180] * 25) * STRETCHES
    frames = [jpeg(textured(level, i, SIZE)) for i, level in enumerate(levels)]
    for broken in (40, 1290):
        frames[broken] = b"nothing"
    return frames


def test_a_minute_of_trouble_loses_no_event_and_tells_none_twice(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frames = minute()
    # the stream ends in a dark stretch; whoever is killed in the sixth bright one has read some frames more
    lists = [frames[:450 + 60], frames[450 + 60:150 * (KILLED + 1)], frames[150 * KILLED:]]
    with Receiver() as receiver, MjpegServer(lists) as server:
        answer = receiver.server.RequestHandlerClass.do_POST

        def post(self):
            receiver.status = 200 if Path("up").exists() else 503
            answer(self)

        receiver.server.RequestHandlerClass.do_POST = post
        code = CAMERA.format(path=[str(HERE), str(HERE.parent)], killed=KILLED, address=server.address,
                             receiver=receiver.address)
        monkeypatch.setattr(group, "PAUSES", (0.1, 0.1))
        assert group.Group(["door"], lambda name: [sys.executable, "-c", code]).run() == 0
    folder = tmp_path / "watched" / "camera"
    lines = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    begins, ends = ([e["id"] for e in lines if e["type"] == kind] for kind in ("begin", "end"))
    assert len(begins) == len(set(begins)) == STRETCHES and sorted(ends) == sorted(begins)
    assert [e["id"] for e in lines if e.get("interrupted")] == [begins[KILLED - 1]]
    told = collections.Counter(message["id"] for _, message, _ in receiver.got)
    assert told == dict.fromkeys(begins, 1) and not list(folder.glob("outbox/*/*.json"))
    for name in begins:
        with av.open(str(folder / "clips" / f"{name}.mp4")) as clip:
            # three seconds before it, and all of it but for what a kill may cost
            assert sum(1 for _ in clip.decode(video=0)) >= 75 + 25 - (25 if name == begins[KILLED - 1] else 0)
    notices = [e["text"] for e in lines if e["type"] == "notice"]
    assert notices == ["the stream was lost and connected again"]
    status = json.loads((folder / "status.json").read_text())
    assert (status["left_out"], status["failed"], status["alarms_waiting"]) == (0, 1, 0)
    # kept frames would be 15 MB every hundred
    memory = np.array((tmp_path / "memory").read_text().split(), np.int64)
    assert memory[-1] - memory[2] < 15e6 * (len(memory) - 3) / 2
