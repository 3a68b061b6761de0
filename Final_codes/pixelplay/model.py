"""What a model is: the verbs all of them share, what each says about itself, and what scoring gives back.

Reads `Footage`; makes `Scores`. A model never sees a file name, a label or the other split. To add one: write
a class like this in one file of one subpackage, and add one line to `pixelplay.registry`.
"""

from __future__ import annotations

import abc
import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from pixelplay.data.footage import Footage
from pixelplay.errors import PixelPlayError
from pixelplay.pretrained import Needs


@dataclasses.dataclass(frozen=True)
class Scores:
    """Raw scores of N frames, in the footage's order.

    Attributes:
        values: (N,) float64, higher = more anomalous; not normalised, not smoothed.
        filled: (N,) bool, True where no window reached the frame and the nearest valid score was taken.
        parts: named partial scores (N,) worth keeping (e.g. appearance, motion); written beside the score file.
        maps: (N, h, w) float16 memory map of where the anomaly is, in the same unit, or None.
        actors: what was found out about every actor of the frames, or None; arrays as
            `pixelplay.two_stream.actor_files.actor_arrays` describes them.
    """

    values: np.ndarray
    filled: np.ndarray
    parts: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    maps: np.ndarray | None = None
    actors: dict[str, np.ndarray] | None = None


@dataclasses.dataclass(frozen=True)
class Forecast:
    """What one model will take on this machine, in seconds.

    Attributes:
        training: the part that follows the number of optimiser steps; 0 where nothing is trained.
        rest: features, banks, scoring.
        steps: optimiser steps of the main network.
    """

    training: float = 0.0
    rest: float = 0.0
    steps: int = 0

    @property
    def seconds(self) -> float:
        """Both parts together."""
        return self.training + self.rest

    def with_steps(self, steps: int) -> Forecast:
        """The forecast of the same model trained for fewer or more steps."""
        return Forecast(self.training * steps / self.steps if self.steps else 0.0, self.rest, steps)


@dataclasses.dataclass(frozen=True)
class LiveFrame:
    """One frame of a stream.

    Attributes:
        number: frame number at the detector's rate, larger than that of the frame before; a jump is a gap in time.
        full: (H, W, 3) uint8 RGB at the training footage's size; working: (h, w, 3) at its working size.
        speed: (h / 4, w / 4) float16 speed map; None where it was not measured.
        skipped: there is no time to look at it; it takes the score of the nearest frame that was looked at.
    """

    number: int
    full: np.ndarray
    working: np.ndarray
    speed: np.ndarray | None = None
    skipped: bool = False


@dataclasses.dataclass(frozen=True)
class LiveScore:
    """What a model says of one frame of a stream; fields as in `Scores`, of this frame alone.

    Attributes:
        actors: of this frame; without train_Id and train_boxes.
    """

    number: int
    value: float
    map: np.ndarray | None = None
    actors: dict[str, np.ndarray] | None = None


class Stream(abc.ABC):
    """A model at work on a stream: it is shown every frame once and keeps what later scores need.

    Every frame gets one score, in order, as soon as no later frame can change it; all of them equal those that
    `Model.score` gives to the same frames of one video, whole and without repair.
    """

    @abc.abstractmethod
    def push(self, frame: LiveFrame) -> list[LiveScore]:
        """Take the next frame; returns the scores that are final by now."""

    @abc.abstractmethod
    def finish(self) -> list[LiveScore]:
        """The scores of the frames that wait, at the end of the stream. Nothing may be pushed afterwards."""


def quarter(footage: Footage) -> Footage:
    """The first quarter of a footage, at least one frame."""
    return footage.select(np.arange(max(1, len(footage) // 4)))


def whole(footage: Footage) -> Footage:
    """The footage itself."""
    return footage


def extrapolate(quarter_seconds: float, seconds: float, frames: int, count: int) -> float:
    """Seconds for `count` frames, from those of `frames` frames and of a quarter of them."""
    added = frames - max(1, frames // 4)
    each = max(0.0, seconds - quarter_seconds) / added if added else seconds / frames
    return max(seconds, seconds + each * (count - frames))


class Model(abc.ABC):
    """One way to learn what is normal.

    Class attributes:
        name: registry name, score file's stem.
        family: 'two_stream' or 'quad' (which submission it belongs to), or 'other'.
        stage: work folder and notebook, e.g. '03_stae'.
        kind: what a raw score is (see `pixelplay.fusion.scores.KINDS`).
        sigma: standard deviation of the Gaussian the ensemble smooths it with, in frames. Those of the six models were
            chosen on labelled sets (Experiments/README.md, E06 and E15).
        weight: its share of its family in the ensemble (see `pixelplay.fusion.prior`).
        title: name in figures, reports and tables; follows from `name` where it is ''.
        colour: '#rrggbb' of its curves, at least 3:1 on white and on near-black; a spare one where it is ''.
        explain: why a high score of this model means something, in words, for a report.
        reads_speed: True where it uses the footage's speed maps.
        version: raised when the same settings no longer give the same scores; older models are then fitted again.
        Config: frozen dataclass of settings, with `Config.profile(name)` for 'smoke', 'lite' and 'full'.

    Each verb takes a `folder` it may keep resumable state in; calling it again after a kill goes on from there
    and ends in the same result.
    """

    name: ClassVar[str]
    family: ClassVar[str]
    stage: ClassVar[str]
    kind: ClassVar[str]
    sigma: ClassVar[float]
    weight: ClassVar[float] = 1.0
    title: ClassVar[str] = ""
    colour: ClassVar[str] = ""
    explain: ClassVar[str] = ""
    reads_speed: ClassVar[bool] = False
    version: ClassVar[int] = 1
    Config: ClassVar[type]

    def __init__(self, config: Any, *, seed: int = 0):
        self.config, self.seed = config, seed

    @classmethod
    def needs(cls, config: Any) -> Needs:
        """Optional packages and third-party weights that a model with these settings needs; here: none."""
        return Needs()

    @abc.abstractmethod
    def fit(self, train: Footage, folder: Path) -> None:
        """Learn what is normal from anomaly-free footage."""

    @abc.abstractmethod
    def score(self, footage: Footage, folder: Path) -> Scores:
        """Score every frame of the footage with the fitted model."""

    @abc.abstractmethod
    def held_out(self, train: Footage, folder: Path) -> Scores:
        """Score the training frames, each by a model that did not train on its video (for calibration)."""

    @property
    @abc.abstractmethod
    def reach(self) -> int:
        """Frames to either side of a frame that its score can depend on; known once the model is fitted."""

    @property
    def stride(self) -> int:
        """Distance in frames between those it looks at, where it does not look at all: footage cut out of a longer one
        gets the same scores where the cut lies at a multiple of it."""
        return 1

    @property
    def max_gap(self) -> int:
        """Largest step of the frame number that it does not take for a gap."""
        return 1

    def stream(self) -> Stream | None:
        """The fitted model for the frames of one camera; None where it can score whole footage alone."""
        return None

    def accept(self, footage: Footage, wanted: np.ndarray, folder: Path, ceiling: float) -> dict[str, int]:
        """Learn that some frames are normal, too. No network is trained; what is unlike them scores as before.

        Args:
            wanted: (N,) bool: frames that score no more than `ceiling` afterwards; the others are there for context.
            folder: for what is kept meanwhile.
            ceiling: raw score within those of held-out training frames.
        Returns:
            what was learnt -> how many of it were added, for people.
        Raises:
            PixelPlayError: a model that cannot do so, as here.
        """
        raise PixelPlayError(f"{self.name} can learn nothing more once it is fitted", hint="fit a detector anew, with "
                             "this footage among the normal videos")

    def forecast(self, train: Footage, test: Footage, folder: Path, frames: tuple[int, int]) -> Forecast:
        """Run on a few frames, and say from that what a whole run takes. What fails here fails in the run, too.

        Here: fit, held-out scores and scores are timed on a quarter of the frames and on all of them. What the rest
        of the frames adds grows with the footage; what a quarter takes beside it, such as loading, does not.

        Args:
            train, test: a few frames of the real footage, at its real size.
            folder: a folder that is thrown away.
            frames: frames of the whole training and test footage.
        """
        seconds = []
        for number, part in enumerate((quarter, whole)):
            few, start = [part(footage) for footage in (train, test)], time.perf_counter()
            self.fit(few[0], Path(folder) / str(number))
            self.held_out(few[0], Path(folder) / str(number))
            fitted = time.perf_counter()
            self.score(few[1], Path(folder) / str(number))
            seconds.append((fitted - start, time.perf_counter() - fitted))
        return Forecast(rest=sum(extrapolate(first, second, len(footage), count)
                                 for first, second, footage, count in zip(*seconds, (train, test), frames)))

    def actor_scores(self, parts: Mapping[str, np.ndarray]) -> np.ndarray:
        """Score single actors, in the unit of `Scores.values`: what a frame would score in which there is no other.

        Args:
            parts: name -> (M,) partial scores of M actors (`<name>_z` of `Scores.actors`), NaN = not measured.
        Returns:
            (M,) float64; here the highest part.
        """
        return np.nan_to_num(np.fmax.reduce(list(parts.values())), nan=0.0)

    def expected_picture(self, footage: Footage, position: int) -> np.ndarray | None:
        """What the model expected to see at a frame: (h, w[, 3]) uint8; None where it expects no picture."""
        return None

    def remembered(self, train: Footage, test: Footage, folder: Path
                   ) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """What a memory keeps: (features of the training footage (N, D), rows of those it keeps in order of picking
        (M,), features of the test footage (K, D)); None for a model that keeps no features or has none in `folder`."""
        return None

    @abc.abstractmethod
    def save(self, folder: Path) -> None:
        """Write what `score` needs and nothing else: weights (safetensors) and a card (JSON) that `load` understands.
        A loaded model gives the scores of the fitted one to the bit."""

    @classmethod
    @abc.abstractmethod
    def load(cls, folder: Path) -> Model:
        """Read what `save` wrote. Raises PixelPlayError for another model's, size's or version's weights."""
