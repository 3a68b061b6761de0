"""Live scoring: frames of a camera in, final scores out, a few seconds later and in constant memory.

Reads full-size frames one by one and the models of a finished run (weights, calibration, weights of the ensemble);
gives each frame its score once. The newest frames wait in a buffer: whenever a chunk is complete the models score the
buffer, and the frames that have all they need on both sides leave it. A model may look ahead (STAE asks how well a
frame was predicted from several moments), so a score comes `LiveScorer.delay` frames after its frame; in return it is
the one that the same model would give to the same video in a file. Smoothing uses past frames alone (recipe 'causal').
Frames are taken as they come: nothing is repaired.
"""

from __future__ import annotations

import dataclasses
import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from pixelplay.autoencoders.base import Autoencoder
from pixelplay.data.extraction import to_working
from pixelplay.data.footage import Footage, segments
from pixelplay.data.ids import frame_id
from pixelplay.errors import PixelPlayError
from pixelplay.flow.speed import MAX_BASELINE, Baselines, cell_size, measure
from pixelplay.fusion.levels import WINDOW
from pixelplay.fusion.prior import prior_weights
from pixelplay.fusion.recipe import Frames
from pixelplay.fusion.recipes.default import SIGMA, fuse
from pixelplay.fusion.scores import ScoreFile
from pixelplay.fusion.smoothing import TRUNCATE
from pixelplay.model import Model
from pixelplay.registry import MODELS, model_class
from pixelplay.two_stream.actor_files import load_actors
from pixelplay.two_stream.local_memory import LocalMemory
from pixelplay.visual.annotate import Box
from pixelplay.visual.events import Threshold, reason_from_models, threshold_from_training
from pixelplay.visual.overlays import blend_heat
from pixelplay.visual.people import People
from pixelplay.visual.run_folder import RunFolder

log = logging.getLogger(__name__)

VIDEO = "live"
UNKNOWN_REACH = 25
"""Frames a model of somebody else's is assumed to look to either side."""


@dataclasses.dataclass(frozen=True)
class Scored:
    """One frame with its score.

    Attributes:
        number: frame number; frame: (H, W, 3) uint8 RGB at the training footage's size.
        score: final score in deviations above normal; models: the same by model.
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
    """Scores a stream of frames with a run's models.

    Args:
        run: a finished run.
        names: models to use; all of the run's when None. Fewer are faster.
        weights: folder of released weights for models the run did not train itself; what its receipt names when None.
        chunk: frames scored together. Larger is faster and later: every chunk is scored with `reach` frames around it.
    Raises:
        PixelPlayError: a model without weights, or without held-out training scores to calibrate by.
    """

    def __init__(self, run: RunFolder, names: Sequence[str] | None = None, *, weights: Path | None = None,
                 chunk: int = 50):
        self.files = _members(run, names)
        self.models = {n: _load(run, n, weights) for n in self.files}
        train = run.footage("train")
        self.full_size, self.size, self.fps = train.full_size, train.size, run.fps
        self.train_ids = train.ids.tolist()
        known = {n: run.weights.get(n, 0.0) for n in self.files}
        self.weights = known if sum(known.values()) > 0 else prior_weights(self.files)
        self.threshold = _threshold(run, self.files, self.weights)
        self.chunk, self.reach = chunk, max(reach(m) for m in self.models.values())
        # crops are embedded in every n-th frame of the buffer: it must begin where an n-th frame of the stream is
        self.stride = max((m.config.stride for m in self.models.values() if isinstance(m, LocalMemory)), default=1)
        self.tolerance = max((m.config.tolerance for m in self.models.values() if isinstance(m, LocalMemory)),
                             default=1)
        judging = any(isinstance(m, Autoencoder) for m in self.models.values())
        self.baselines = Baselines.learn(train) if judging else None
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
                if isinstance(model, LocalMemory):
                    people = People(load_actors(folder, VIDEO), footage.ids.tolist(), footage.videos, footage.frames,
                                    self.train_ids)
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
        # the next frame is smoothed with these, and each of them was levelled by those before it
        smoothed_with = int(np.argmax(numbers > numbers[-1] - TRUNCATE * sigma - 1))
        kept = slice(max(0, smoothed_with - WINDOW + 1), None)
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


def reach(model: Model) -> int:
    """Frames to either side of a frame that its score can depend on."""
    if isinstance(model, Autoencoder):
        # a speed is measured towards frames up to two baselines away
        return model.offsets[-1] - model.offsets[0] + 2 * MAX_BASELINE
    if isinstance(model, LocalMemory):
        c = model.config
        return max(c.stride, (2 + c.track_reach) * model.fitted.scene.baseline) * c.tolerance
    return 0 if model.name == "global_memory" else UNKNOWN_REACH


def _members(run: RunFolder, names: Sequence[str] | None) -> dict[str, ScoreFile]:
    """The score files whose calibration live scores are read by."""
    own = {n: f for n, f in run.members.items() if n in MODELS}
    absent = [n for n in names or () if n not in own]
    if absent or not own:
        raise PixelPlayError(f"{run.folder} holds no scores of {', '.join(absent) or 'any model'}",
                             expected="some of " + ", ".join(own or MODELS),
                             mend=f"run the models first: run_all.py --output {run.folder}")
    chosen = {n: f for n, f in own.items() if not names or n in names}
    for name, file in chosen.items():
        if file.train_values is None:
            raise PixelPlayError(f"{run.folder}/scores/{name}.train.csv is missing: live scores cannot be calibrated",
                                 mend=f"run {name} again, or leave it out with --models")
    return chosen


def _load(run: RunFolder, name: str, weights: Path | None) -> Model:
    """A model's weights from the run's own folder, or released ones."""
    named = weights or run.receipt.get("options", {}).get("weights")
    places = [run.model_folder(name), *([Path(named) / name] if named else [])]
    for place in places[::-1] if weights else places:
        if any((place / card).exists() for card in ("card.json", f"{name}.json")):
            return model_class(name).load(place)
    raise PixelPlayError(f"no weights of {name} in {' or '.join(map(str, places))}",
                         mend="name the released weights the run was made with: --weights DIR; or leave the model out "
                         "with --models")


def _threshold(run: RunFolder, files: dict[str, ScoreFile], weights: dict[str, float]) -> Threshold:
    """When an event begins and ends, from held-out training scores smoothed like the live ones."""
    table = run.manifest.split("train")
    frames = Frames.of_ids(table["Id"].tolist(), dict(zip(table["Id"], table["reliability"].astype(float))))
    as_test = {n: dataclasses.replace(f, ids=f.train_ids, values=f.train_values) for n, f in files.items()}
    z = fuse(as_test, frames, weights, causal=True).processed
    return threshold_from_training(sum(w * z[n] for n, w in weights.items()) / sum(weights.values()))
