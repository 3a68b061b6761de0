"""Recording of events: a clip, a picture, a description, and the lines in events.jsonl.

Reads scored frames and the event they belong to. The clip starts a few seconds before the event, from a buffer of
JPEG-compressed frames, and ends a few seconds after it. If the program is killed, the clip is playable except for its
last half second; events.jsonl contains the event from its beginning.
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
"""Largest length of a clip in seconds: an event that does not end must not fill the disk."""


@dataclasses.dataclass
class _Clip:
    """The clip of an event during recording.

    Attributes:
        peak: highest-scoring frame and its JPEG.
        first, last: first and last frame number; `last` is None until the event has ended.
    """

    id: str
    event: Event
    peak: tuple[Scored, np.ndarray]
    first: int
    video: FragmentedVideo
    last: int | None = None


class Recorder:
    """Records the events of one camera. Use it as a context manager.

    Args:
        camera: name of the camera, for descriptions.
        journal: event log of the camera; also gives the folder of the clips.
        fps: frame numbers per second.
        threshold: threshold of the events, for descriptions.
        clock: frame number -> local time, or None if it is unknown.
        before, after: footage in the clip before and after the event, in seconds.
        tell: called with the entry of each begin and end; writes it to the journal and sends alarms.
    """

    def __init__(self, camera: str, journal: Journal, fps: float, threshold: Threshold,
                 clock: Callable[[int], datetime.datetime | None], *, before: float, after: float,
                 tell: Callable[[dict[str, Any]], None]):
        self.camera, self.journal, self.fps, self.threshold, self.clock = camera, journal, fps, threshold, clock
        self.before, self.after, self.tell = round(before * fps), round(after * fps), tell
        # the peak may precede the frame at which an event is reported
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
        """Ids of the events whose clips are being written."""
        return frozenset(c.id for c in self._clips)

    def take(self, scored: Scored, over: list[Event], current: Event | None) -> None:
        """Add a frame, with the events that ended at it and the current event, if any."""
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
        """End the current event: write its description and its last line. The clip continues for `after` seconds."""
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
        """The buffered frame with this number, or `otherwise` if it has left the buffer."""
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
    """Decode a JPEG to (H, W, 3) uint8 RGB."""
    return cv2.cvtColor(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
