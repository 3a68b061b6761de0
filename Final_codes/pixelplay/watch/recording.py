"""The continuous recording (--record): an annotated video with the lists of its events and scores beside it.

Reads scored frames; writes FILE.mp4, FILE.events.csv and FILE.scores.csv, all under their final names from the first
frame on: what was written before an error or a kill is there, and plays.
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
    """Use it in a `with`.

    Args:
        path: of the video; numbered where a file of that name is there.
        clock: frame number -> local time, None where there is none.
    Attributes:
        paths: of video, events and scores.
    """

    def __init__(self, path: Path, scorer: LiveScorer, clock: Callable[[int], datetime.datetime | None]):
        self.paths, self.scorer, self.fps, self.clock = unused_paths(path), scorer, scorer.fps, clock

    def __enter__(self) -> Recording:
        with contextlib.ExitStack() as stack:
            stack.enter_context(clear_errors(self.paths[0]))
            self.paths[0].parent.mkdir(parents=True, exist_ok=True)
            self.video = stack.enter_context(LiveVideo(self.paths[0], self.scorer.full_size, self.fps,
                                                       self.scorer.threshold))
            # a line at a time: whoever follows the file sees an event when it is over
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
        """Write one frame; `words` of the event it belongs to, None outside of events."""
        self.video.write(s.number, s.frame, s.score, boxes=s.boxes, heat=s.heat, alarm=words)
        self._scores.writerow([s.number, f"{s.number / self.fps:.3f}", f"{s.score:.4f}",
                               *(f"{s.models[n]:.4f}" if n in s.models else "" for n in self.scorer.models)])

    def end(self, e: Event) -> None:
        """Write one event that is over."""
        start, end = e.first_frame / self.fps, (e.last_frame + 1) / self.fps
        times = [self.clock(n) for n in (e.first_frame, e.last_frame + 1)]
        self._events.writerow([e.first_frame, e.last_frame, e.peak_frame, f"{e.peak_score:.4f}", f"{start:.2f}",
                               f"{end:.2f}", *("" if t is None else t.isoformat(timespec="milliseconds")
                                               for t in times), e.reason])


def unused_paths(path: Path) -> list[Path]:
    """Paths of video, events and scores: FILE.mp4 and its lists, or FILE-2.mp4 and so on where one is there."""
    for number in itertools.count(1):
        stem = path.stem if number == 1 else f"{path.stem}-{number}"
        found = [path.with_name(f"{stem}{kind}") for kind in (".mp4", ".events.csv", ".scores.csv")]
        if not any(p.exists() for p in found):
            return found
