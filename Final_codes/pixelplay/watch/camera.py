"""The main loop of one camera, from frames to events.

Reads a source frame by frame; checks the scene, scores the frames, finds events and passes them to the recorder. A
camera does not wait: if scoring is slower, blocks of frames are dropped and reported, and their numbers are skipped.
"""

from __future__ import annotations

import contextlib
import datetime
import itertools
import json
import logging
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pixelplay.detector import Detector
from pixelplay.errors import PixelPlayError
from pixelplay.fusion.events import Event, EventStream
from pixelplay.lock import locked
from pixelplay.scenes.description import LENGTH
from pixelplay.visual.annotate import draw_frame
from pixelplay.watch.alarms import Alarms
from pixelplay.watch.config import Camera
from pixelplay.watch.journal import Journal
from pixelplay.watch.paces import Pacer
from pixelplay.watch.recorder import Recorder
from pixelplay.watch.recording import Recording
from pixelplay.watch.scene_check import SceneCheck, gradients
from pixelplay.watch.scorer import LiveScorer, Scored
from pixelplay.watch.source import Source
from pixelplay.watch.windows import VIDEO
from pixelplay.watch.zones import counts

log = logging.getLogger(__name__)

GIVEN_UP = 3
"""Exit status if the source was lost and could not be opened again."""
TIDY = 600.0
"""Seconds between two checks for clips to delete."""


def watch_camera(camera: Camera, detector: Detector, folder: Path, *, seconds: float | None = None,
                 record: Path | None = None) -> int:
    """Watch a camera until the end of the source, for `seconds` of footage, or until Ctrl-C or SIGTERM.

    Args:
        folder: output folder of this camera.
        seconds: longest footage to score; None for no limit.
        record: .mp4 for an annotated video of all frames.
    Returns:
        Exit status: 0, or `GIVEN_UP`.
    Raises:
        PixelPlayError: the source cannot be opened or yields no frame, or outputs cannot be written.
    """
    source = Source(camera.address, timeout=camera.timeout, give_up=camera.give_up)
    scorer = LiveScorer(detector, camera.models or None, drawn=record is not None)
    templates, backgrounds = learnt_scenes(detector)
    check = SceneCheck(templates, scorer.full_size, scorer.fps, scorer.reach, backgrounds)
    with source:
        log.info("%s: %s, %.3g frames a second; models %s; a score comes up to %.1f s after its frame, where "
                 "the machine is fast enough", camera.name, source.shown, source.fps, ", ".join(scorer.models),
                 scorer.delay / scorer.fps)
        log.info("an event %s", scorer.threshold.words)
        if abs(source.fps / scorer.fps - 1) > 0.02:
            log.info("the detector learned at %.3g frames a second: frames are numbered at that rate", scorer.fps)
        frames = source.frames()
        first = next(frames, None)
        if first is None:
            if source.given_up:
                return GIVEN_UP
            raise PixelPlayError(f"{source.shown} gave no frame", hint="check that it plays in another program")
        with contextlib.ExitStack() as stack:
            stack.enter_context(locked(folder))
            watch = stack.enter_context(Watch(camera, source, scorer, check, folder, record))
            watch.run(itertools.chain([first], frames), seconds)
    log.info("%s: %s", camera.name, watch.summary())
    return GIVEN_UP if source.given_up else 0


def learnt_scenes(detector: Detector) -> tuple[np.ndarray, list[np.ndarray]]:
    """(K, D) float32 descriptions and K gradient images of a detector's scenes; K = 0 if no background is usable."""
    usable = [scene for scene in detector.norms.scenes if scene.usable]
    if not usable:
        log.warning("whether the camera was moved cannot be told: the detector has no usable background")
    return (np.array([s.template for s in usable], np.float32).reshape(-1, LENGTH),
            [gradients(s.picture) for s in usable])


class Watch:
    """The state of one watched camera. Use it as a context manager.

    Attributes:
        frames: number of frames scored.
        events: number of events begun.
        notices: number of notices written.
    """

    def __init__(self, camera: Camera, source: Source, scorer: LiveScorer, check: SceneCheck, folder: Path,
                 record: Path | None = None):
        self.camera, self.source, self.scorer, self.check, self.folder = camera, source, scorer, check, folder
        self.frames, self.events, self.notices = 0, 0, 0
        fps, clips = scorer.fps, camera.clips
        self.stream = EventStream(VIDEO, scorer.threshold, min_frames=max(2, round(clips.shortest * fps)),
                                  join=round(clips.join * fps), max_gap=max(1, round(clips.join * fps)))
        self.journal = Journal(folder)
        self.alarms = Alarms(self.journal, camera.alarms, every=camera.every, quiet=camera.quiet)
        self.recorder = Recorder(camera.name, self.journal, fps, scorer.threshold, self.clock, before=clips.before,
                                 after=clips.after, tell=self._tell)
        self.recording = Recording(record, scorer, self.clock) if record else None
        self._begun = time.monotonic()
        self._said, self._tidied, self._reconnected = -math.inf, -math.inf, 0
        self._newest = 0  # number of the last frame read
        # frames of a file can wait: only live sources need a pacer
        self.pacer = Pacer([pace.every for pace in scorer.paces]) if source.file is None else None

    def __enter__(self) -> Watch:
        with contextlib.ExitStack() as stack:
            for part in (self.journal, self.alarms, self.recorder, self.recording):
                if part is not None:
                    stack.enter_context(part)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *mistake: object) -> bool | None:
        with self._stack:
            # ends the open event; raises on a full disk
            self._over(self.stream.finish())
            return self._stack.pop_all().__exit__(*mistake)

    def clock(self, number: int) -> datetime.datetime | None:
        """Local time at which a frame arrived, from its number at the detector's frame rate; None for a file."""
        return self.source.time_of(number * self.source.fps / self.scorer.fps)

    def run(self, frames: Iterator[tuple[int, np.ndarray]], seconds: float | None) -> None:
        """Score frames, (number at the source's rate, (H, W, 3) uint8 RGB), for at most `seconds` of footage."""
        last, looked, busy = -1, time.monotonic(), 0.0
        for index, frame in frames:
            begun = time.monotonic()
            number = int(index * self.scorer.fps / self.source.fps + 1e-6)
            if seconds is not None and number >= seconds * self.scorer.fps:
                break
            if number > last:
                last = self._newest = number
                self._note(number, self.check.push(number, frame))
                for scored in self.scorer.push(number, frame):
                    self.take(scored)
                self._tidy()
            now = time.monotonic()
            busy += now - begun
            if now - looked >= 1:
                self._pace(now, busy / (now - looked))
                looked, busy = now, 0.0
        for scored in self.scorer.finish():
            self.take(scored)
        self._status("ended")

    def take(self, s: Scored) -> None:
        """Process a scored frame: events, recordings and status."""
        counted = self.check.counts(s.number) and counts(s, self.camera.zones)
        over = self.stream.push(s.number, s.score if counted else -math.inf, s.reason)
        current = self.stream.current
        self.recorder.take(s, over, current)
        words = s.reason.split(" (")[0] if current is not None and self.stream.alarm else None
        if self.recording is not None:
            self.recording.take(s, words)
        self._over(over, recorded=True)
        self.frames += 1
        if time.monotonic() - self._said >= 1:
            self._said = time.monotonic()
            state = f"  {self.check.state.upper()}" if self.check.state else ""
            if self.scorer.pace is not self.scorer.paces[0]:
                state += f"  [{self.scorer.pace.words}]"
            print(f"{self.camera.name}  {s.number / self.scorer.fps:9.1f} s  score {s.score:6.2f}"
                  + (f"  EVENT: {words}" if words else "") + state, flush=True)
            picture = draw_frame(s.frame, s.boxes, s.heat)[..., ::-1]
            _replace(self.folder / "latest.jpg", cv2.imencode(".jpg", picture)[1].tobytes())
            self._status("", s)

    def summary(self) -> str:
        """Text with the numbers of frames, events and failures, and the paths of the outputs."""
        seconds = time.monotonic() - self._begun
        found = [(self.source.left_out, "frames left out because scoring was slower than the camera"),
                 (self.source.failed, "frames could not be decoded"),
                 (self.source.reconnected, "times connected again"), (self.alarms.held_back, "events without an alarm")]
        paths = [self.folder] if self.recording is None else [self.folder, *self.recording.paths]
        return (f"{self.frames} frames in {seconds:.0f} s ({self.frames / seconds:.1f} a second), {self.events} events"
                + "".join(f"; {count} {words}" for count, words in found if count)
                + ("; given up in the end" if self.source.given_up else "") + "\n" + "\n".join(map(str, paths)))

    # ---- inside -------------------------------------------------------------------------------------------------

    def _tell(self, entry: dict[str, Any]) -> None:
        self.events += entry["type"] == "begin"
        self.alarms.tell(entry)
        start = entry["start"] or f"{entry['start_s']:.1f} s"
        words = "begins" if entry["type"] == "begin" else f"ended after {entry['end_s'] - entry['start_s']:.1f} s"
        print(f"{self.camera.name}  event of {start} {words}, score {entry['score']:.2f}: {entry['reason']}",
              flush=True)

    def _over(self, over: list[Event], *, recorded: bool = False) -> None:
        for event in over:
            if not recorded:
                self.recorder.end(event)
            if self.recording is not None:
                self.recording.end(event)

    def _note(self, number: int, said: list[str]) -> None:
        if self.source.reconnected > self._reconnected:
            self._reconnected = self.source.reconnected
            said = [*said, "the stream was lost and connected again"]
        for words in said:
            when = self.clock(number)
            self.journal.append({"type": "notice", "camera": self.camera.name, "state": self.check.state, "text": words,
                                 "time": None if when is None else when.isoformat(timespec="milliseconds"),
                                 "time_s": round(number / self.scorer.fps, 3)})
            self.notices += 1
            print(f"{self.camera.name}  notice: {words}", flush=True)

    def _pace(self, now: float, busy: float) -> None:
        """Adapt the pace to the number of waiting frames and to the load (share of time spent in scoring)."""
        if self.pacer is None:
            return
        before, step = self.pacer.step, self.pacer.look(now, self.source.waiting / self.source.fps, busy)
        if step != before:
            self.scorer.change(step)
            print(f"{self.camera.name}  looks at {self.scorer.pace.words}: this machine "
                  + ("does not keep up with more" if step > before else "has time for more"), flush=True)

    def _tidy(self) -> None:
        if time.monotonic() - self._tidied >= TIDY:
            self._tidied = time.monotonic()
            keep = self.camera.keep
            for name in self.journal.expire(keep.days, keep.gigabytes, open_ids=self.recorder.open_ids):
                log.info("%s: clip %s removed (kept: %g days, %g GB)", self.camera.name, name, keep.days,
                         keep.gigabytes)

    def _status(self, ended: str, s: Scored | None = None) -> None:
        lag = (self._newest - s.number) / self.scorer.fps if s is not None else 0.0
        if s is not None and (came := self.clock(s.number)) is not None:
            lag = (datetime.datetime.now().astimezone() - came).total_seconds()
        _replace(self.folder / "status.json", json.dumps({
            "camera": self.camera.name, "time": time.time(), "state": ended or self.check.state or "ok",
            "frames": self.frames, "lag_s": round(lag, 3), "pace": self.scorer.pace.words,
            "left_out": self.source.left_out,
            "failed": self.source.failed, "reconnected": self.source.reconnected, "events": self.events,
            "notices": self.notices, "alarms_waiting": self.alarms.waiting,
            "alarms_held_back": self.alarms.held_back, "score": None if s is None else round(s.score, 3),
            "threshold": round(self.scorer.threshold.high, 3)}).encode())


def _replace(path: Path, content: bytes) -> None:
    """Replace a file atomically, without fsync: the next second replaces it again."""
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    part.replace(path)
