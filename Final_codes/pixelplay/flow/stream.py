"""Flow on a stream: each frame is measured once, as soon as the frames it is compared with are there.

`ReferenceStream` hands every item of a stream out together with its reference frames, which `references` chooses for
the frames of a file; `SpeedStream` makes the speed maps of `LiveFrame`s with it, those that `speed.measure` makes of
the same frames in a file. A frame waits for one that lies a baseline later.
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
"""(n,) frame numbers of a stretch without a gap -> (n,) rows of two reference frames each, -1 where there is none."""


class Referenced(NamedTuple):
    """An item and its reference frames: (their item, their number less this one's)."""

    item: Any
    others: list[tuple[Any, int]]


class ReferenceStream:
    """See the module. It holds one stretch without gaps.

    Args:
        choose: reference frames, the first of them within two baselines, the second within as many of that.
        baseline: wanted distance of a reference frame, in frames.
    """

    def __init__(self, choose: Choose, baseline: int):
        self.choose, self.baseline = choose, baseline
        self._numbers: list[int] = []
        self._items: list[Any] = []
        self._given = 0  # rows at the head that have left already

    @property
    def newest(self) -> int | None:
        """Number of the last frame; None before the first one."""
        return self._numbers[-1] if self._numbers else None

    def push(self, number: int, item: Any) -> None:
        """Take the next frame."""
        self._numbers.append(number)
        self._items.append(item)

    def ready(self, *, ended: bool = False) -> list[Referenced]:
        """Those whose reference frames are known by now; `ended`: no frame follows."""
        count = len(self._numbers)
        if self._given == count:
            return []
        numbers = np.array(self._numbers)
        first, second = self.choose(numbers)
        stop = count
        if not ended:
            # a choice is certain once there is a frame a baseline later
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
    """Measures the speed maps of one camera's frames; a skipped one keeps none.

    Args:
        baselines: as learnt on the training footage.
        map: runs the measurements of several frames, as the builtin does; a pool's map uses several processors.

    The scene, where the training footage shows several, is looked up anew after every gap.
    """

    def __init__(self, baselines: Baselines, *, map: Callable[[Callable, Iterable], Iterable] = map):
        self.baselines, self._map = baselines, map
        self._stretch = ReferenceStream(self._choose, 1)
        self._own = threading.local()  # a flow keeps pyramids of its own, so every thread has one

    def push(self, frames: Iterable[LiveFrame]) -> list[LiveFrame]:
        """Take the next frames; returns those whose speeds are known by now."""
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
        """The frames that wait, at the end of the stream or of a stretch of it."""
        out = self._measure(self._stretch.ready(ended=True))
        self._stretch = ReferenceStream(self._choose, self._stretch.baseline)
        return out

    def _choose(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        count = len(numbers)
        return both_sides(np.zeros(count), numbers, np.ones(count), np.full(count, self._stretch.baseline))

    def _measure(self, found: list[Referenced]) -> list[LiveFrame]:
        def work(one: Referenced) -> LiveFrame:
            frame, now = one.item
            if frame.skipped:
                return frame
            if not hasattr(self._own, "flow"):
                self._own.flow = DenseFlow()
            return dataclasses.replace(frame, speed=slower_speed(
                self._own.flow, now, [(grey, step) for (_, grey), step in one.others]))

        return list(self._map(work, found))
