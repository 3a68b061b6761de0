"""The global memory on a stream: every frame is embedded once, in small batches.

Reads `LiveFrame`s one by one; makes the same `LiveScore`s as `GlobalMemory.score` on a file of these frames.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pixelplay.model import LiveFrame, LiveScore, Stream

if TYPE_CHECKING:
    from pixelplay.two_stream.global_memory import GlobalMemory

BATCH = 4
"""Frames embedded together."""


class GlobalStream(Stream):
    """Stream of `GlobalMemory`. A skipped frame takes the score of the previous frame."""

    def __init__(self, model: GlobalMemory):
        self.model = model
        self._frames: list[LiveFrame] = []
        self._value: float | None = None

    def push(self, frame: LiveFrame) -> list[LiveScore]:
        self._frames.append(frame)
        return self.finish() if len(self._frames) >= BATCH else []

    def finish(self) -> list[LiveScore]:
        frames, self._frames = self._frames, []
        looked = [i for i, f in enumerate(frames) if not f.skipped or (i == 0 and self._value is None)]
        pictures = [frames[i].working if self.model.config.source == "working" else frames[i].full for i in looked]
        values = dict(zip(looked, self.model.values(pictures).tolist() if pictures else ()))
        out = []
        for i, frame in enumerate(frames):
            self._value = values.get(i, self._value)
            out.append(LiveScore(frame.number, self._value))
        return out
