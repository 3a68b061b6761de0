"""Live scoring: frames of a camera in, final scores out, a second or two later and in constant memory.

Reads full-size frames one by one and a detector; gives each frame its score once. Every model is at work on the stream
(`Model.stream`) and looks at each frame once; speed maps are measured once for all of them. A model may look ahead
(STAE asks how well a frame was predicted from several moments), so a score comes some frames after its frame; in return
it is the one that the same model would give to the same video in a file, without repair. Smoothing uses past frames
alone (recipe 'causal'). Where there is no time to look at everything, `slower` and `faster` change what is looked at.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import cv2
import numpy as np
import torch

from pixelplay import environment
from pixelplay.data.extraction import to_working
from pixelplay.data.ids import frame_id
from pixelplay.detector import Detector
from pixelplay.flow.stream import SpeedStream
from pixelplay.fusion.events import reason_from_models
from pixelplay.fusion.live import LiveMember
from pixelplay.model import LiveFrame, LiveScore, Stream
from pixelplay.visual.annotate import Box
from pixelplay.visual.overlays import blend_heat
from pixelplay.visual.people import ActorRarity, People, actor_rarity
from pixelplay.watch.paces import Pace, paces
from pixelplay.watch.windows import VIDEO, WindowedStream

TICK = 4
"""Frames that the models look at together: as many as their networks take at once."""
CONTEXT = 12
"""Frames to either side of a frame that its actors are followed over."""


@dataclasses.dataclass(frozen=True)
class Scored:
    """One frame with its score.

    Attributes:
        number: frame number; frame: (H, W, 3) uint8 RGB at the training footage's size.
        score: final score a rarity; models: the same by model.
        reason: why, in words; heat: (h, w) in [0, 1] or None.
        boxes: actors; to follow them takes time, so there are none in a frame far from an event but for one a second,
            unless the scorer is told that every frame is drawn.
    """

    number: int
    frame: np.ndarray
    score: float
    models: dict[str, float]
    reason: str
    boxes: Sequence[Box]
    heat: np.ndarray | None


@dataclasses.dataclass
class _Waiting:
    """A frame, what is to be found out about it, and what is found so far."""

    frame: LiveFrame
    pace: Pace
    found: dict[str, LiveScore] = dataclasses.field(default_factory=dict)


class LiveScorer:
    """Scores a stream of frames with a detector's models.

    Args:
        detector: learnt from this camera's normal footage.
        names: models to use; all of the detector's when None. Fewer are faster.
        threads: processors; those of this machine when None.
        drawn: the boxes of every frame are wanted.
    Attributes:
        reach: frames to either side of a frame that its score can depend on, at most.
        pace: what is looked at now; paces: all there are, most first.
    Raises:
        PixelPlayError: a model the detector does not have.
    """

    def __init__(self, detector: Detector, names: Sequence[str] | None = None, *, threads: int | None = None,
                 drawn: bool = False):
        files = detector.members(names)
        self.models = {n: detector.model(n) for n in files}
        norms = detector.norms
        self.full_size, self.size, self.fps = norms.full_size, norms.size, norms.fps
        self.threshold, self.reach = detector.threshold(names, live=True), max(m.reach for m in self.models.values())
        self.paces = paces(detector, tuple(files))
        self.pace = self.paces[0]
        # every model and every flow has one processor: several threads within each waste more
        self._pool = ThreadPoolExecutor(threads or environment.cpu_count(), initializer=_alone)
        self._speeds = None
        if any(m.reads_speed for m in self.models.values()):
            self._speeds = SpeedStream(detector.baselines, map=self._pool.map)
        self._streams: dict[str, Stream] = {}
        self._members = {n: LiveMember(f) for n, f in files.items()}
        self._actor_rarity = {n: actor_rarity(m, files[n]) for n, m in self.models.items()}
        self._tick: list[LiveFrame] = []
        self._waiting: deque[_Waiting] = deque()
        self._by_number: dict[int, _Waiting] = {}
        self._past: deque[_Waiting] = deque(maxlen=CONTEXT)
        self._boxes: Sequence[Box] = ()
        self.drawn, self._drawn = drawn, -self.fps
        self._first: int | None = None
        self._last: int | None = None

    @property
    def delay(self) -> int:
        """Frames between a frame and its score, at most."""
        return TICK + self.reach

    def push(self, number: int, frame: np.ndarray) -> list[Scored]:
        """Take one more frame; returns the frames that could be scored, some at a time.

        Args:
            number: frame number, larger than the last one; a jump is a gap in time.
            frame: (H, W, 3) uint8 RGB, brought to the training footage's size.
        """
        if self._last is not None and number <= self._last:
            raise ValueError(f"frame {number} after frame {self._last}")
        self._first = number if self._first is None else self._first
        self._last = number
        if frame.shape[:2] != tuple(self.full_size):
            frame = cv2.resize(frame, (self.full_size[1], self.full_size[0]), interpolation=cv2.INTER_AREA)
        live = LiveFrame(number, frame, to_working(frame, self.size),
                         skipped=bool((number - self._first) % self.pace.every))
        self._tick.append(live)
        waiting = self._by_number[number] = _Waiting(live, self.pace)
        self._waiting.append(waiting)
        if len(self._tick) < TICK:
            return []
        self._look()
        return self._leave()

    def finish(self) -> list[Scored]:
        """The frames still waiting, at the end of the stream."""
        self._look()
        rest = self._speeds.finish() if self._speeds is not None else []
        for name, model in self.models.items():
            self._note(name, self._show(name, rest if model.reads_speed else []))
            if name in self._streams:
                self._note(name, self._streams.pop(name).finish())
        return self._leave()

    def change(self, step: int) -> None:
        """Go on at the pace `paces[step]`. Frames that came before are scored at the pace they came at."""
        self.pace = self.paces[step]

    # ---- inside -------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Show the frames of a tick to every model."""
        tick, self._tick = self._tick, []
        # the one that takes longest begins; who judges speeds waits for them
        order = sorted(self.models, key=lambda n: -self.models[n].weight)
        own = [n for n in order if not self.models[n].reads_speed]
        found: dict[str, Future] = {n: self._pool.submit(self._show, n, tick) for n in own[:1]}
        measured = self._speeds.push(tick) if self._speeds is not None else []
        for name in [n for n in order if self.models[n].reads_speed] + own[1:]:
            found[name] = self._pool.submit(self._show, name, measured if self.models[name].reads_speed else tick)
        for name, future in found.items():
            self._note(name, future.result())

    def _show(self, name: str, frames: Sequence[LiveFrame]) -> list[LiveScore]:
        """Show frames to a model, where their pace has it; without it, its stream is at an end."""
        out: list[LiveScore] = []
        for frame in frames:
            waiting = self._by_number.get(frame.number)
            if waiting is not None and name in waiting.pace.models:
                if name not in self._streams:
                    model = self.models[name]
                    self._streams[name] = model.stream() or WindowedStream(model, self.fps)
                out += self._streams[name].push(frame)
            elif name in self._streams:
                out += self._streams.pop(name).finish()
        return out

    def _note(self, name: str, found: Sequence[LiveScore]) -> None:
        for one in found:
            self._by_number[one.number].found[name] = one

    def _leave(self) -> list[Scored]:
        """The first frames of which everything is found."""
        leaving: list[_Waiting] = []
        while self._waiting and len(self._waiting[0].found) == len(self._waiting[0].pace.models):
            leaving.append(self._waiting.popleft())
            del self._by_number[leaving[-1].frame.number]
        if not leaving:
            return []
        z = [{n: self._members[n].push(w.frame.number, w.found[n].value) for n in w.pace.models} for w in leaving]
        scores = [w.pace.score(found, self.paces[0]) for w, found in zip(leaving, z)]
        people = None
        if self.drawn or max(scores) >= self.threshold.low or leaving[-1].frame.number - self._drawn >= self.fps:
            people, self._drawn = self._people(leaving), leaving[-1].frame.number
        self._past.extend(leaving)
        out = []
        for waiting, score, models in zip(leaving, scores, z):
            number, words = waiting.frame.number, ""
            if people is not None:
                row = people.row_of.get(number)
                words = people.words_near(row) if row is not None else ""
                # where nobody looked, those of the frame before are still there
                self._boxes = self._boxes if waiting.frame.skipped else people.boxes(row) if row is not None else ()
            maps = [f.map for n, f in waiting.found.items() if f.map is not None and self.models[n].kind == "error"]
            out.append(Scored(number, waiting.frame.full, score, models,
                              words or reason_from_models({n: np.array([v]) for n, v in models.items()}, 0),
                              self._boxes if people is not None else (), blend_heat(maps) if maps else None))
        return out

    def _people(self, leaving: Sequence[_Waiting]) -> LivePeople | None:
        """The actors of some frames, followed from those before to those after that are known already."""
        around = [*self._past, *leaving, *itertools.islice(self._waiting, CONTEXT)]
        name = next((n for w in around for n, s in w.found.items() if s.actors is not None), None)
        if name is None:
            return None
        return LivePeople.of([w.found[name] for w in around if name in w.found and w.found[name].actors is not None],
                             self._actor_rarity[name])


class LivePeople(People):
    """Actors of some frames of a stream; `row_of`: frame number -> row."""

    @classmethod
    def of(cls, seen: Sequence[LiveScore], rarity: ActorRarity) -> LivePeople:
        """From one model's scores of one frame or more, each with its actors."""
        numbers = [s.number for s in seen]
        ids = [frame_id(VIDEO, n) for n in numbers]
        people = cls({**{k: np.concatenate([s.actors[k] for s in seen]) for k in seen[0].actors},
                      "train_Id": np.zeros(0, np.str_), "train_boxes": np.zeros((0, 4))}, rarity, ids,
                     np.array([VIDEO] * len(ids), dtype=object), np.array(numbers))
        people.row_of = {n: i for i, n in enumerate(numbers)}
        return people


def _alone() -> None:
    """One thread within whatever a thread of the pool does."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
