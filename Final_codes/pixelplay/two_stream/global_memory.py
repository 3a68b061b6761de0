"""Global stream: distance of the whole frame to normal frames.

Reads `Footage`; embeds every frame once (`features`) and keeps coresets of the training frames in three memory banks
that differ in start, subsample and projection. The nearest neighbour distance of a frame to each bank is standardised
by the distances of held-out training videos to banks built in the same way; the score is the mean of these z-scores, so
that banks with larger distances do not dominate. The raw distances are kept as parts seed0, seed1, seed2.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from safetensors.numpy import load_file, save

from pixelplay import distributed
from pixelplay.calibration import Calibration, calibrate
from pixelplay.cards import WEIGHTS, config_of, read_card, well_formed, write_weights_and_card
from pixelplay.data.footage import Footage
from pixelplay.errors import PixelPlayError
from pixelplay.model import Forecast, Model, Scores
from pixelplay.pretrained import Needs
from pixelplay.two_stream.backbones import Backbone, backbone_needs, load_backbone
from pixelplay.two_stream.coreset import coreset_size, greedy_coreset, without_outliers
from pixelplay.two_stream.features import frame_features
from pixelplay.two_stream.greedy import Chosen
from pixelplay.two_stream.memory import MemoryBank, folds, leave_one_video_out, nearest, to_cover
from pixelplay.two_stream.stream import GlobalStream

log = logging.getLogger(__name__)

HIGH = 100.0
"""Limit of the z-scores on both sides, large enough to keep the order of frames."""


@dataclasses.dataclass(frozen=True)
class GlobalMemoryConfig:
    """Settings of the global stream.

    Attributes:
        backbone: see `backbones.BACKBONES`.
        weights: the backbone's weights file; '' = the one in `pretrained.TABLE`.
        sha256: expected digest of that file; '' = no check.
        source: 'full_size' frames or the smaller 'working' ones.
        fit: how a frame becomes a square (see `backbones.FITS`).
        batch: frames per forward pass.
        stride: every n-th training frame may enter a bank. All frames are scored.
        ratio: share of the training frames that a bank keeps.
        floor: smallest number of vectors in a bank, if there are as many frames. 1 % of a short training set is only a
            few frames, and scores would depend on their choice.
        seeds: number of banks.
        subsample: share of the training frames that a bank is picked from, drawn for each bank.
        projection: dimensions of the random projection in which picks are made, drawn for each bank; 0 = none, exact.
        outliers: share of the most outlying training frames that are dropped first (distance to the nearest other
            video).
        neighbours: the score is the mean distance of this many nearest vectors.
        reweight: neighbours for PatchCore's re-weighting; 0 = off.
        folds: largest number of banks for the held-out scores, each built without some videos.
    """

    backbone: str = "efficientnet-lite0"
    weights: str = ""
    sha256: str = ""
    source: str = "working"
    fit: str = "squash"
    batch: int = 16
    stride: int = 1
    ratio: float = 0.01
    floor: int = 256
    seeds: int = 3
    subsample: float = 0.8
    projection: int = 256
    outliers: float = 0.0
    neighbours: int = 1
    reweight: int = 0
    folds: int = 16

    @classmethod
    def profile(cls, name: str) -> GlobalMemoryConfig:
        """smoke: a wiring test; lite: two CPU cores, shipped weights; full: a GPU and CLIP."""
        return {
            "smoke": cls(folds=2, floor=16),
            "lite": cls(),
            "full": cls(backbone="clip-rn101", source="full_size", batch=64),
        }[name]


class GlobalMemory(Model):
    """See the module."""

    name: ClassVar[str] = "global_memory"
    family: ClassVar[str] = "two_stream"
    stage: ClassVar[str] = "02_two_stream_memory"
    title: ClassVar[str] = "global memory"
    colour: ClassVar[str] = "#2E8FC6"
    explain: ClassVar[str] = "the whole scene looks unlike any training frame"
    kind: ClassVar[str] = "zscore"
    sigma: ClassVar[float] = 8.0
    weight: ClassVar[float] = 0.01
    version: ClassVar[int] = 3
    Config = GlobalMemoryConfig

    @classmethod
    def needs(cls, config: GlobalMemoryConfig) -> Needs:
        """What the backbone needs."""
        return backbone_needs(config.backbone, weights=config.weights)

    def __init__(self, config: GlobalMemoryConfig, *, seed: int = 0):
        super().__init__(config, seed=seed)
        self.banks: list[MemoryBank] = []
        self.calibrations: list[Calibration] = []
        self.about: dict[str, Any] = {}
        self._held_out: tuple[str, list[np.ndarray]] | None = None
        self._backbone: Backbone | None = None

    @property
    def reach(self) -> int:
        """0: a frame is scored by itself."""
        return 0

    def fit(self, train: Footage, folder: Path) -> None:
        """Embed the training frames, build and calibrate the banks. Features are cached in `folder`."""
        if len(train) == 0:
            raise PixelPlayError("there is no training frame", hint="give a folder of anomaly-free videos")
        allowed = self._allowed(train)
        if len(np.unique(self._groups(train)[allowed])) < 2 <= len(train):
            raise PixelPlayError(
                f"{int(allowed.sum())} of {len(train)} training frames can be read, so none can be held out and scored "
                "by the others", expected="two readable training frames or more",
                hint="give more anomaly-free footage, or check that the download finished")
        features = self._features(train, folder)
        self.banks = [self._build(features, train.videos, allowed, member) for member in range(self.config.seeds)]
        self.calibrations = [calibrate(d, log=True, low=-HIGH, high=HIGH)
                             for d in self._held_out_distances(train, folder)]
        self.about = {"backbone": self.backbone.name, "weights_hash": self.backbone.weights_hash,
                      "source": self.backbone.source, "precision": self.backbone.hardware.dtype,
                      "hardware": self.backbone.hardware.name, "train_fingerprint": train.fingerprint,
                      "train_frames": len(train)}
        for bank in self.banks:
            log.info("global memory: %d vectors, covering radius %.3g", len(bank), bank.about["radius"])

    def score(self, footage: Footage, folder: Path) -> Scores:
        """Mean over the banks of each frame's z-score."""
        if not self.banks:
            raise PixelPlayError("the global memory has no banks yet", hint="call fit or load first")
        features = self._features(footage, folder)
        return self._scores([bank.score(features) for bank in self.banks])

    def stream(self) -> GlobalStream:
        """The model on the frames of one camera, one at a time."""
        if not self.banks:
            raise PixelPlayError("the global memory has no banks yet", hint="call fit or load first")
        return GlobalStream(self)

    def values(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """(n,) scores of n pictures (H, W, 3) uint8 RGB: `working` or `full_size` frames, according to the settings."""
        features = self.backbone.embed(pictures, batch_size=self.config.batch, fit=self.config.fit)
        return self._scores([bank.score(features.astype(np.float16)) for bank in self.banks]).values

    def held_out(self, train: Footage, folder: Path) -> Scores:
        """Every training frame against banks built in the same way without its video.

        A single video is scored in fifths, each against banks of the other four.
        """
        if not self.banks:
            raise PixelPlayError("the global memory has no banks yet", hint="call fit or load first")
        return self._scores(self._held_out_distances(train, folder))

    def accept(self, footage: Footage, wanted: np.ndarray, folder: Path, ceiling: float) -> dict[str, int]:
        """Add frames to each bank until none is further from it than the ceiling allows."""
        features, added = self._features(footage, folder)[np.flatnonzero(wanted)], {}
        for i, (bank, calibration) in enumerate(zip(self.banks, self.calibrations)):
            rows = to_cover(features, bank.score(features), calibration.raw(ceiling))
            # each frame enters k times, so that all its k neighbours are near
            new = np.repeat(np.asarray(features[rows], np.float32), bank.k, axis=0)
            self.banks[i] = MemoryBank(np.concatenate([bank.vectors, new]), k=bank.k, reweight=bank.reweight,
                                       device=bank.device, about=bank.about)
            added[f"frames in bank {i + 1}"] = len(rows)
        return added

    def forecast(self, train: Footage, test: Footage, folder: Path, frames: tuple[int, int]) -> Forecast:
        """As for every model, except for the constant cost of loading and of the first calls."""
        self.backbone.embed(test.batch(np.arange(1)))
        return super().forecast(train, test, folder, frames)

    def _held_out_distances(self, train: Footage, folder: Path) -> list[np.ndarray]:
        """One (N,) array of distances per bank."""
        stamp = f"{train.fingerprint}-{len(train)}"
        if self._held_out is None or self._held_out[0] != stamp:
            features = self._features(train, folder)
            self._held_out = stamp, [
                leave_one_video_out(features, train.videos, self._builder(features, train, member),
                                    groups=self._groups(train)) for member in range(self.config.seeds)]
        return self._held_out[1]

    def _scores(self, distances: list[np.ndarray]) -> Scores:
        """One (N,) array of distances per bank -> the mean of their z-scores, with the distances as parts."""
        values = np.mean([c(d) for c, d in zip(self.calibrations, distances)], axis=0)
        return Scores(values, np.zeros(len(values), dtype=bool), {f"seed{i}": d for i, d in enumerate(distances)})

    @property
    def backbone(self) -> Backbone:
        """The frozen network, loaded on first use."""
        if self._backbone is None:
            c = self.config
            self._backbone = load_backbone(c.backbone, weights=c.weights or None, sha256=c.sha256 or None,
                                           hardware=distributed.local_hardware())
            known = self.about.get("weights_hash")
            if known and known != self._backbone.weights_hash:
                raise PixelPlayError(
                    f"the banks were made with {c.backbone} weights {known}, these are {self._backbone.weights_hash}",
                    hint="give the weights the model was fitted with, or fit it again")
        return self._backbone

    def _features(self, footage: Footage, folder: Path) -> np.ndarray:
        c = self.config
        return frame_features(footage, self.backbone, Path(folder) / "features", source=c.source, fit=c.fit,
                              batch_size=c.batch)

    def _allowed(self, train: Footage) -> np.ndarray:
        """(N,) bool: training frames that may enter a bank."""
        allowed = (np.arange(len(train)) % self.config.stride == 0) & (train.reliability >= 0.5)
        return allowed if allowed.any() else np.ones(len(train), dtype=bool)

    def _groups(self, train: Footage) -> np.ndarray:
        """(N,) groups of frames to hold out together (see `folds`); -1 for videos without a readable frame."""
        known = np.isin(train.videos.astype(str), np.unique(train.videos[self._allowed(train)].astype(str)))
        groups = np.full(len(train), -1, np.int64)
        groups[known] = folds(train.videos[known], self.config.folds)
        return groups

    def _builder(self, features: np.ndarray, train: Footage, member: int) -> Callable[[np.ndarray], MemoryBank]:
        """Function from rows of `train` to the bank of one member."""
        allowed = self._allowed(train)

        def build(rows: np.ndarray) -> MemoryBank:
            kept = rows[allowed[rows]]
            # a fold may contain unreliable frames only
            mask = np.zeros(len(train), dtype=bool)
            mask[kept if len(kept) else rows] = True
            return self._build(features, train.videos, mask, member)

        return build

    def _build(self, features: np.ndarray, videos: np.ndarray, allowed: np.ndarray, member: int) -> MemoryBank:
        c, generator = self.config, torch.Generator().manual_seed(1000 * self.seed + member)
        rows = np.flatnonzero(allowed)
        if c.outliers:
            rows = rows[without_outliers(Chosen(features, rows), videos[rows], c.outliers, device=self._device)]
        size = coreset_size(len(rows), c.ratio, c.floor)
        # a bank larger than the subsample would only contain duplicates
        drawn = min(len(rows), max(size, round(c.subsample * len(rows))))
        rows = rows[np.sort(torch.randperm(len(rows), generator=generator)[:drawn].numpy())]
        core = greedy_coreset(Chosen(features, rows), size, generator=generator, projection=c.projection,
                              device=self._device)
        return MemoryBank(features[rows[core.indices]], k=c.neighbours, reweight=c.reweight, device=self._device,
                          about={"radius": core.radius, "picked_from": len(rows)})

    @property
    def _device(self) -> str:
        return self.backbone.hardware.device

    def remembered(self, train: Footage, test: Footage, folder: Path
                   ) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """See `Model.remembered`: of the first bank, if the model's work folder still holds its features."""
        if not (folder / "features").is_dir():
            return None
        seen, new = (np.asarray(self._features(footage, folder), dtype=np.float32) for footage in (train, test))
        # a bank holds copies of training rows: the row at distance 0 is the pick
        _, found = nearest(self.banks[0].vectors, seen)
        return seen, np.asarray(found).reshape(-1), new

    def save(self, folder: Path) -> None:
        """Write the banks (weights.safetensors) and then the card."""
        write_weights_and_card(folder, save({f"bank{i}": bank.vectors for i, bank in enumerate(self.banks)}), {
            "model": self.name, "version": self.version, "config": dataclasses.asdict(self.config), "seed": self.seed,
            **self.about, "banks": [{"vectors": len(b), **b.about} for b in self.banks],
            "calibrations": [dataclasses.asdict(c) for c in self.calibrations]})

    @classmethod
    def load(cls, folder: Path) -> GlobalMemory:
        """Read the files of `save`; the backbone's weights are checked on first use."""
        card = read_card(folder, model=cls.name, version=cls.version)
        with well_formed(folder):
            tensors = load_file(Path(folder) / WEIGHTS)
            model = cls(config_of(card, GlobalMemoryConfig()), seed=card["seed"])
            own = ("model", "version", "config", "seed", "banks", "calibrations", "sha256", "bytes")
            model.about = {k: card[k] for k in card if k not in own}
            model.calibrations = [Calibration.of_card(c) for c in card["calibrations"]]
            if not len(model.calibrations) == len(card["banks"]) == len(tensors) > 0:
                raise ValueError(f"{len(card['banks'])} banks, {len(model.calibrations)} calibrations and "
                                 f"{len(tensors)} tensors")
            model.banks = [MemoryBank(tensors[f"bank{i}"], k=model.config.neighbours, reweight=model.config.reweight,
                                      device=distributed.local_hardware().device, about=about)
                           for i, about in enumerate(card["banks"])]
        return model
