"""Video writers for live streams: plain clips of events, and the annotated recording.

Reads RGB frames, with scores for the recording; writes H.264 in fragmented MP4 files. Memory is constant, and the
written part is playable if the process is killed. A gap in the frame numbers remains a gap in time.
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
"""Time span of the plotted scores, in seconds."""


class FragmentedVideo:
    """An H.264 MP4 with fragments of half a second; if the process is killed, all complete fragments are playable.

    Args:
        path: .mp4 file to write.
        size: (H, W) of the frames.
        fps: frame numbers per second.
        quality: x264's constant rate factor; lower is better and larger.
    """

    def __init__(self, path: Path, size: tuple[int, int], fps: float, *, quality: int = 23):
        self.rate, self.empty = Fraction(fps).limit_denominator(1001), True
        self.container = import_av().open(str(path), "w", format="mp4", options={
            "movflags": "frag_keyframe+empty_moov+default_base_moof", "flush_packets": "1"})
        # no lookahead: frames inside the encoder are lost if the process is killed
        self.stream = self.container.add_stream("libx264", rate=self.rate, options={
            "crf": str(quality), "preset": "veryfast", "tune": "zerolatency"})
        self.stream.height, self.stream.width = (side + side % 2 for side in size)
        self.stream.pix_fmt, self.stream.codec_context.time_base = "yuv420p", 1 / self.rate
        self.stream.codec_context.gop_size = max(1, round(fps / 2))

    def write(self, place: int, frame: np.ndarray) -> None:
        """Write (H, W, 3) uint8 RGB as frame number `place`; a gap in the numbers remains a gap in time."""
        self.container.mux(self.stream.encode(yuv_picture(frame, place, self.rate)))
        self.empty = False

    def close(self, *, quiet: bool = False) -> None:
        """Finish the file. `quiet` suppresses its errors if another error is being raised."""
        try:
            if not self.empty:
                self.container.mux(self.stream.encode())
        except (import_av().error.FFmpegError, OSError):
            if not quiet:
                raise
        finally:
            self.container.close()


class LiveVideo:
    """Writes an annotated video with a plot of the recent scores. Use it as a context manager.

    Args:
        path: .mp4 file to write.
        size: (H, W) of the frames.
        fps: frame numbers per second.
        threshold: event threshold, drawn in the plot.
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
            number: frame number, larger than the previous one.
            frame: (H, W, 3) uint8 RGB.
            score: final score, a rarity.
            boxes: actors.
            heat: (h, w) error map in [0, 1], or None.
            alarm: reason of the event that contains the frame; None outside events.
        """
        self.first = number if self.first is None else self.first
        self.recent.append((number, score))
        drawn = draw_frame(frame, boxes, heat, words=alarm is None)
        numbers, scores = (np.array(v) for v in zip(*self.recent))
        self.strip.draw(drawn, numbers, scores, number, (number - round(SECONDS * self.fps), number))
        draw_state(drawn, f"{(number - self.first) / self.fps:.1f} s   score {score:.1f}", alarm)
        self.file.write(number - self.first, drawn)
