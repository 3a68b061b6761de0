"""Live scoring with a latency of one to two seconds and constant memory.

Reads the full-size frames of a stream and a detector; returns the final score of every frame. Each model processes each
frame once (`Model.stream`), and the models share one measurement of the speed maps. Some models need later frames, so a
score is available some frames after its frame. In return, raw scores equal those of the same model for the same video
in a file, without repair. Smoothing uses only past frames (recipe 'causal'). On slow machines, `LiveScorer.change`
selects fewer models or frames.
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
"""Frames passed to the models together, equal to the batch size of their networks."""
CONTEXT = 12
"""Frames before and after a frame over which its actors are tracked."""


@dataclasses.dataclass(frozen=True)
class Scored:
    """A frame with its score.

    Attributes:
        number: frame number.
        frame: (H, W, 3) uint8 RGB at the size of the training footage.
        score: final score, a rarity.
        models: model -> calibrated score, a rarity.
        reason: explanation of the score.
        boxes: actors. Tracking is expensive: without `LiveScorer.drawn`, frames far from events have no boxes, except
            about once per second.
        heat: (h, w) error map in [0, 1], or None.
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
    """A frame that waits for scores, its pace, and the scores so far."""

    frame: LiveFrame
    pace: Pace
    found: dict[str, LiveScore] = dataclasses.field(default_factory=dict)


class LiveScorer:
    """Scores the frames of a stream with the models of a detector.

    Args:
        detector: detector fitted on normal footage of this camera.
        names: models to use; None for all.
        threads: number of worker threads; None for the number of CPUs.
        drawn: whether boxes are needed for every frame.
    Attributes:
        reach: a score depends on at most this many frames before and after its frame.
        pace: the current pace.
        paces: all paces, most complete first.
    Raises:
        PixelPlayError: the detector does not contain a model.
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
        # one thread per model or flow field: parallelism within each of them is less efficient
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
        """Largest latency of a score, in frames."""
        return TICK + self.reach

    def push(self, number: int, frame: np.ndarray) -> list[Scored]:
        """Add the next frame; returns the frames whose scores are final, several at a time.

        Args:
            number: frame number, larger than the previous one; a jump is a gap in time.
            frame: (H, W, 3) uint8 RGB of any size; resized to that of the training footage.
        Raises:
            ValueError: the number is not larger than the previous one.
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
        """Return the remaining frames, at the end of the stream."""
        self._look()
        rest = self._speeds.finish() if self._speeds is not None else []
        for name, model in self.models.items():
            self._note(name, self._show(name, rest if model.reads_speed else []))
            if name in self._streams:
                self._note(name, self._streams.pop(name).finish())
        return self._leave()

    def change(self, step: int) -> None:
        """Use the pace `paces[step]` for the following frames."""
        self.pace = self.paces[step]

    # ---- inside -------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Pass the collected frames to every model."""
        tick, self._tick = self._tick, []
        # the model with the largest weight, the slowest one, starts first; models that read speed maps wait for them
        order = sorted(self.models, key=lambda n: -self.models[n].weight)
        own = [n for n in order if not self.models[n].reads_speed]
        found: dict[str, Future] = {n: self._pool.submit(self._show, n, tick) for n in own[:1]}
        measured = self._speeds.push(tick) if self._speeds is not None else []
        for name in [n for n in order if self.models[n].reads_speed] + own[1:]:
            found[name] = self._pool.submit(self._show, name, measured if self.models[name].reads_speed else tick)
        for name, future in found.items():
            self._note(name, future.result())

    def _show(self, name: str, frames: Sequence[LiveFrame]) -> list[LiveScore]:
        """Pass frames to a model if it belongs to their pace; else end its stream."""
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
        """Remove and return the first frames for which all models have scores."""
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
                # a skipped frame keeps the boxes of the previous frame
                self._boxes = self._boxes if waiting.frame.skipped else people.boxes(row) if row is not None else ()
            maps = [f.map for n, f in waiting.found.items() if f.map is not None and self.models[n].kind == "error"]
            out.append(Scored(number, waiting.frame.full, score, models,
                              words or reason_from_models({n: np.array([v]) for n, v in models.items()}, 0),
                              self._boxes if people is not None else (), blend_heat(maps) if maps else None))
        return out

    def _people(self, leaving: Sequence[_Waiting]) -> LivePeople | None:
        """The actors of the frames, tracked from previous frames to later frames that have scores already."""
        around = [*self._past, *leaving, *itertools.islice(self._waiting, CONTEXT)]
        name = next((n for w in around for n, s in w.found.items() if s.actors is not None), None)
        if name is None:
            return None
        return LivePeople.of([w.found[name] for w in around if name in w.found and w.found[name].actors is not None],
                             self._actor_rarity[name])


class LivePeople(People):
    """Actors in several frames of a stream.

    Attributes:
        row_of: frame number -> row.
    """

    @classmethod
    def of(cls, seen: Sequence[LiveScore], rarity: ActorRarity) -> LivePeople:
        """Collect the actors from the scores of one model; at least one score is required."""
        numbers = [s.number for s in seen]
        ids = [frame_id(VIDEO, n) for n in numbers]
        people = cls({**{k: np.concatenate([s.actors[k] for s in seen]) for k in seen[0].actors},
                      "train_Id": np.zeros(0, np.str_), "train_boxes": np.zeros((0, 4))}, rarity, ids,
                     np.array([VIDEO] * len(ids), dtype=object), np.array(numbers))
        people.row_of = {n: i for i, n in enumerate(numbers)}
        return people


def _alone() -> None:
    """Disable parallelism within a worker thread."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
