"""`pixelplay watch`: score a camera, a network stream or a video file as it comes, with the models of a finished run.

Reads a camera by its number, a stream by its address, or a file; prints a line a second and each event; writes the
annotated clip, and beside it the events and the scores as CSV, all under their final names from the first frame on:
what was written before an error or a kill is there, and plays. A camera does not wait: where scoring is slower than
the camera, whole stretches are left out and said so, and the frame numbers keep counting. A file is read in full.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import datetime
import functools
import itertools
import logging
import time
from collections.abc import Iterator
from pathlib import Path

from tqdm.auto import tqdm

from pixelplay.detector import Detector
from pixelplay.environment import default_output, hardware, limit_threads
from pixelplay.errors import PixelPlayError
from pixelplay.files import clear_errors
from pixelplay.fusion.events import Event, EventStream
from pixelplay.watch.scorer import VIDEO, LiveScorer, Scored
from pixelplay.watch.source import Source
from pixelplay.watch.video import LiveVideo

log = logging.getLogger(__name__)

GIVEN_UP = 3
"""Exit status where the source was lost and did not come back."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare SOURCE and the options."""
    parser.add_argument("source", metavar="CAMERA|ADDRESS|FILE", help="a camera's number (0 is the first), a stream's "
                        "address (rtsp://..., http://...), or a video file")
    parser.add_argument("--detector", type=Path, metavar="DIR", help="a detector of this camera, made by fit, or the "
                        "folder of a finished run (default: the run in outputs, /kaggle/working on Kaggle)")
    parser.add_argument("--models", nargs="+", metavar="NAME", help="models to use; fewer are faster (default: all "
                        "of the detector's)")
    parser.add_argument("--chunk", type=int, default=50, metavar="N", help="frames scored together: larger is faster "
                        "and later (default: 50)")
    parser.add_argument("--seconds", type=float, metavar="S", help="stop after so much footage (default: the end, or "
                        "Ctrl-C)")
    parser.add_argument("--timeout", type=float, default=10.0, metavar="S", help="seconds without a frame after which "
                        "a stream is connected anew (default: 10)")
    parser.add_argument("--give-up", type=float, default=300.0, metavar="S", help="seconds without a frame after which "
                        "it is given up, with exit status 3 (default: 300)")
    parser.add_argument("--output", type=Path, default=Path("watched.mp4"), metavar="FILE.mp4",
                        help="annotated clip; FILE.events.csv and FILE.scores.csv lie beside it; FILE-2.mp4 and so on "
                        "where it is there already (default: watched.mp4)")


def run(args: argparse.Namespace) -> int:
    """Score until the end, --seconds or Ctrl-C.

    Returns:
        Exit status: 0, or `GIVEN_UP`.
    Raises:
        PixelPlayError: a user's mistake, or outputs that cannot be written (any more).
    """
    if args.output.suffix.lower() != ".mp4":
        raise PixelPlayError(f"--output {args.output} is not an .mp4", expected="a name that ends in .mp4")
    if args.chunk < 1:
        raise PixelPlayError(f"--chunk {args.chunk} scores nothing", expected="1 or more frames")
    if not (args.timeout > 0 and args.give_up > 0):
        raise PixelPlayError("--timeout and --give-up must be above zero", expected="seconds")
    limit_threads(hardware().threads)
    source = Source(args.source, timeout=args.timeout, give_up=args.give_up)
    names = [m for name in args.models or () for m in name.split(",")]
    scorer = LiveScorer(Detector.find(args.detector or default_output()), names or None, chunk=args.chunk)
    with _no_bars(), source:
        log.info("%s: %.3g frames a second; models %s; a score comes %.1f s after its frame, or later where the "
                 "machine is slower", source.shown, source.fps, ", ".join(scorer.models), scorer.delay / scorer.fps)
        log.info("an event %s", scorer.threshold.words)
        if abs(source.fps / scorer.fps - 1) > 0.02:
            log.info("the detector learned at %.3g frames a second: frames are numbered at that rate", scorer.fps)
        frames = source.frames()
        first = next(frames, None)
        if first is None:
            if source.given_up:
                return GIVEN_UP
            raise PixelPlayError(f"{source.shown} gave no frame", mend="check that it plays in another program")
        started = time.perf_counter()
        with Outputs(args.output, scorer, source.started) as out:
            _watch([first], frames, source, scorer, out, args.seconds)
        seconds = time.perf_counter() - started
    log.info("%d frames in %.0f s (%.1f a second), %d events%s\n%s", out.frames, seconds, out.frames / seconds,
             out.events, _losses(source), "\n".join(map(str, out.paths)))
    return GIVEN_UP if source.given_up else 0


def _watch(head: list, frames: Iterator, source: Source, scorer: LiveScorer, out: Outputs, seconds: float | None
           ) -> None:
    last = -1
    for index, frame in itertools.chain(head, frames):
        number = int(index * scorer.fps / source.fps + 1e-6)
        if seconds is not None and number >= seconds * scorer.fps:
            break
        if number > last:
            last = number
            out.take(scorer.push(number, frame))
    out.take(scorer.finish())


def _losses(source: Source) -> str:
    """What a source did not give, in words."""
    found = [(source.left_out, "frames left out because scoring was slower than the camera"),
             (source.failed, "frames could not be decoded"), (source.reconnected, "times connected again")]
    return "".join(f"; {count} {words}" for count, words in found if count) + (
        "; given up in the end" if source.given_up else "")


class Outputs:
    """What comes out: lines on the screen, the clip, the events and the scores. Use it in a `with`.

    Args:
        path: of the clip; numbered where a file of that name is there.
        started: wall clock of frame 0; None leaves the column of times empty.
    Attributes:
        paths: of clip, events and scores.
    """

    def __init__(self, path: Path, scorer: LiveScorer, started: datetime.datetime | None = None):
        self.paths, self.scorer, self.fps, self.started = unused_paths(path), scorer, scorer.fps, started
        self.frames, self.events, self._told = 0, 0, 0
        self.stream = EventStream(VIDEO, scorer.threshold, min_frames=max(2, round(self.fps / 5)),
                                  join=round(self.fps / 2), max_gap=round(self.fps / 2))

    def __enter__(self) -> Outputs:
        with contextlib.ExitStack() as stack:
            stack.enter_context(clear_errors(self.paths[0]))
            self.paths[0].parent.mkdir(parents=True, exist_ok=True)
            self.clip = stack.enter_context(LiveVideo(self.paths[0], self.scorer.full_size, self.fps,
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
        with self._stack:
            # the event that is still open; on a full disk this fails again, and says so
            self._tell(self.stream.finish())
            return self._stack.pop_all().__exit__(*mistake)

    def take(self, ready: list[Scored]) -> None:
        """Write scored frames."""
        for s in ready:
            self._tell(self.stream.push(s.number, s.score, s.reason))
            alarm = s.reason.split(" (")[0] if self.stream.alarm else None
            self.clip.write(s.number, s.frame, s.score, boxes=s.boxes, heat=s.heat, alarm=alarm)
            self._scores.writerow([s.number, f"{s.number / self.fps:.3f}", f"{s.score:.4f}",
                                   *(f"{v:.4f}" for v in s.models.values())])
            if s.number >= self._told:
                print(f"{s.number / self.fps:9.1f} s  score {s.score:6.2f}" + (f"  EVENT: {alarm}" if alarm else ""),
                      flush=True)
                self._told = s.number + round(self.fps)
            self.frames += 1

    def _tell(self, over: list[Event]) -> None:
        for e in over:
            start, end = e.first_frame / self.fps, (e.last_frame + 1) / self.fps
            self._events.writerow([e.first_frame, e.last_frame, e.peak_frame, f"{e.peak_score:.4f}", f"{start:.2f}",
                                   f"{end:.2f}", self._clock(start), self._clock(end), e.reason])
            print(f"event from {start:.1f} to {end:.1f} s, peak {e.peak_score:.2f}: {e.reason}", flush=True)
            self.events += 1

    def _clock(self, seconds: float) -> str:
        """ISO 8601 local time so many seconds after frame 0; '' for a file."""
        if self.started is None:
            return ""
        return (self.started + datetime.timedelta(seconds=seconds)).isoformat(timespec="milliseconds")


def unused_paths(path: Path) -> list[Path]:
    """Paths of clip, events and scores: FILE.mp4 and what belongs to it, or FILE-2.mp4 and so on where one is there."""
    for number in itertools.count(1):
        stem = path.stem if number == 1 else f"{path.stem}-{number}"
        found = [path.with_name(f"{stem}{kind}") for kind in (".mp4", ".events.csv", ".scores.csv")]
        if not any(p.exists() for p in found):
            return found


@contextlib.contextmanager
def _no_bars() -> Iterator[None]:
    """No progress bars: one for every model and chunk would bury the scores."""
    before = tqdm.__init__
    tqdm.__init__ = functools.partialmethod(before, disable=True)
    try:
        yield
    finally:
        tqdm.__init__ = before
