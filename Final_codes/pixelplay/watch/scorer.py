"""Live scoring: frames of a camera in, final scores out, a few seconds later and in constant memory.

Reads full-size frames one by one and a detector; gives each frame its score once. The newest frames wait in a buffer:
whenever a chunk is complete the models score the buffer, and the frames that have all they need on both sides leave it.
A model may look ahead (STAE asks how well a frame was predicted from several moments), so a score comes
`LiveScorer.delay` frames after its frame; in return it is the one that the same model would give to the same video in a
file. Smoothing uses past frames alone (recipe 'causal'). Frames are taken as they come: nothing is repaired.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from pixelplay.data.extraction import to_working
from pixelplay.data.footage import Footage, segments
from pixelplay.data.ids import frame_id
from pixelplay.detector import Detector
from pixelplay.flow.speed import cell_size, measure
from pixelplay.fusion.events import reason_from_models
from pixelplay.fusion.recipe import Frames
from pixelplay.fusion.recipes.default import SIGMA, fuse
from pixelplay.fusion.smoothing import TRUNCATE
from pixelplay.visual.annotate import Box
from pixelplay.visual.overlays import blend_heat
from pixelplay.visual.people import People

log = logging.getLogger(__name__)

VIDEO = "live"


@dataclasses.dataclass(frozen=True)
class Scored:
    """One frame with its score.

    Attributes:
        number: frame number; frame: (H, W, 3) uint8 RGB at the training footage's size.
        score: final score, a rarity; models: the same by model.
        reason: why, in words; boxes: actors; heat: (h, w) in [0, 1] or None.
    """

    number: int
    frame: np.ndarray
    score: float
    models: dict[str, float]
    reason: str
    boxes: Sequence[Box]
    heat: np.ndarray | None


class LiveScorer:
    """Scores a stream of frames with a detector's models.

    Args:
        detector: learnt from this camera's normal footage.
        names: models to use; all of the detector's when None. Fewer are faster.
        chunk: frames scored together. Larger is faster and later: every chunk is scored with `reach` frames around it.
    Raises:
        PixelPlayError: a model the detector does not have.
    """

    def __init__(self, detector: Detector, names: Sequence[str] | None = None, *, chunk: int = 50):
        self.files = detector.members(names)
        self.models = {n: detector.model(n) for n in self.files}
        norms = detector.norms
        self.full_size, self.size, self.fps = norms.full_size, norms.size, norms.fps
        self.weights, self.threshold = detector.weights(names), detector.threshold(names, live=True)
        self.chunk, self.reach = chunk, max(m.reach for m in self.models.values())
        # the buffer must begin where a model that leaves frames out looks
        self.stride = math.lcm(*(m.stride for m in self.models.values()))
        self.tolerance = max(m.max_gap for m in self.models.values())
        self.baselines = detector.baselines if any(m.reads_speed for m in self.models.values()) else None
        self._numbers: list[int] = []
        self._frames: list[np.ndarray] = []
        self._small: list[np.ndarray] = []
        self._given = 0  # frames at the head of the buffer that have left already and are kept as context
        self._past = {n: np.zeros(0) for n in self.files}
        self._past_numbers = np.zeros(0, np.int64)

    @property
    def delay(self) -> int:
        """Frames between a frame and its score, at most."""
        return self.chunk + self.reach

    def push(self, number: int, frame: np.ndarray) -> list[Scored]:
        """Take one more frame; returns the frames that could be scored, mostly none.

        Args:
            number: frame number, larger than the last one; a jump is a gap in time.
            frame: (H, W, 3) uint8 RGB, brought to the training footage's size.
        """
        if self._numbers and number <= self._numbers[-1]:
            raise ValueError(f"frame {number} after frame {self._numbers[-1]}")
        if frame.shape[:2] != tuple(self.full_size):
            frame = cv2.resize(frame, (self.full_size[1], self.full_size[0]), interpolation=cv2.INTER_AREA)
        self._numbers.append(number)
        self._frames.append(frame)
        self._small.append(to_working(frame, self.size))
        ready = len(self._numbers) - self.reach - self._given
        return self._score(ready) if ready >= self.chunk else []

    def finish(self) -> list[Scored]:
        """The frames still waiting, at the end of the stream."""
        left = len(self._numbers) - self._given
        return self._score(left) if left else []

    # ---- inside -------------------------------------------------------------------------------------------

    def _score(self, count: int) -> list[Scored]:
        """Score the buffer; the `count` frames after the context leave it."""
        footage = self._footage()
        new = slice(self._given, self._given + count)
        with tempfile.TemporaryDirectory(prefix="pixelplay-live-") as place:
            raw, maps, people = {}, [], None
            for name, model in self.models.items():
                folder = Path(place) / name
                folder.mkdir()
                found = model.score(footage, folder)
                raw[name] = found.values[new]
                if found.maps is not None and model.kind == "error":
                    maps.append(np.array(found.maps[new]))
                if found.actors is not None:
                    people = People(found.actors, footage.ids.tolist(), footage.videos, footage.frames)
        numbers = footage.frames[new]
        z = self._calibrated(numbers, raw)
        final = sum(w * z[n] for n, w in self.weights.items()) / sum(self.weights.values())
        out = []
        for i in range(count):
            row = self._given + i
            words = people.words_near(row) if people is not None else ""
            out.append(Scored(int(numbers[i]), self._frames[row], float(final[i]),
                              {n: float(v[i]) for n, v in z.items()}, words or reason_from_models(z, i),
                              people.boxes(row) if people is not None else (),
                              blend_heat([m[i] for m in maps]) if maps else None))
        self._forget(self._given + count)
        return out

    def _footage(self) -> Footage:
        count, frames = len(self._numbers), list(self._frames)

        def stream(rows: np.ndarray) -> Iterator[np.ndarray]:
            for row in np.asarray(rows).tolist():
                yield frames[row]

        footage = Footage(
            name=VIDEO, ids=np.array([frame_id(VIDEO, n) for n in self._numbers], dtype=object),
            videos=np.array([VIDEO] * count, dtype=object), frames=np.array(self._numbers, np.int64),
            reliability=np.ones(count, np.float32), flags=np.array([""] * count, dtype=object),
            pixels=np.stack(self._small), rows=np.arange(count), full_size=self.full_size, fps=self.fps,
            fingerprint=f"live {self._numbers[0]} {self._numbers[-1]}", open_stream=stream)
        if self.baselines is None:
            return footage
        # once for all autoencoders
        speeds = np.zeros((count, *cell_size(*self.size)), np.float16)
        measure(footage, self.baselines.of(footage), speeds)
        return dataclasses.replace(footage, speeds=speeds)

    def _calibrated(self, numbers: np.ndarray, raw: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """model -> calibrated scores of the new frames, smoothed with those before."""
        numbers = np.concatenate([self._past_numbers, numbers])
        frames = Frames.of_ids([frame_id(VIDEO, n) for n in numbers])
        values = {n: np.concatenate([self._past[n], v]) for n, v in raw.items()}
        z = fuse({n: dataclasses.replace(f, ids=frames.ids, values=values[n]) for n, f in self.files.items()}, frames,
                 self.weights, causal=True).processed
        sigma = max(float(f.about.get("sigma", SIGMA)) for f in self.files.values())
        # the next frame is smoothed with these
        kept = slice(int(np.argmax(numbers > numbers[-1] - TRUNCATE * sigma - 1)), None)
        new = len(self._past_numbers)
        self._past, self._past_numbers = {n: v[kept] for n, v in values.items()}, numbers[kept]
        return {n: v[new:] for n, v in z.items()}

    def _forget(self, given: int) -> None:
        """Drop what no later score can depend on, but begin at an embedded frame (see `stride`)."""
        first = max(0, given - self.reach)
        parts = segments(np.zeros(len(self._numbers)), np.array(self._numbers), self.tolerance)
        start = max(p.start for p in parts if p.start <= first)
        first = start + (first - start) // self.stride * self.stride
        for kept in (self._numbers, self._frames, self._small):
            del kept[:first]
        self._given = given - first
