"""Events that survive: each a clip of its own with a picture and a description, and its lines in events.jsonl.

Reads scored frames and the event they belong to. The clip begins some seconds before the event, from a buffer of
compressed frames, and goes on for some seconds after it. What is written plays up to its last half second however the
program ends; the event itself is in events.jsonl from its first moment on.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime
import secrets
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from pixelplay.files import atomic_path, write_json
from pixelplay.fusion.events import Event, Threshold
from pixelplay.visual.annotate import draw_frame
from pixelplay.watch.journal import Journal
from pixelplay.watch.scorer import Scored
from pixelplay.watch.video import FragmentedVideo

LONGEST = 600.0
"""Seconds a clip may have: an event that never ends must not fill the disk."""


@dataclasses.dataclass
class _Clip:
    """An event's clip while it is written; `last` is its last frame number once that is known."""

    id: str
    event: Event
    peak: tuple[Scored, np.ndarray]
    first: int
    video: FragmentedVideo
    last: int | None = None


class Recorder:
    """Keeps the events of one camera. Close it, or use it in a `with`.

    Args:
        camera: name, for descriptions.
        journal: where lines and clips go.
        fps: frame numbers a second.
        threshold: of the events.
        clock: frame number -> local time, None where there is none.
        before, after: seconds of the clip outside of the event.
        tell: called with each begin and end; keeps it in the journal and raises alarms.
    """

    def __init__(self, camera: str, journal: Journal, fps: float, threshold: Threshold,
                 clock: Callable[[int], datetime.datetime | None], *, before: float, after: float,
                 tell: Callable[[dict[str, Any]], None]):
        self.camera, self.journal, self.fps, self.threshold, self.clock = camera, journal, fps, threshold, clock
        self.before, self.after, self.tell = round(before * fps), round(after * fps), tell
        # the peak may lie some way back when an event is first known
        self._recent: collections.deque[tuple[Scored, np.ndarray]] = collections.deque(
            maxlen=self.before + round(4 * fps))
        self._clips: list[_Clip] = []
        self._current: _Clip | None = None

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, mistake: type[BaseException] | None, *_: object) -> None:
        for clip in self._clips:
            clip.video.close(quiet=mistake is not None)

    @property
    def open_ids(self) -> frozenset[str]:
        """Events whose clips are being written."""
        return frozenset(c.id for c in self._clips)

    def take(self, scored: Scored, over: list[Event], current: Event | None) -> None:
        """One more frame, the events that ended with it, and the one it belongs to."""
        jpeg = cv2.imencode(".jpg", scored.frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1]
        item = dataclasses.replace(scored, frame=np.empty((0, *scored.frame.shape[1:]), np.uint8)), jpeg
        self._recent.append(item)
        for event in over:
            self.end(event)
        if current is not None:
            self._follow(current)
        for clip in self._clips[:]:
            if scored.number - clip.first <= LONGEST * self.fps and (clip.last is None or scored.number <= clip.last):
                clip.video.write(scored.number - clip.first, scored.frame)
            elif clip.last is not None:
                self._close(clip)

    def end(self, event: Event) -> None:
        """An event is over: its description and its last line are written; the clip goes on for a while."""
        if self._current is None:
            return
        clip, self._current = self._current, None
        clip.event, clip.last = event, event.last_frame + self.after
        clip.peak = self._at(event.peak_frame, clip.peak)
        self._write(clip, "end")

    def _follow(self, event: Event) -> None:
        clip = self._current
        if clip is not None:
            clip.event, clip.peak = event, self._at(event.peak_frame, clip.peak)
            return
        lead = [r for r in self._recent if r[0].number >= event.first_frame - self.before]
        now = self.clock(event.first_frame) or datetime.datetime.now().astimezone()
        name = f"{now:%Y%m%dT%H%M%S}-{self.camera}-{secrets.token_hex(3)}"
        shape = _decoded(lead[0][1]).shape[:2]
        clip = _Clip(name, event, self._at(event.peak_frame, lead[-1]), lead[0][0].number,
                     FragmentedVideo(self.journal.clips / f"{name}.mp4", shape, self.fps))
        for scored, jpeg in lead[:-1]:
            clip.video.write(scored.number - clip.first, _decoded(jpeg))
        self._clips.append(clip)
        self._current = clip
        self._write(clip, "begin")

    def _at(self, number: int, otherwise: tuple[Scored, np.ndarray]) -> tuple[Scored, np.ndarray]:
        """The frame of that number if it is still there."""
        return next((r for r in reversed(self._recent) if r[0].number == number), otherwise)

    def _write(self, clip: _Clip, kind: str) -> None:
        peak, jpeg = clip.peak
        entry = self._describe(clip, kind, peak)
        with atomic_path(self.journal.clips / f"{clip.id}.jpg") as part:
            cv2.imwrite(str(part), draw_frame(_decoded(jpeg), peak.boxes, peak.heat)[..., ::-1])
        self.tell(entry)
        write_json(self.journal.clips / f"{clip.id}.json", entry)

    def _describe(self, clip: _Clip, kind: str, peak: Scored) -> dict[str, Any]:
        event = clip.event
        return {
            "type": kind, "id": clip.id, "camera": self.camera, "start": self._time(event.first_frame),
            "end": self._time(event.last_frame) if kind == "end" else None, "peak": self._time(event.peak_frame),
            "start_s": round(event.first_frame / self.fps, 3),
            "end_s": round((event.last_frame + 1) / self.fps, 3) if kind == "end" else None,
            "score": round(event.peak_score, 3), "threshold": round(self.threshold.high, 3), "reason": event.reason,
            "models": {name: round(value, 3) for name, value in peak.models.items()},
            "boxes": [{"xyxy": [round(float(v), 1) for v in box.xyxy], "score": round(float(box.score), 3),
                       "words": box.words} for box in peak.boxes],
            "clip": f"clips/{clip.id}.mp4", "thumbnail": f"clips/{clip.id}.jpg"}

    def _time(self, number: int) -> str | None:
        found = self.clock(number)
        return None if found is None else found.isoformat(timespec="milliseconds")

    def _close(self, clip: _Clip) -> None:
        self._clips.remove(clip)
        clip.video.close()


def _decoded(jpeg: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 RGB."""
    return cv2.cvtColor(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
