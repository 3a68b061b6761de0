"""The continuous recording (--record): an annotated video, with tables of its events and scores.

Reads scored frames; writes FILE.mp4, FILE.events.csv and FILE.scores.csv. They have their final names from the first
frame, so that the part written before an error or a kill remains usable.
"""

from __future__ import annotations

import contextlib
import csv
import datetime
import itertools
from collections.abc import Callable
from pathlib import Path

from pixelplay.files import clear_errors
from pixelplay.fusion.events import Event
from pixelplay.watch.scorer import LiveScorer, Scored
from pixelplay.watch.video import LiveVideo


class Recording:
    """An annotated video and its two tables. Use it as a context manager.

    Args:
        path: .mp4 to write; a number is appended to the name if the file exists.
        scorer: source of the frame rate, the frame size, the threshold and the names of the models.
        clock: frame number -> local time, or None if it is unknown.
    Attributes:
        paths: paths of the video, the events and the scores.
    """

    def __init__(self, path: Path, scorer: LiveScorer, clock: Callable[[int], datetime.datetime | None]):
        self.paths, self.scorer, self.fps, self.clock = unused_paths(path), scorer, scorer.fps, clock

    def __enter__(self) -> Recording:
        with contextlib.ExitStack() as stack:
            stack.enter_context(clear_errors(self.paths[0]))
            self.paths[0].parent.mkdir(parents=True, exist_ok=True)
            self.video = stack.enter_context(LiveVideo(self.paths[0], self.scorer.full_size, self.fps,
                                                       self.scorer.threshold))
            # line buffering: a reader that follows the file sees every event when it ends
            files = [stack.enter_context(p.open("x", newline="", encoding="utf-8", buffering=1))
                     for p in self.paths[1:]]
            self._events, self._scores = (csv.writer(f, lineterminator="\n") for f in files)
            self._events.writerow(["first_frame", "last_frame", "peak_frame", "peak_score", "start_s", "end_s",
                                   "start_time", "end_time", "reason"])
            self._scores.writerow(["frame", "time_s", "score", *self.scorer.models])
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *mistake: object) -> bool | None:
        return self._stack.__exit__(*mistake)

    def take(self, s: Scored, words: str | None) -> None:
        """Write a frame; `words` is the reason of its event, None outside events."""
        self.video.write(s.number, s.frame, s.score, boxes=s.boxes, heat=s.heat, alarm=words)
        self._scores.writerow([s.number, f"{s.number / self.fps:.3f}", f"{s.score:.4f}",
                               *(f"{s.models[n]:.4f}" if n in s.models else "" for n in self.scorer.models)])

    def end(self, e: Event) -> None:
        """Write an event that has ended."""
        start, end = e.first_frame / self.fps, (e.last_frame + 1) / self.fps
        times = [self.clock(n) for n in (e.first_frame, e.last_frame + 1)]
        self._events.writerow([e.first_frame, e.last_frame, e.peak_frame, f"{e.peak_score:.4f}", f"{start:.2f}",
                               f"{end:.2f}", *("" if t is None else t.isoformat(timespec="milliseconds")
                                               for t in times), e.reason])


def unused_paths(path: Path) -> list[Path]:
    """Paths of video, events and scores: FILE.mp4 and its tables, or FILE-2.mp4 and so on if any of them exists."""
    for number in itertools.count(1):
        stem = path.stem if number == 1 else f"{path.stem}-{number}"
        found = [path.with_name(f"{stem}{kind}") for kind in (".mp4", ".events.csv", ".scores.csv")]
        if not any(p.exists() for p in found):
            return found
