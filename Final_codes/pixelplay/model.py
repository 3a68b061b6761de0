"""The interface of all models (`Model`), and the results of scoring.

Reads `Footage`; makes `Scores`. A model never sees file names, labels or the other split. To add a model, write a
subclass of `Model` in one file and add one line to `pixelplay.registry`.
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
    """Raw scores of N frames, in the order of the footage.

    Attributes:
        values: (N,) float64, higher = more anomalous; neither normalised nor smoothed.
        filled: (N,) bool, True for frames that no window covers; they take the nearest valid score.
        parts: named partial scores (N,), e.g. appearance and motion; saved beside the score file.
        maps: (N, h, w) float16 memory-mapped anomaly maps in the same unit, or None.
        actors: scores and boxes of every actor (see `pixelplay.two_stream.actor_files.actor_arrays`), or None.
    """

    values: np.ndarray
    filled: np.ndarray
    parts: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    maps: np.ndarray | None = None
    actors: dict[str, np.ndarray] | None = None


@dataclasses.dataclass(frozen=True)
class Forecast:
    """Estimated seconds of one model on this machine.

    Attributes:
        training: time proportional to the number of optimiser steps; 0 if nothing is trained.
        rest: features, memory banks, scoring.
        steps: optimiser steps of the main network.
    """

    training: float = 0.0
    rest: float = 0.0
    steps: int = 0

    @property
    def seconds(self) -> float:
        """Total seconds."""
        return self.training + self.rest

    def with_steps(self, steps: int) -> Forecast:
        """The forecast for another number of steps."""
        return Forecast(self.training * steps / self.steps if self.steps else 0.0, self.rest, steps)


@dataclasses.dataclass(frozen=True)
class LiveFrame:
    """One frame of a stream.

    Attributes:
        number: increasing frame number at the frame rate of the detector; a jump is a gap in time.
        full: (H, W, 3) uint8 RGB at the size of the training footage.
        working: (h, w, 3) uint8 RGB at working size.
        speed: (h / 4, w / 4) float16 speed map, or None.
        skipped: True if there is no time to process it; it takes the score of the nearest processed frame.
    """

    number: int
    full: np.ndarray
    working: np.ndarray
    speed: np.ndarray | None = None
    skipped: bool = False


@dataclasses.dataclass(frozen=True)
class LiveScore:
    """Score of one frame of a stream; fields as in `Scores`, for this frame.

    Attributes:
        actors: of this frame, without train_Id and train_boxes.
    """

    number: int
    value: float
    map: np.ndarray | None = None
    actors: dict[str, np.ndarray] | None = None


class Stream(abc.ABC):
    """A fitted model applied to a stream; it receives every frame once and buffers what later scores need.

    Each frame gets one score, in order, as soon as no later frame can change it. The scores equal those of
    `Model.score` for the same frames in a file, without repair.
    """

    @abc.abstractmethod
    def push(self, frame: LiveFrame) -> list[LiveScore]:
        """Add the next frame; returns the scores that are final."""

    @abc.abstractmethod
    def finish(self) -> list[LiveScore]:
        """Return the scores of the remaining frames; ends the stream."""


def quarter(footage: Footage) -> Footage:
    """The first quarter of the frames, at least one."""
    return footage.select(np.arange(max(1, len(footage) // 4)))


def whole(footage: Footage) -> Footage:
    """The footage unchanged; counterpart of `quarter`."""
    return footage


def extrapolate(quarter_seconds: float, seconds: float, frames: int, count: int) -> float:
    """Estimate the seconds for `count` frames from timings of `frames` frames and of a quarter of them."""
    added = frames - max(1, frames // 4)
    each = max(0.0, seconds - quarter_seconds) / added if added else seconds / frames
    return max(seconds, seconds + each * (count - frames))


class Model(abc.ABC):
    """Interface of an anomaly detection model.

    Class attributes:
        name: registry name and stem of the score file.
        family: submission it belongs to: 'two_stream', 'quad' or 'other'.
        stage: name of its working folder and notebook, e.g. '03_stae'.
        kind: type of raw scores (see `pixelplay.fusion.scores.KINDS`).
        sigma: standard deviation in frames of the temporal smoothing in the ensemble. Those of the six models were
            chosen on labelled sets (Experiments/README.md, E06 and E15).
        weight: its share within its family in the ensemble (see `pixelplay.fusion.prior`).
        title: name in figures, reports and tables; '' derives it from `name`.
        colour: '#rrggbb' of its curves, with contrast of at least 3:1 on white and on near-black; '' for a default.
        explain: meaning of a high score in words, for reports.
        reads_speed: whether it uses speed maps.
        version: raise it when the same settings no longer give the same scores; older models are then fitted again.
        Config: frozen dataclass of settings, with `Config.profile(name)` for 'smoke', 'lite' and 'full'.

    Every method with a `folder` may keep resumable state there; after an interruption, a repeated call gives the same
    result.
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
    Config: ClassVar[type[Any]]

    def __init__(self, config: Any, *, seed: int = 0):
        self.config, self.seed = config, seed

    @classmethod
    def needs(cls, config: Any) -> Needs:
        """Optional packages and third-party weights that these settings need; none by default."""
        return Needs()

    @abc.abstractmethod
    def fit(self, train: Footage, folder: Path) -> None:
        """Fit to anomaly-free footage."""

    @abc.abstractmethod
    def score(self, footage: Footage, folder: Path) -> Scores:
        """Score every frame of the footage."""

    @abc.abstractmethod
    def held_out(self, train: Footage, folder: Path) -> Scores:
        """Held-out scores of the training frames: a model scores only videos it was not trained on (for
        calibration)."""

    @property
    @abc.abstractmethod
    def reach(self) -> int:
        """Number of frames on either side that the score of a frame depends on; known after fitting."""

    @property
    def stride(self) -> int:
        """Distance between processed frames: sections of a video that start at its multiples get the same scores."""
        return 1

    @property
    def max_gap(self) -> int:
        """Largest step of the frame number that is not a gap."""
        return 1

    def stream(self) -> Stream | None:
        """A stream for the frames of one camera; None if the model only scores complete footage."""
        return None

    def accept(self, footage: Footage, wanted: np.ndarray, folder: Path, ceiling: float) -> dict[str, int]:
        """Accept some frames as normal without training; scores of dissimilar frames do not change.

        Args:
            footage: N frames.
            wanted: (N,) bool, frames whose score must not exceed `ceiling` afterwards; the others are context.
            folder: for temporary results.
            ceiling: raw score within the range of held-out training scores.
        Returns:
            What was added (e.g. vectors) -> how many, for messages.
        Raises:
            PixelPlayError: the model does not support updates (the default).
        """
        raise PixelPlayError(f"{self.name} can learn nothing more once it is fitted", hint="fit a detector anew, with "
                             "this footage among the normal videos")

    def forecast(self, train: Footage, test: Footage, folder: Path, frames: tuple[int, int]) -> Forecast:
        """Run on a few frames and extrapolate to the whole footage; also tests that the model runs.

        Times `fit`, `held_out` and `score` on a quarter of the frames and on all of them: the difference grows with the
        footage, the remainder (such as loading) is constant.

        Args:
            train, test: a few frames of the real footage at full resolution.
            folder: temporary folder.
            frames: number of frames of the whole training and test footage.
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
        """Predicted or reconstructed frame: (h, w[, 3]) uint8; None for a model without one."""
        return None

    def remembered(self, train: Footage, test: Footage, folder: Path
                   ) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """Contents of a memory bank: (features of the training footage (N, D), rows in the bank in order of selection
        (M,), features of the test footage (K, D)); None without a bank or without features in `folder`."""
        return None

    @abc.abstractmethod
    def save(self, folder: Path) -> None:
        """Write everything that `score` needs: weights (safetensors) and a card (JSON).

        A loaded model gives the scores of the fitted one, bit for bit.
        """

    @classmethod
    @abc.abstractmethod
    def load(cls, folder: Path) -> Model:
        """Read what `save` wrote. Raises PixelPlayError: weights of another model, size or version."""
