"""Base class of the autoencoders: connects a network to the trainer, the scorer and the weight files.

Reads `Footage`; makes `Scores`, weights and a card. A new autoencoder is one file: a frozen Config that extends
`TrainConfig`, and an `Autoencoder` that defines the frames of a window, the loss and the error maps. Networks see
`Clip`s: frames and their speed maps.
"""

from __future__ import annotations

import abc
import dataclasses
import json
import logging
import math
import time
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from pixelplay.autoencoders import scorer, trainer
from pixelplay.autoencoders.parts import InParts
from pixelplay.autoencoders.statistics import TrainingStatistics
from pixelplay.autoencoders.stream import AutoencoderStream
from pixelplay.autoencoders.windows import Clip, Clips, background_median, network_size, noise_floor
from pixelplay.cards import WEIGHTS, read_card, well_formed, write_weights_and_card
from pixelplay.config import config_hash, override
from pixelplay.data.footage import Footage
from pixelplay.distributed import local_hardware
from pixelplay.errors import PixelPlayError
from pixelplay.flow.references import MAX_STEP
from pixelplay.flow.speed import Baselines, SpeedMaps, mean_speed, speed_maps
from pixelplay.model import Forecast, Model, Scores, extrapolate, quarter
from pixelplay.scenes.cameras import recognise

log = logging.getLogger(__name__)

TRIAL_STEPS = 4
"""Optimiser steps timed for a forecast; the fastest counts, because the first ones include planning."""
TRIAL_VALUES = 1 << 22
"""Input values of one such step on a CPU."""

MOST_SIDE = 4096
"""Largest number of input pixels, so that a damaged card cannot request all memory."""


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Settings of every autoencoder; each file extends it and sets its own defaults.

    Attributes:
        height: rows of the network's input in pixels; columns follow the aspect ratio, both multiples of 16.
        channels: 1 = gray, 3 = RGB.
        step: distance between neighbouring window frames, in frames.
        batch: windows per step, over all processes.
        steps: optimiser steps of the final model, independent of the footage; 0 = `passes` over it, at most
            `most_steps`. It sets the cost of training: the models of all folds together take (folds - 1) times as many
            (see `Autoencoder.planned_steps`).
        passes: number of times every training window is seen if `steps` is 0, so that a short training set trains
            shortly.
        most_steps: limit if `steps` is 0.
        epoch_steps: steps between checkpoints, and between measurements of the held-out normal error.
        lr, weight_decay, warmup: AdamW, cosine to zero; warm-up in steps.
        clip_norm: gradient norm limit.
        ema: decay of the averaged weights, which are used for scoring (0 = off).
        patience: epochs without a better held-out normal error before training stops.
        noise_p, noise_sigma: share of windows with dense colour noise, and its largest sigma in [0, 1] units; the
            target stays clean.
        skip_p: share of windows whose input is played 2 to 5 times too fast while the target stays normal
            (pseudo anomalies of Astrid et al., BMVC 2021).
        brightness: largest relative change of brightness, equal for input and target.
        folds: cross-fitting folds by video for the held-out training scores.
        max_gap: largest gap in the frame numbers that a window may bridge, in frames.
        patch: side of the scored patch in pixels at height 192; it scales with the height.
        precision: 'auto' (the fastest native), 'float32', 'bfloat16' or 'float16'.
        compile: use torch.compile (pays on a GPU and in long trainings only).
    """

    height: int = 96
    channels: int = 1
    step: int = 2
    batch: int = 16
    steps: int = 0
    passes: float = 1.5
    most_steps: int = 800
    epoch_steps: int = 100
    lr: float = 5e-4
    weight_decay: float = 1e-4
    warmup: int = 50
    clip_norm: float = 1.0
    ema: float = 0.99
    patience: int = 5
    noise_p: float = 0.3
    noise_sigma: float = 0.15
    skip_p: float = 0.0
    brightness: float = 0.1
    folds: int = 2
    max_gap: int = 3
    patch: int = 16
    precision: str = "auto"
    compile: bool = False


class Autoencoder(Model):
    """Base of the autoencoders: fit, score, held_out, save and load by the shared trainer, scorer and weight files.

    A subclass sets name, stage, Config (with `Config.profile(name)`) and the members below up to `errors`.
    """

    family: ClassVar[str] = "quad"
    kind: ClassVar[str] = "error"
    sigma: ClassVar[float] = 5.0
    reads_speed: ClassVar[bool] = True
    version: ClassVar[int] = 3
    """To be raised when the network changes so that older weights lose their meaning."""

    def __init__(self, config: Any = None, *, seed: int = 0):
        super().__init__(config if config is not None else self.Config(), seed=seed)
        self._parts: InParts | None = None
        self.statistics: TrainingStatistics = {}
        self.about: dict[str, Any] = {}

    @property
    def net(self) -> nn.Module | None:
        """The network, in eval mode on this process's device; None before `fit` or `load`."""
        return self._parts.net if self._parts is not None else None

    @net.setter
    def net(self, net: nn.Module) -> None:
        # scoring continues with smaller batches when memory is short
        self._parts = InParts(net, self.name)

    @property
    def reach(self) -> int:
        """Length of a window, plus the reach of its speed measurements: reference frames are up to two baselines
        away."""
        return self.offsets[-1] - self.offsets[0] + 2 * MAX_STEP

    @property
    def max_gap(self) -> int:
        """See `TrainConfig`."""
        return self.config.max_gap

    def planned_steps(self, frames: int) -> int:
        """Optimiser steps of `fit` for this number of training frames, unless it stops early.

        A fold's model takes a share of the steps equal to its share of the frames, so `fit` and `held_out` together
        take `folds` times as many.
        """
        config = self.config
        return config.steps or max(1, min(config.most_steps, math.ceil(config.passes * frames / config.batch)))

    # ---- defined by a subclass ------------------------------------------------------------------------------

    @abc.abstractmethod
    def network(self, size: tuple[int, int]) -> nn.Module:
        """The untrained network for (H, W) inputs, any multiples of 16. Three halvings may give odd sizes, which
        `blocks.even` and `blocks.double_size` handle."""

    @property
    @abc.abstractmethod
    def offsets(self) -> tuple[int, ...]:
        """Frame numbers of a window's T frames relative to its anchor, ascending, e.g. (-6, -4, -2, 0)."""

    @property
    @abc.abstractmethod
    def target_frames(self) -> tuple[int, ...]:
        """For each of the F target frames of `errors`, its index into `offsets`. Several may be the same frame; every
        (window, target frame) pair of a frame enters its average."""

    @property
    def frame_weights(self) -> tuple[float, ...]:
        """(F,) weight of each target frame in the average of a frame."""
        return (1.0,) * len(self.target_frames)

    @abc.abstractmethod
    def loss(self, net: nn.Module, clip: Clip, target: Clip, generator: torch.Generator,
             statistics: TrainingStatistics) -> dict[str, Tensor]:
        """Losses of a batch; 'total' is minimised, the others are logged. Each is a mean of per-window values, so that
        two processes with half the batch each give the same gradient.

        Args:
            net: call its forward only (never a sub-module: it may be wrapped for several GPUs).
            clip: augmented network input.
            target: clean, at normal speed: the desired output.
            generator: CPU generator for masks and the like, seeded by (seed, step, process).
            statistics: see `prepare`.
        """

    @abc.abstractmethod
    def errors(self, net: nn.Module, clip: Clip, statistics: TrainingStatistics) -> Tensor:
        """Clean windows -> (B, F, M, h, w) non-negative error maps of F target frames (any h, w): motion, then
        appearance. The scorer divides them by the typical training error near the same place."""

    @abc.abstractmethod
    def expected(self, net: nn.Module, clip: Clip, statistics: TrainingStatistics) -> Tensor:
        """Windows -> (B, F, C, H, W) in [0, 1]: the network's prediction of the target frames."""

    def prepare(self, train: Footage, size: tuple[int, int]) -> TrainingStatistics:
        """Statistics of the training frames, computed before training and passed to `loss` and `errors`."""
        baselines = Baselines.learn(train)
        templates, scene = baselines.templates, recognise(train, baselines.templates)
        maps = speed_maps(train, baselines.steps[scene])
        speeds = [mean_speed(SpeedMaps(maps.cells, maps.rows[scene == k])) for k in range(len(templates))]
        by_scene = {"scenes": torch.as_tensor(templates), "scene_baseline": torch.as_tensor(baselines.steps[:-1]),
                    "scene_speed": torch.tensor(speeds)}
        return TrainingStatistics(
            background_median(train, size, self.config.channels), noise_floor(train, size, self.config.max_gap),
            torch.tensor(int(baselines.steps[-1])), torch.tensor(mean_speed(maps)),
            **(by_scene if len(templates) else {}))

    def after_fit(self, net: nn.Module, clips: Clips, statistics: TrainingStatistics) -> dict[str, Tensor]:
        """Further tensors for the statistics, computed with the trained network. Iterate with
        `for clip, _ in clips.batches(limit=...)`. Called before the location errors are measured."""
        return {}

    # ---- interface of every model ---------------------------------------------------------------------------

    def fit(self, train: Footage, folder: Path) -> None:
        """Train on all of `train`; state is kept in folder/main."""
        self._learn(train, Path(folder) / "main", self.planned_steps(len(train)), title=f"{self.name}: train")

    def score(self, footage: Footage, folder: Path) -> Scores:
        """Score every frame; error maps go to folder/maps/<split>.npy (float16)."""
        if self.net is None:
            raise PixelPlayError(f"{self.name} has no weights yet", hint="call fit or load first")
        return self._score(footage, Path(folder) / "maps" / f"{footage.name}.npy", f"{self.name}: score {footage.name}")

    def accept(self, footage: Footage, wanted: np.ndarray, folder: Path, ceiling: float) -> dict[str, int]:
        """Raise the typical error at the places where the frames have larger ones; the network is unchanged."""
        s = self.statistics
        levels = self._by_scene(footage, s.level, s.scene_level)
        location = scorer.raised_errors(self._errors, self.clips(footage), self.target_frames, wanted, s.location,
                                        levels, self.config.patch, ceiling)
        raised = int((location > s.location).any(dim=(0, 1)).sum())
        self.statistics = dataclasses.replace(s, location=location)
        return {f"places of {location[0, 0].numel()} where larger errors are usual": raised}

    def stream(self) -> AutoencoderStream:
        """The model on the frames of one camera, one at a time."""
        if self.net is None:
            raise PixelPlayError(f"{self.name} has no weights yet", hint="call fit or load first")
        return AutoencoderStream(self)

    def held_out(self, train: Footage, folder: Path) -> Scores:
        """Score the training frames by models that did not train on their videos; state is kept in folder/fold<i>."""
        values, filled = np.full(len(train), np.nan), np.zeros(len(train), bool)
        for i, part in enumerate(folds(train, self.config.folds)):
            if part.all():
                log.warning("%s: one frame cannot be held out; its own model scores it", self.name)
            other = self if part.all() else self.without_fold(train, i, folder)
            found = other._score(train.select(part), None, f"{self.name}: score fold {i + 1}")
            values[part], filled[part] = found.values, found.filled
        return Scores(values, filled)

    def expected_picture(self, footage: Footage, position: int) -> np.ndarray | None:
        """Prediction for one window of the frame: STAE's reconstruction, Roadmap-lite's prediction, U-Net's in-painted
        frame, Joint's reconstruction; None if no window covers the frame."""
        clips = self.clips(footage, budget=0)
        # the middle target frame: for STAE the last reconstructed one, for the others the only one; near the ends of a
        # video only other target frames cover a frame
        middle = (len(self.target_frames) - 1) // 2
        for judged in sorted(range(len(self.target_frames)), key=lambda j: (abs(j - middle), j)):
            found = np.flatnonzero(clips.windows.rows[:, self.target_frames[judged]] == position)
            if len(found):
                break
        else:
            return None
        with torch.no_grad():
            made = self.expected(self.net, clips.take(clips.windows.rows[found[:1]]), self.statistics)[0, judged]
        made = made.float().clamp(0, 1).mul(255).round().byte().cpu().numpy()
        return made[0] if len(made) == 1 else np.ascontiguousarray(made.transpose(1, 2, 0))

    def forecast(self, train: Footage, test: Footage, folder: Path, frames: tuple[int, int]) -> Forecast:
        """From a few training steps and the scores of `test`. Main and fold models together take `folds` times the
        steps of the main model."""
        steps, config = self.planned_steps(frames[0]), self.config
        model = type(self)(dataclasses.replace(config, batch=self._trial_batch(train), epoch_steps=1), seed=self.seed)
        model._learn(train, Path(folder), TRIAL_STEPS, title=f"{self.name}: trial")
        pace = max(row["clips_per_second"] or 0.0 for row in model.about["curve"])
        training = steps * config.batch * config.folds / pace
        model._score(quarter(train), None, f"{self.name}: trial")  # the first call includes loading and planning
        seconds = []
        for few in (quarter(train), train):
            start = time.perf_counter()
            model._score(few, None, f"{self.name}: trial")
            seconds.append(time.perf_counter() - start)
        # training frames are scored twice: for the typical errors, and held out
        return Forecast(training, extrapolate(*seconds, len(train), frames[1] + 2 * frames[0]), steps)

    def _trial_batch(self, train: Footage) -> int:
        """Windows per trial step: a CPU processes large ones one after another, so a batch of them takes minutes."""
        height, width = network_size(train.size, self.config.height)
        values = len(self.offsets) * self.config.channels * height * width
        return self.config.batch if local_hardware().device != "cpu" else \
            min(self.config.batch, max(1, TRIAL_VALUES // values))

    def without_fold(self, train: Footage, number: int, folder: Path) -> Autoencoder:
        """The model trained on all of `train` except fold `number` of `folds(train, config.folds)`; loaded from
        folder/fold<number> if it was trained before."""
        parts = folds(train, self.config.folds)
        other, rest = type(self)(self.config, seed=self.seed + 1000 + number), train.select(~parts[number])
        steps = max(1, round(self.planned_steps(len(train)) * len(rest) / len(train)))
        other._learn(rest, Path(folder) / f"fold{number}", steps,
                     title=f"{self.name}: held-out {number + 1}/{len(parts)}")
        return other

    def save(self, folder: Path) -> None:
        """Write weights.safetensors (float32, so that a loaded network scores like the trained one) and card.json."""
        if self.net is None:
            raise PixelPlayError(f"{self.name} has no weights to save", hint="call fit first")
        tensors = {f"net.{k}": v for k, v in self.net.state_dict().items()}
        tensors |= {f"statistics.{k}": v for k, v in self.statistics.tensors().items()}
        write_weights_and_card(folder, save({k: v.detach().cpu().contiguous() for k, v in tensors.items()}), {
            "model": self.name, "version": self.version, "seed": self.seed, "config": dataclasses.asdict(self.config),
            "config_hash": config_hash(dataclasses.asdict(self.config)), **self.about})

    @classmethod
    def load(cls, folder: Path) -> Autoencoder:
        """Read the files of `save`, ready to score. Raises PixelPlayError for another model, version or content."""
        card = read_card(folder, model=cls.name, version=cls.version)
        with well_formed(folder):
            tensors = load_file(Path(folder) / WEIGHTS)
            if config_hash(card["config"]) != card["config_hash"]:
                raise PixelPlayError(f"{folder}: the card's settings do not match their hash", hint="copy it again")
            model, size = cls(override(cls.Config(), card["config"]), seed=card["seed"]), tuple(card["size"])
            if len(size) != 2 or not all(type(side) is int and 0 < side <= MOST_SIDE for side in size):
                raise ValueError(f"the size is {card['size']!r}")
        model.about = {k: v for k, v in card.items() if k not in
                       ("model", "version", "seed", "config", "config_hash", "sha256", "bytes")}
        device = local_hardware().device
        try:
            model.net = model.network(size).to(device).eval().requires_grad_(False)
            model.net.load_state_dict({k[4:]: v for k, v in tensors.items() if k.startswith("net.")})
        except RuntimeError as cause:
            raise PixelPlayError(f"{folder}: the weights do not fit the network: {str(cause).splitlines()[-1].strip()}",
                                 expected=f"a {cls.name} of size {card['size']}",
                                 hint="use weights and settings of one release") from cause
        with well_formed(folder):
            found = {k.removeprefix("statistics."): v for k, v in tensors.items() if k.startswith("statistics.")}
            model.statistics = TrainingStatistics.of_tensors(found).to(device)
        return model

    # ---- internal -------------------------------------------------------------------------------------------

    def _learn(self, train: Footage, folder: Path, steps: int, *, title: str) -> None:
        config, machine = self.config, local_hardware()
        device = machine.device
        size = network_size(train.size, config.height)
        key = config_hash(self.name, self.version, config, self.seed, steps, train.fingerprint, train.ids.tolist())
        statistics = self.prepare(train, size).to(device)
        # training clips use the speed statistics known so far
        self.statistics = statistics
        clips = self.clips(train, size)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            net = self.network(size)
        done = trainer.train(net, lambda n, clip, target, generator: self.loss(n, clip, target, generator, statistics),
                             clips, config, folder, steps=steps, seed=self.seed, key=key, title=title)
        self.net = done.net
        with torch.no_grad():
            own = self.after_fit(self._parts, clips, statistics)
        self.statistics = dataclasses.replace(statistics, own=own).to(device)
        location, level = scorer.usual_errors(self._errors, clips, config.patch)
        scene_level = None
        if statistics.scenes is not None:
            scene = recognise(train, statistics.scenes.cpu().numpy())[clips.windows.anchors]
            scene_level = torch.stack([
                scorer.usual_scores(self._errors, clips, config.patch, location, np.flatnonzero(scene == k))
                for k in range(len(statistics.scenes))])
        self.statistics = dataclasses.replace(self.statistics, location=location, level=level, scene_level=scene_level
                                              ).to(device)
        self.about = {
            "size": list(size), "frames": len(train), "videos": train.video_names(),
            "data_fingerprint": train.fingerprint, "working_size": list(train.size), "hardware": machine.name,
            "precision": config.precision if config.precision != "auto" else machine.dtype,
            "windows_at_once": done.windows_at_once,
            "minutes": round(done.seconds / 60, 3), "steps": int(done.curve["step"].iloc[-1]), "stopped": done.stopped,
            "parameters": sum(p.numel() for p in net.parameters()),
            "curve": json.loads(done.curve.round(6).to_json(orient="records"))}

    def clips(self, footage: Footage, size: tuple[int, int] | None = None, *, budget: int | None = None) -> Clips:
        """The windows of a `Footage` as this model sees them; `size` = (H, W), by default that of the weights;
        `budget`: bytes that may be held, see `Clips`."""
        size = size or tuple(self.about["size"])
        s = self.statistics
        baseline = self._by_scene(footage, s.baseline, s.scene_baseline).cpu().numpy()
        unit = self._by_scene(footage, s.speed, s.scene_speed).cpu().numpy()
        return Clips(footage, self.offsets, size, self.config.channels, baseline=baseline, unit=unit,
                     max_gap=self.config.max_gap, device=local_hardware().device, budget=budget)

    def _errors(self, clip: Clip) -> Tensor:
        machine, precision = local_hardware(), self.config.precision
        dtype = machine.torch_dtype if precision == "auto" else getattr(torch, precision)
        kind = torch.device(machine.device).type
        with torch.autocast(kind, dtype, enabled=dtype != torch.float32), torch.no_grad():
            return self.errors(self._parts, clip, self.statistics)

    def _by_scene(self, footage: Footage, usual: Tensor, of_scenes: Tensor | None) -> Tensor:
        """(N, ...) statistic of every frame: that of its scene (K, ...), or `usual` if the training videos show one
        scene or the frame shows none of them."""
        if of_scenes is None:
            return usual[None].expand(len(footage), *usual.shape)
        scene = torch.as_tensor(recognise(footage, self.statistics.scenes.cpu().numpy()))
        return torch.cat([of_scenes, usual[None]])[scene]

    def _score(self, footage: Footage, maps: Path | None, title: str) -> Scores:
        if not len(footage):
            return Scores(np.zeros(0), np.zeros(0, bool))
        s = self.statistics
        # scoring reads every frame once, in order; holding them would take memory that grows with the footage
        clips, level = self.clips(footage, budget=0), self._by_scene(footage, s.level, s.scene_level)
        return scorer.score_footage(self._errors, clips, self.target_frames, s.location, self.config.patch,
                                    levels=level, weights=self.frame_weights, maps=maps, title=title)


def folds(train: Footage, count: int) -> list[np.ndarray]:
    """(N,) masks of the frames held out by each fold: every `count`-th video, or equal parts of a single video.

    Videos without a readable frame are not counted, so that the other folds have something to train on.
    """
    readable = set(train.videos[train.reliability > 0].tolist())
    names = [v for v in train.video_names() if v in readable] or train.video_names()
    place = np.zeros(len(train), np.int64)
    if len(names) == 1:
        rows = np.flatnonzero(train.videos == names[0])
        place[rows] = np.arange(len(rows)) * count // max(1, len(rows))
    else:
        number = {name: i for i, name in enumerate(names)}
        place[:] = [number.get(v, 0) % count for v in train.videos.tolist()]
    return [place == i for i in range(count) if (place == i).any()]
