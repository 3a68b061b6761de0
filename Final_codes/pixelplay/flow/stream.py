"""Speed maps of a live stream, equal to those that `speed.measure` computes for the same frames in a file.

`ReferenceStream` yields every item of a stream with its reference frames; `SpeedStream` uses it to compute the speed
maps of `LiveFrame`s. The latency is one baseline: a frame waits for its later reference.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from pixelplay.flow.dense import DenseFlow, matchable
from pixelplay.flow.speed import TOLERANCE, Baselines, both_sides, slower_speed
from pixelplay.model import LiveFrame
from pixelplay.scenes.cameras import recognise_picture

Choose = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""(n,) frame numbers of a segment without gaps -> two (n,) arrays of reference rows, -1 if there is none."""


class Referenced(NamedTuple):
    """An item and its reference frames as (item, frame number minus that of this item)."""

    item: Any
    others: list[tuple[Any, int]]


class ReferenceStream:
    """Yields the items of one segment without gaps, each with its reference frames.

    Args:
        choose: returns two reference rows per frame: the first within two baselines of the frame, the second within two
            baselines of the first.
        baseline: desired distance to a reference frame, in frames.
    """

    def __init__(self, choose: Choose, baseline: int):
        self.choose, self.baseline = choose, baseline
        self._numbers: list[int] = []
        self._items: list[Any] = []
        self._given = 0  # rows at the start that have been returned

    @property
    def newest(self) -> int | None:
        """Number of the last frame; None before the first."""
        return self._numbers[-1] if self._numbers else None

    def push(self, number: int, item: Any) -> None:
        """Add the next frame."""
        self._numbers.append(number)
        self._items.append(item)

    def ready(self, *, ended: bool = False) -> list[Referenced]:
        """Return the items whose reference frames are final; with `ended`, no frame follows and all are returned."""
        count = len(self._numbers)
        if self._given == count:
            return []
        numbers = np.array(self._numbers)
        first, second = self.choose(numbers)
        stop = count
        if not ended:
            # a choice is final when a frame one baseline later has arrived
            certain = numbers + self.baseline
            certain = np.maximum(certain, np.where(first > np.arange(count), certain[first], 0))
            late = np.flatnonzero(certain[self._given:] > numbers[-1])
            stop = self._given + int(late[0]) if len(late) else count
        out = []
        for row in range(self._given, stop):
            others = [int(o) for o in (first[row], second[row]) if o >= 0 and o != row]
            out.append(Referenced(self._items[row], [(self._items[o], int(numbers[o] - numbers[row])) for o in others]))
        drop = max(0, stop - 4 * self.baseline)
        del self._numbers[:drop], self._items[:drop]
        self._given = stop - drop
        return out


class SpeedStream:
    """Computes the speed maps of one camera's frames; skipped frames get none.

    The scene is recognised again after every gap, if the training footage shows several.

    Args:
        baselines: from the training footage.
        map: replacement for the builtin `map`, e.g. that of a thread pool.
    """

    def __init__(self, baselines: Baselines, *, map: Callable[[Callable, Iterable], Iterable] = map):
        self.baselines, self._map = baselines, map
        self._stretch = ReferenceStream(self._choose, 1)
        self._local = threading.local()  # DIS keeps its pyramids between calls: one object per thread

    def push(self, frames: Iterable[LiveFrame]) -> list[LiveFrame]:
        """Add the next frames; returns those whose speeds are final."""
        out = []
        for frame in frames:
            newest = self._stretch.newest
            if newest is None or frame.number - newest > TOLERANCE:
                out += self.finish()
                scene = recognise_picture(frame.working, self.baselines.templates)
                self._stretch.baseline = int(self.baselines.steps[scene])
            self._stretch.push(frame.number, (frame, matchable(frame.working)))
        return out + self._measure(self._stretch.ready())

    def finish(self) -> list[LiveFrame]:
        """Return the frames still waiting, at the end of the stream or before a gap."""
        out = self._measure(self._stretch.ready(ended=True))
        self._stretch = ReferenceStream(self._choose, self._stretch.baseline)
        return out

    def _choose(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        count = len(numbers)
        return both_sides(np.zeros(count), numbers, np.ones(count), np.full(count, self._stretch.baseline))

    def _measure(self, found: list[Referenced]) -> list[LiveFrame]:
        def work(item: Referenced) -> LiveFrame:
            frame, now = item.item
            if frame.skipped:
                return frame
            if not hasattr(self._local, "flow"):
                self._local.flow = DenseFlow()
            return dataclasses.replace(frame, speed=slower_speed(
                self._local.flow, now, [(grey, step) for (_, grey), step in item.others]))

        return list(self._map(work, found))
