"""Live scoring for models without their own stream: chunks of frames are scored with the frames around them.

Reads `LiveFrame`s one by one; makes the same `LiveScore`s as `Model.score` on a file of these frames. Every frame is
scored several times, also as context of others, so this is several times slower than a stream (see `Model.stream`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pixelplay.data.footage import Footage, segments
from pixelplay.data.ids import frame_id
from pixelplay.model import LiveFrame, LiveScore, Model, Stream

VIDEO = "live"
CHUNK = 25
"""Frames per chunk. Larger chunks are faster, because each is scored with `Model.reach` frames on both sides, but
increase the latency."""


class WindowedStream(Stream):
    """Stream of a model that implements only `Model.score`. Skipped frames are scored like all others.

    Args:
        model: fitted model.
        fps: frame numbers per second.
    """

    def __init__(self, model: Model, fps: float):
        self.model, self.fps = model, fps
        self._frames: list[LiveFrame] = []
        self._given = 0  # frames at the start that were returned and are kept as context

    def push(self, frame: LiveFrame) -> list[LiveScore]:
        self._frames.append(frame)
        ready = len(self._frames) - self.model.reach - self._given
        return self._score(ready) if ready >= CHUNK else []

    def finish(self) -> list[LiveScore]:
        left = len(self._frames) - self._given
        return self._score(left) if left else []

    def _score(self, count: int) -> list[LiveScore]:
        """Score all frames; returns the scores of the `count` frames after the context."""
        footage = self._footage()
        with tempfile.TemporaryDirectory(prefix="pixelplay-live-") as folder:
            found = self.model.score(footage, Path(folder))
            out = []
            for row in range(self._given, self._given + count):
                actors = None
                if found.actors is not None:
                    own = np.flatnonzero(found.actors["Id"] == footage.ids[row])
                    actors = {k: v[own] for k, v in found.actors.items() if not k.startswith("train_")}
                out.append(LiveScore(self._frames[row].number, float(found.values[row]),
                                     None if found.maps is None else np.array(found.maps[row], np.float32), actors))
        self._forget(self._given + count)
        return out

    def _footage(self) -> Footage:
        frames = list(self._frames)
        numbers = np.array([f.number for f in frames], np.int64)

        def stream(rows: np.ndarray) -> Iterator[np.ndarray]:
            for row in np.asarray(rows).tolist():
                yield frames[row].full

        nothing = np.zeros((frames[0].working.shape[0] // 4, frames[0].working.shape[1] // 4), np.float16)
        speeds = [nothing if f.speed is None else f.speed for f in frames]
        return Footage(
            name=VIDEO, ids=np.array([frame_id(VIDEO, n) for n in numbers], dtype=object),
            videos=np.array([VIDEO] * len(frames), dtype=object), frames=numbers,
            reliability=np.ones(len(frames), np.float32), flags=np.array([""] * len(frames), dtype=object),
            pixels=np.stack([f.working for f in frames]), rows=np.arange(len(frames)),
            full_size=frames[0].full.shape[:2], fps=self.fps, fingerprint=f"live {numbers[0]} {numbers[-1]}",
            open_stream=stream, speeds=np.stack(speeds) if self.model.reads_speed else None)

    def _forget(self, given: int) -> None:
        """Drop frames that no later score depends on; the rest starts at a multiple of `Model.stride`."""
        first = max(0, given - self.model.reach)
        numbers = np.array([f.number for f in self._frames])
        start = max(p.start for p in segments(np.zeros(len(numbers)), numbers, self.model.max_gap) if p.start <= first)
        first = start + (first - start) // self.model.stride * self.model.stride
        del self._frames[:first]
        self._given = given - first
