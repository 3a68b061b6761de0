"""`pixelplay watch`: score a camera, a network stream or a video file as it comes, with the models of a finished run.

Reads a camera by its number, a stream by its address, or a file; prints a line a second and each event; writes the
annotated clip, and beside it the events and the scores as CSV. A camera does not wait: where scoring is slower than
the camera, whole stretches are left out and said so, and the frame numbers keep counting. A file is read in full.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import functools
import logging
import queue
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from tqdm.auto import tqdm

from pixelplay.data.decoding import probe, video_frames
from pixelplay.environment import default_output, hardware, limit_threads
from pixelplay.errors import PixelPlayError
from pixelplay.files import atomic_path
from pixelplay.live import VIDEO, LiveScorer, Scored
from pixelplay.visual.events import Event, EventStream
from pixelplay.visual.live_video import LiveVideo
from pixelplay.visual.run_folder import RunFolder

log = logging.getLogger(__name__)

PATIENCE = 4.0
"""Seconds of a camera's frames that may wait before a stretch is left out."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare SOURCE, --run, --models, --weights, --chunk, --seconds, --output."""
    parser.add_argument("source", metavar="CAMERA|ADDRESS|FILE", help="a camera's number (0 is the first), a stream's "
                        "address (rtsp://..., http://...), or a video file")
    parser.add_argument("--run", type=Path, metavar="DIR", help="a finished run's output folder, trained on this "
                        "camera's normal footage (default: outputs, /kaggle/working on Kaggle)")
    parser.add_argument("--models", nargs="+", metavar="NAME", help="models to use; fewer are faster (default: all "
                        "of the run's)")
    parser.add_argument("--weights", type=Path, metavar="DIR", help="released weights the run was made with (default: "
                        "what the run recorded)")
    parser.add_argument("--chunk", type=int, default=50, metavar="N", help="frames scored together: larger is faster "
                        "and later (default: 50)")
    parser.add_argument("--seconds", type=float, metavar="S", help="stop after so much footage (default: the end, or "
                        "Ctrl-C)")
    parser.add_argument("--output", type=Path, default=Path("watched.mp4"), metavar="FILE.mp4",
                        help="annotated clip; FILE.events.csv and FILE.scores.csv lie beside it (default: watched.mp4)")


def run(args: argparse.Namespace) -> int:
    """Score until the end, --seconds or Ctrl-C. Returns the exit status; raises PixelPlayError for a user's mistake."""
    if args.output.suffix.lower() != ".mp4":
        raise PixelPlayError(f"--output {args.output} is not an .mp4", expected="a name that ends in .mp4")
    if args.chunk < 1:
        raise PixelPlayError(f"--chunk {args.chunk} scores nothing", expected="1 or more frames")
    limit_threads(hardware().threads)
    source = Source(args.source)
    names = [m for name in args.models or () for m in name.split(",")]
    scorer = LiveScorer(RunFolder(args.run or default_output()), names or None, weights=args.weights, chunk=args.chunk)
    log.info("%s: %.3g frames a second; models %s; a score comes %.1f s after its frame, or later where the machine is "
             "slower", args.source, source.fps, ", ".join(scorer.models), scorer.delay / scorer.fps)
    log.info("an event %s", scorer.threshold.words)
    if abs(source.fps / scorer.fps - 1) > 0.02:
        log.info("the run learned at %.3g frames a second: frames are numbered at that rate", scorer.fps)
    with _no_bars(), source, Outputs(args.output, scorer) as out:
        started, last = time.perf_counter(), -1
        for index, frame in source.frames():
            number = int(index * scorer.fps / source.fps + 1e-6)
            if args.seconds is not None and number >= args.seconds * scorer.fps:
                break
            if number > last:
                last = number
                out.take(scorer.push(number, frame))
        if last < 0:
            raise PixelPlayError(f"{args.source} gave no frame", mend="check that it plays in another program")
        out.take(scorer.finish())
        out.finish()
        seconds = time.perf_counter() - started
    log.info("%d frames in %.0f s (%.1f a second), %d events%s\n%s", out.frames, seconds, out.frames / seconds,
             out.events, f"; {source.left_out} frames left out because scoring was slower than the camera"
             if source.left_out else "", "\n".join(map(str, out.paths)))
    return 0


class Outputs:
    """What comes out: lines on the screen, the clip, the events and the scores. Use it in a `with`."""

    def __init__(self, path: Path, scorer: LiveScorer):
        self.paths = [path.with_suffix(kind) for kind in (".mp4", ".events.csv", ".scores.csv")]
        self.scorer, self.fps, self.frames, self.events, self._told = scorer, scorer.fps, 0, 0, 0
        self.stream = EventStream(VIDEO, scorer.threshold, min_frames=max(2, round(self.fps / 5)),
                                  join=round(self.fps / 2), max_gap=round(self.fps / 2))

    def __enter__(self) -> Outputs:
        with contextlib.ExitStack() as stack:
            parts = [stack.enter_context(atomic_path(p)) for p in self.paths]
            self.clip = stack.enter_context(LiveVideo(parts[0], self.scorer.full_size, self.fps,
                                                      self.scorer.threshold))
            # a line at a time: whoever follows the file sees an event when it is over
            files = [stack.enter_context(p.open("w", newline="", encoding="utf-8", buffering=1)) for p in parts[1:]]
            self._events, self._scores = (csv.writer(f, lineterminator="\n") for f in files)
            self._stack = stack.pop_all()
        self._events.writerow(["first_frame", "last_frame", "peak_frame", "peak_score", "start_s", "end_s", "reason"])
        self._scores.writerow(["frame", "time_s", "score", *self.scorer.models])
        return self

    def __exit__(self, *mistake: object) -> bool | None:
        return self._stack.__exit__(*mistake)

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

    def finish(self) -> None:
        """Write the event that is still open."""
        self._tell(self.stream.finish())

    def _tell(self, over: list[Event]) -> None:
        for e in over:
            start, end = e.first_frame / self.fps, (e.last_frame + 1) / self.fps
            self._events.writerow([e.first_frame, e.last_frame, e.peak_frame, f"{e.peak_score:.4f}", f"{start:.2f}",
                                   f"{end:.2f}", e.reason])
            print(f"event from {start:.1f} to {end:.1f} s, peak {e.peak_score:.2f}: {e.reason}", flush=True)
            self.events += 1


class Source:
    """Frames of a camera, a stream or a file. In a `with`, Ctrl-C ends the frames and not the program.

    Attributes:
        fps: frames a second, 25 where a camera does not say.
        left_out: frames a camera gave while the queue was full.
    Raises:
        PixelPlayError: it cannot be opened.
    """

    def __init__(self, name: str):
        self.name, self.left_out = name, 0
        self._stop = threading.Event()
        self.file = Path(name) if not name.isdigit() and "://" not in name else None
        if self.file is not None:
            if not self.file.is_file():
                raise PixelPlayError(f"{name} is no video file", expected="a camera's number, an address with ://, or "
                                     "a video file", mend="check the path for spelling and mount point")
            self.fps = probe(self.file).fps
            return
        # its own words of what every back end tried would hide ours
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        self.capture = cv2.VideoCapture(int(name) if name.isdigit() else name)
        if not self.capture.isOpened():
            raise PixelPlayError(f"{'camera ' if name.isdigit() else ''}{name} cannot be opened",
                                 expected="a camera's number, the address of a stream, or a video file",
                                 mend="check that it is connected, that no other program uses it, and that the "
                                 "address plays in another program")
        said = float(self.capture.get(cv2.CAP_PROP_FPS))
        self.fps = said if 1 <= said <= 240 else 25.0

    def frames(self) -> Iterator[tuple[int, np.ndarray]]:
        """(number of the frame, (H, W, 3) uint8 RGB), in order; numbers jump where a camera's frames were left out."""
        if self.file is not None:
            for i, (frame, readable) in enumerate(video_frames(self.file, np.arange(probe(self.file).frames))):
                if self._stop.is_set():
                    return
                if readable:
                    yield i, frame
            return
        waiting: queue.Queue = queue.Queue(max(2, round(PATIENCE * self.fps)))
        reader = threading.Thread(target=self._read, args=(waiting,), daemon=True)
        reader.start()
        while not self._stop.is_set():
            try:
                # a camera that hangs must not keep Ctrl-C waiting
                item = waiting.get(timeout=0.2)
            except queue.Empty:
                continue
            if item is None:
                return
            yield item[0], cv2.cvtColor(item[1], cv2.COLOR_BGR2RGB)

    def __enter__(self) -> Source:
        self._before = {}
        if threading.current_thread() is threading.main_thread():
            self._before = {s: signal.signal(s, lambda *_: self._stop.set()) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _read(self, waiting: queue.Queue) -> None:
        index, skipping = 0, False
        while not self._stop.is_set():
            there, frame = self.capture.read()
            if not there:
                break
            # one long hole costs the models less than many short ones: none of them looks across a hole
            skipping = waiting.full() or (skipping and not waiting.empty())
            if skipping:
                self.left_out += 1
            else:
                waiting.put((index, frame))
            index += 1
        self.capture.release()
        if not self._stop.is_set():
            waiting.put(None)


@contextlib.contextmanager
def _no_bars() -> Iterator[None]:
    """No progress bars: one for every model and chunk would bury the scores."""
    before = tqdm.__init__
    tqdm.__init__ = functools.partialmethod(before, disable=True)
    try:
        yield
    finally:
        tqdm.__init__ = before
