"""The annotated clip of a live stream, written frame by frame.

Reads RGB frames with their scores; writes one H.264 MP4 in fragments of a second, so that memory does not grow and what
was written plays even if the process is killed. A hole in the frame numbers stays a hole in time.
"""

from __future__ import annotations

import collections
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from pixelplay.data.decoding import import_av
from pixelplay.visual import style
from pixelplay.visual.annotate import Box, draw_frame, put_text, text_size, yuv_picture
from pixelplay.visual.events import Threshold

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
        self.size, self.fps, self.threshold = size, fps, threshold
        self.recent: collections.deque[tuple[int, float]] = collections.deque(maxlen=max(2, round(SECONDS * fps)))
        self.rate, self.first = Fraction(fps).limit_denominator(1001), None
        self.container = import_av().open(str(path), "w", format="mp4",
                                 options={"movflags": "frag_keyframe+empty_moov+default_base_moof"})
        self.stream = self.container.add_stream("libx264", rate=self.rate,
                                                options={"crf": str(quality), "preset": "veryfast"})
        self.stream.height, self.stream.width = (side + side % 2 for side in size)
        self.stream.pix_fmt, self.stream.codec_context.time_base = "yuv420p", 1 / self.rate
        self.stream.codec_context.gop_size = max(1, round(fps))

    def __enter__(self) -> LiveVideo:
        return self

    def __exit__(self, *_: object) -> None:
        if self.first is not None:
            self.container.mux(self.stream.encode())
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
        drawn = draw_frame(frame, 0, None, self.fps, boxes, heat)
        draw_curve(drawn, self.recent, self.threshold, round(SECONDS * self.fps))
        size = text_size(drawn.shape[0])
        colour = style.rgb(style.ORANGE) if alarm is not None else (0, 0, 0)
        text = f"{(number - self.first) / self.fps:.1f} s  score {score:.2f}" + (f"  EVENT: {alarm}" if alarm else "")
        put_text(drawn, text, (4, 4), size, (0, 0, 0) if alarm is not None else (255, 255, 255), colour)
        if alarm is not None:
            cv2.rectangle(drawn, (0, 0), (drawn.shape[1] - 1, drawn.shape[0] - 1), style.rgb(style.VERMILLION),
                          max(2, drawn.shape[0] // 120))
        self.container.mux(self.stream.encode(yuv_picture(drawn, number - self.first, self.rate)))


def draw_curve(frame: np.ndarray, recent: Sequence[tuple[int, float]], threshold: Threshold, span: int) -> None:
    """Draw the scores of the last `span` frame numbers over the bottom of a frame; in place.

    The scale is fixed by the threshold, so that the curve does not jump when a loud moment leaves it.
    """
    height, width = max(24, round(0.14 * frame.shape[0])), frame.shape[1]
    strip = frame[-height:]
    strip[:] = strip // 3
    top, low = 4.0 * max(threshold.high, 1e-6), min(0.0, threshold.low)
    now = recent[-1][0]

    def place(number: int, score: float) -> tuple[int, int]:
        share = min(max((score - low) / (top - low), 0.0), 1.0)
        return round((number - now + span) / span * (width - 1)), round((height - 4) - share * (height - 8))

    level = place(now, threshold.high)[1]
    for x in range(0, width, 8):
        cv2.line(strip, (x, level), (x + 3, level), style.rgb(style.YELLOW), 1)
    numbers, values = np.array([r[0] for r in recent]), np.array([r[1] for r in recent])
    x, y = style.in_runs(numbers, values)
    for part in np.split(np.stack([x, y], 1), np.flatnonzero(np.isnan(x))):
        points = [place(int(a), float(b)) for a, b in part[~np.isnan(part[:, 0])]]
        cv2.polylines(strip, [np.array(points, np.int32)], False, (255, 255, 255), 1, cv2.LINE_AA)
