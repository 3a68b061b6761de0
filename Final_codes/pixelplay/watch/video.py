"""Videos of a live stream, written frame by frame: plain ones of events, and the annotated recording.

Reads RGB frames (with their scores); writes H.264 MP4 in fragments, so that memory does not grow and what was written
plays even if the process is killed. A hole in the frame numbers stays a hole in time.
"""

from __future__ import annotations

import collections
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from pixelplay.data.decoding import import_av
from pixelplay.fusion.events import Threshold
from pixelplay.visual.annotate import Strip, draw_frame, draw_state, yuv_picture
from pixelplay.visual.people import Box

SECONDS = 10
"""Length of the running curve."""


class FragmentedVideo:
    """An H.264 MP4 in fragments of half a second: after a kill it plays up to its last fragment.

    Args:
        path: an .mp4 file.
        size: (H, W) of the frames.
        fps: frame numbers a second.
        quality: x264's constant rate factor; lower is better and larger.
    """

    def __init__(self, path: Path, size: tuple[int, int], fps: float, *, quality: int = 23):
        self.rate, self.empty = Fraction(fps).limit_denominator(1001), True
        self.container = import_av().open(str(path), "w", format="mp4", options={
            "movflags": "frag_keyframe+empty_moov+default_base_moof", "flush_packets": "1"})
        # without looking ahead: frames that wait in the encoder are lost in a kill
        self.stream = self.container.add_stream("libx264", rate=self.rate, options={
            "crf": str(quality), "preset": "veryfast", "tune": "zerolatency"})
        self.stream.height, self.stream.width = (side + side % 2 for side in size)
        self.stream.pix_fmt, self.stream.codec_context.time_base = "yuv420p", 1 / self.rate
        self.stream.codec_context.gop_size = max(1, round(fps / 2))

    def write(self, place: int, frame: np.ndarray) -> None:
        """Write (H, W, 3) uint8 RGB as frame number `place`; a hole in the numbers stays a hole in time."""
        self.container.mux(self.stream.encode(yuv_picture(frame, place, self.rate)))
        self.empty = False

    def close(self, *, quiet: bool = False) -> None:
        """Finish the file; `quiet` where another error is on its way already."""
        try:
            if not self.empty:
                self.container.mux(self.stream.encode())
        except (import_av().error.FFmpegError, OSError):
            if not quiet:
                raise
        finally:
            self.container.close()


class LiveVideo:
    """Writes the clip; close it, or use it in a `with`.

    Args:
        path: an .mp4 file.
        size: (H, W) of the frames.
        fps: frame numbers a second.
        threshold: drawn on the curve.
        quality: x264's constant rate factor; lower is better and larger.
    """

    def __init__(self, path: Path, size: tuple[int, int], fps: float, threshold: Threshold, *, quality: int = 23):
        self.fps, self.strip = fps, Strip.of_stream(threshold)
        self.recent: collections.deque[tuple[int, float]] = collections.deque(maxlen=max(2, round(SECONDS * fps)))
        self.first: int | None = None
        self.file = FragmentedVideo(path, size, fps, quality=quality)

    def __enter__(self) -> LiveVideo:
        return self

    def __exit__(self, mistake: type[BaseException] | None, *_: object) -> None:
        self.file.close(quiet=mistake is not None)

    def write(self, number: int, frame: np.ndarray, score: float, *, boxes: Sequence[Box] = (),
              heat: np.ndarray | None = None, alarm: str | None = None) -> None:
        """Draw and write one frame.

        Args:
            number: frame number, larger than the last one.
            alarm: words of the event the frame belongs to; None outside of events.
        """
        self.first = number if self.first is None else self.first
        self.recent.append((number, score))
        drawn = draw_frame(frame, boxes, heat, words=alarm is None)
        numbers, scores = (np.array(v) for v in zip(*self.recent))
        self.strip.draw(drawn, numbers, scores, number, (number - round(SECONDS * self.fps), number))
        draw_state(drawn, f"{(number - self.first) / self.fps:.1f} s   score {score:.1f}", alarm)
        self.file.write(number - self.first, drawn)
