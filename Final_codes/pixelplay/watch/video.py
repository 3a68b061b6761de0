"""The annotated clip of a live stream, written frame by frame.

Reads RGB frames with their scores; writes one H.264 MP4 in fragments of a second, so that memory does not grow and what
was written plays even if the process is killed. A hole in the frame numbers stays a hole in time.
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
        self.size, self.fps, self.strip = size, fps, Strip.of_stream(threshold)
        self.recent: collections.deque[tuple[int, float]] = collections.deque(maxlen=max(2, round(SECONDS * fps)))
        self.rate, self.first = Fraction(fps).limit_denominator(1001), None
        self.container = import_av().open(str(path), "w", format="mp4", options={
            "movflags": "frag_keyframe+empty_moov+default_base_moof", "flush_packets": "1"})
        self.stream = self.container.add_stream("libx264", rate=self.rate,
                                                options={"crf": str(quality), "preset": "veryfast"})
        self.stream.height, self.stream.width = (side + side % 2 for side in size)
        self.stream.pix_fmt, self.stream.codec_context.time_base = "yuv420p", 1 / self.rate
        self.stream.codec_context.gop_size = max(1, round(fps))

    def __enter__(self) -> LiveVideo:
        return self

    def __exit__(self, mistake: type[BaseException] | None, *_: object) -> None:
        try:
            if self.first is not None:
                self.container.mux(self.stream.encode())
        except (import_av().error.FFmpegError, OSError):
            if mistake is None:  # else it fails for the reason that is on its way already
                raise
        finally:
            self.container.close()

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
        self.container.mux(self.stream.encode(yuv_picture(drawn, number - self.first, self.rate)))
