"""The local memory on a stream: every actor is detected, measured and embedded once.

Reads `LiveFrame`s one by one; makes the same `LiveScore`s as `LocalMemory.score` on a file of these frames. Expensive
steps (flow, foreground, embedding) run once per frame; cheap ones (tracks, channels, rarities) are repeated for the few
frames around those whose scores become final.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from typing import TYPE_CHECKING

import numpy as np

from pixelplay.data.footage import Footage
from pixelplay.data.ids import frame_id
from pixelplay.flow.dense import DenseFlow, matchable
from pixelplay.flow.references import later_reference_frames, reference_frames
from pixelplay.flow.stream import Referenced, ReferenceStream
from pixelplay.model import LiveFrame, LiveScore, Stream
from pixelplay.two_stream.actor_scores import Crops
from pixelplay.two_stream.actor_table import ActorTable, View, columns, detect, measure_frame
from pixelplay.two_stream.actors import crop
from pixelplay.two_stream.detectors import Detections
from pixelplay.two_stream.foreground import shrink
from pixelplay.two_stream.motion import Motion
from pixelplay.two_stream.tracks import TRACK

if TYPE_CHECKING:
    from pixelplay.two_stream.local_memory import LocalMemory

VIDEO = "live"
BATCH = 4
"""Frames per batch of scores; the last batch of a stream may be smaller."""


@dataclasses.dataclass
class _Row:
    """Results of a frame with n actors.

    Attributes:
        number: frame number.
        place: index among the frames since the last gap, without skipped frames.
        actors, motion, measured: results of `measure_frame`.
        features: (n, dim) float16 embeddings of the actors; None if they are not embedded.
        frame: (H, W, 3) uint8 RGB; kept while this may be the last frame before a gap.
    """

    number: int
    place: int
    actors: Detections
    motion: Motion
    measured: np.ndarray
    features: np.ndarray | None = None
    frame: np.ndarray | None = None


class LocalStream(Stream):
    """Stream of `LocalMemory`. A skipped frame takes the score of the previous frame."""

    def __init__(self, model: LocalMemory):
        self.model, self.scene, self.full_size = model, model.scene, (1, 1)
        self.ahead = max(model.config.stride, TRACK * self.scene.baseline)
        self._flow = DenseFlow()
        self._begin_stretch()
        self._rows: list[_Row] = []
        self._given = 0  # rows at the start that were scored and are kept as context
        self._order: deque[tuple[int, bool]] = deque()  # (number, not skipped) of the frames without a score
        self._last: float | None = None

    def push(self, frame: LiveFrame) -> list[LiveScore]:
        newest = self._stretch.newest
        if newest is not None and frame.number - newest > self.scene.tolerance:
            self._end_stretch()
        self.full_size = frame.full.shape[:2]
        image = shrink(frame.full, self.scene.background.size)
        self._stretch.push(frame.number, (frame, View(image, matchable(image))))
        self._order.append((frame.number, not frame.skipped))
        for one in self._stretch.ready():
            self._take(one)
        ready = len(self._rows) - self._given - self.ahead
        return self._judge(ready) if ready >= BATCH else []

    def finish(self) -> list[LiveScore]:
        self._end_stretch()
        return self._judge(len(self._rows) - self._given)

    # ---- one frame ----------------------------------------------------------------------------------------------

    def _begin_stretch(self) -> None:
        self._stretch, self._place = ReferenceStream(self._choose, self.scene.baseline), 0

    def _end_stretch(self) -> None:
        for one in self._stretch.ready(ended=True):
            self._take(one)
        if self._rows and self._rows[-1].features is None:
            # interpolation needs the embeddings of the last frame of a segment
            self._embed(self._rows[-1])
        self._begin_stretch()

    def _choose(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        times = np.zeros(len(numbers)), numbers, np.ones(len(numbers))
        step = self.scene.baseline, self.scene.tolerance
        first = reference_frames(*times, *step)
        if self.scene.directions < 2:
            return first, np.full(len(numbers), -1, np.int64)
        return first, later_reference_frames(*times, first, *step)

    def _take(self, one: Referenced) -> None:
        """Detect and measure the actors of a frame."""
        frame, view = one.item
        if frame.skipped:
            return
        model = self.model
        found = detect(model.detectors, frame.full)
        seen = measure_frame(self.scene, self._flow, found, view, [(other, step) for (_, other), step in one.others],
                             frame.full.shape[:2], "foreground" in model.config.detectors, model.rules)
        if self._rows:
            self._rows[-1].frame = None
        row = _Row(frame.number, self._place, *seen, frame=frame.full)
        self._rows.append(row)
        if self._place % model.config.stride == 0:
            self._embed(row)
        self._place += 1

    def _embed(self, row: _Row) -> None:
        c = self.model.config
        crops = [crop(row.frame, box, pad=self.model.rules.pad) for box in row.actors.boxes]
        row.features = self.model.backbone.embed(crops, batch_size=c.batch).astype(np.float16)

    # ---- some frames --------------------------------------------------------------------------------------------

    def _judge(self, count: int) -> list[LiveScore]:
        """Score the `count` rows after the context, and the skipped frames between them."""
        found: dict[int, LiveScore] = {}
        if count:
            footage, table, crops = self._measured()
            scores = self.model.judge(footage, table, crops)
            for row in range(self._given, self._given + count):
                own = slice(*np.searchsorted(table.position, [row, row + 1]))
                actors = {k: v[own] for k, v in scores.actors.items() if not k.startswith("train_")}
                number = self._rows[row].number
                found[number] = LiveScore(number, float(scores.values[row]), None, actors)
            self._forget(self._given + count)
        out = []
        while self._order:
            number, looked = self._order[0]
            if looked and number not in found:
                break
            if not looked and self._last is None:
                # skipped frames at the start take the first score
                if not found:
                    break
                self._last = next(iter(found.values())).value
            out.append(found.get(number) or LiveScore(number, self._last))
            self._last = out[-1].value
            self._order.popleft()
        return out

    def _measured(self) -> tuple[Footage, ActorTable, Crops]:
        """All rows as the arguments of `LocalMemory.judge`, without frames."""
        rows, count = self._rows, len(self._rows)
        numbers = np.array([row.number for row in rows], np.int64)
        videos = np.array([VIDEO] * count, dtype=object)
        footage = Footage(
            name=VIDEO, ids=np.array([frame_id(VIDEO, n) for n in numbers], dtype=object), videos=videos,
            frames=numbers, reliability=np.ones(count, np.float32), flags=np.array([""] * count, dtype=object),
            pixels=np.zeros((0, 1, 1, 3), np.uint8), rows=np.arange(count), full_size=self.full_size, fps=0.0,
            fingerprint=VIDEO, open_stream=iter)
        table = ActorTable(**columns([np.full(len(row.actors), i, np.int64) for i, row in enumerate(rows)],
                                     [row.actors for row in rows], [row.motion for row in rows],
                                     [row.measured for row in rows]))
        embedded = np.flatnonzero(np.array([row.features is not None for row in rows])[table.position])
        dim = self.model.backbone.dim
        features = np.concatenate([np.zeros((0, dim), np.float16),
                                   *(row.features for row in rows if row.features is not None)])
        return footage, table, Crops(embedded, videos[table.position[embedded]], features)

    def _forget(self, given: int) -> None:
        """Drop rows that no later score depends on; the first `given` rows have been scored.

        The rest starts at an embedded frame.
        """
        first = max(0, given - self.ahead)
        first -= self._rows[first].place % self.model.config.stride if first < len(self._rows) else 0
        first = max(0, first)
        del self._rows[:first]
        self._given = given - first
