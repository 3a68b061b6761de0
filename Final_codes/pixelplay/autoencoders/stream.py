"""An autoencoder on a stream: the network processes every window once.

Reads `LiveFrame`s with speed maps one by one; makes the same `LiveScore`s as `Autoencoder.score` on a file of these
frames. A window is scored after its last frame has arrived, several windows together; the score of a frame is final
when no later window covers it.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pixelplay.autoencoders import scorer
from pixelplay.autoencoders.windows import Clip, Timeline, clip_parts
from pixelplay.distributed import local_hardware
from pixelplay.model import LiveFrame, LiveScore, Stream
from pixelplay.scenes.cameras import recognise_picture

if TYPE_CHECKING:
    from pixelplay.autoencoders.base import Autoencoder

BATCH = 4
"""Windows per batch. A batch is a third faster per window than single windows, but increases the latency."""
PATIENCE = 4
"""Longest wait for the first complete window, in window lengths; after that, padded windows are scored."""


@dataclasses.dataclass
class _Row:
    """A frame that waits for its score.

    Attributes:
        number: frame number.
        frame, speed: inputs of the network.
        known: whether the speed was measured.
        looked: whether the frame may be the anchor of a window; False for skipped frames.
        total: sum of the weights of the windows scored so far.
        value, map: weighted sums of their scores and error maps.
        final: whether no later window covers the frame.
    """

    number: int
    frame: Tensor
    speed: Tensor
    known: bool
    looked: bool
    total: float = 0.0
    value: float = 0.0
    map: Tensor | None = None
    final: bool = False

    def score_of(self, number: int) -> LiveScore:
        """The score of this frame as that of frame `number`, which is this frame or one nearby."""
        return LiveScore(number, self.value / self.total, (self.map / self.total).clamp(0, 6e4).cpu().numpy())


class _Window(NamedTuple):
    """A complete window. Its weight is 1, or 0.5 if a neighbour substitutes for a missing frame."""

    anchor: int
    rows: list[_Row]
    weight: float


class AutoencoderStream(Stream):
    """Stream of an autoencoder. If it was trained on several scenes, the scene is recognised again after every gap."""

    def __init__(self, model: Autoencoder):
        self.model, self.device = model, local_hardware().device
        self.size, self.channels = tuple(model.about["size"]), model.config.channels
        self.offsets, self.targets = np.asarray(model.offsets, np.int64), list(model.target_frames)
        self.share = np.asarray(model.frame_weights, np.float64)
        self.earliest = int(self.offsets[self.targets].min())
        # in a gap of the frame numbers the nearest frame substitutes, unless only anchors are scored
        self.spill = model.config.max_gap // 2 if (self.offsets[self.targets] != 0).any() else 0
        self._span: list[_Row] = []  # rows since the last gap that later windows may use
        self._first = 0  # frame number of the first row
        self._anchor = 0  # index of the next anchor in the span
        self._windows: list[_Window] = []
        self._out: deque[_Row] = deque()
        self._covered: _Row | None = None  # the last frame with a score of its own

    def push(self, frame: LiveFrame) -> list[LiveScore]:
        if not self._span or frame.number - self._span[-1].number > self.model.config.max_gap:
            self._end_span()
            self._begin_span(frame)
        row = self._row(frame)
        self._span.append(row)
        self._out.append(row)
        self._cut()
        if len(self._windows) >= BATCH:
            self._judge()
        return self._ready()

    def finish(self) -> list[LiveScore]:
        self._end_span()
        if self._covered is None and not any(row.total for row in self._out):
            self._judge_padded()
        return self._ready(ended=True)

    # ---- windows ------------------------------------------------------------------------------------------------

    def _begin_span(self, frame: LiveFrame) -> None:
        s = self.model.statistics
        scene = -1 if s.scenes is None else recognise_picture(frame.working, s.scenes.cpu().numpy())
        unit, level = (s.speed, s.level) if scene < 0 else (s.scene_speed[scene], s.scene_level[scene])
        self._unit = np.float32(float(unit))
        self._level = np.ones(len(self.targets)) if level is None else level.double().cpu().numpy()
        self._first = frame.number

    def _end_span(self) -> None:
        self._judge()
        for row in self._out:
            row.final = True
        self._span, self._anchor = [], 0

    def _row(self, frame: LiveFrame) -> _Row:
        known = frame.speed is not None
        speed = frame.speed if known else np.zeros((1, 1), np.float16)
        pixels, speeds = clip_parts(frame.working[None], speed[None], np.array([self._unit]), self.size, self.channels,
                                    self.device)
        return _Row(frame.number, pixels[0], speeds[0], known, not frame.skipped)

    def _cut(self) -> None:
        """Collect the windows that are now complete."""
        numbers = np.array([row.number for row in self._span])
        complete = [i for i in range(self._anchor, len(numbers)) if numbers[i] + self.offsets[-1] <= numbers[-1]]
        self._anchor += len(complete)
        anchors = [i for i in complete if numbers[i] + self.offsets[0] >= self._first and self._span[i].looked]
        if anchors:
            self._windows += [w for w in self._at(anchors, self._span) if all(row.known for row in w.rows)]
        # start of the next window
        begin = (numbers[self._anchor] if self._anchor < len(numbers) else numbers[-1]) + self.offsets[0]
        drop = int(np.searchsorted(numbers, begin - self.model.config.max_gap))
        del self._span[:drop]
        self._anchor -= drop

    def _at(self, anchors: list[int], rows: list[_Row]) -> list[_Window]:
        numbers = np.array([row.number for row in rows])
        timeline = Timeline(np.zeros(len(rows)), numbers, self.model.config.max_gap)
        found, exact = timeline.look(np.array(anchors), self.offsets)
        return [_Window(rows[a].number, [rows[i] for i in own], 1.0 if whole else 0.5)
                for a, own, whole in zip(anchors, found, exact.all(axis=1))]

    def _judge(self) -> None:
        """Run the network on the waiting windows, as in `scorer.score_footage`."""
        if not self._windows:
            return
        model, windows, self._windows = self.model, self._windows, []
        clip = Clip(torch.stack([torch.stack([row.frame for row in w.rows]) for w in windows]).float().div_(255),
                    torch.stack([torch.stack([row.speed for row in w.rows]) for w in windows]).float())
        with torch.inference_mode():
            values, local = scorer.window_scores(model._errors, clip, model.statistics.location, model.config.patch)
            use = np.array([w.weight for w in windows])[:, None] * self.share
            factor = torch.as_tensor(use / self._level, dtype=torch.float32, device=local.device)
            local = local * factor[..., None, None]
        values = values.double().cpu().numpy() / self._level * use
        for b, window in enumerate(windows):
            for f, target in enumerate(self.targets):
                row = window.rows[target]
                row.value, row.total = row.value + float(values[b, f]), row.total + float(use[b, f])
                row.map = local[b, f] if row.map is None else row.map + local[b, f]

    def _judge_padded(self) -> None:
        """Score one window per frame, padded with edge frames as in `windows.find_windows`, if none is complete."""
        rows = [row for row in self._out if row.known] or list(self._out)
        if rows:
            self._windows = self._at(list(range(len(rows))), rows)
            self._judge()
        for row in self._out:
            row.final = True

    # ---- scores -------------------------------------------------------------------------------------------------

    def _ready(self, *, ended: bool = False) -> list[LiveScore]:
        """The scores of the first rows that are final."""
        self._mark_final()
        out: list[LiveScore] = []
        while self._out and self._out[0].final:
            row = self._out[0]
            if row.total:
                self._covered = row
            # a frame that no window covers takes the nearest score, in a tie that of the earlier frame
            source = row if row.total else self._nearest(row.number, ended)
            if source is None:
                break
            out.append(source.score_of(row.number))
            self._out.popleft()
        return out

    def _mark_final(self) -> None:
        if self._span:
            # first anchor whose window is not scored yet
            following = self._windows[0].anchor if self._windows else \
                self._span[self._anchor].number if self._anchor < len(self._span) else self._span[-1].number + 1
            for row in self._out:
                row.final |= following > row.number + self.spill - self.earliest
        patience = PATIENCE * int(self.offsets[-1] - self.offsets[0] + 1)
        if self._covered is None and len(self._out) > patience and not any(row.total for row in self._out):
            self._judge_padded()

    def _nearest(self, number: int, ended: bool) -> _Row | None:
        """The nearest covered row; None while a later frame may be nearer."""
        before = self._covered
        for row in self._out:
            if row.total or not row.final:
                # covered, or still undecided
                if before is not None and number - before.number <= row.number - number:
                    return before
                return row if row.total and row.final else None
        newest = self._out[-1].number
        if before is not None and (ended or number - before.number <= newest + 1 - number):
            return before
        return None
