"""Local stream: abnormal appearance or motion of single actors.

Reads `Footage`; finds actors (`actor_table`) and scores each by several channels: three of motion (`channels.py`) and
one of appearance, the nearest neighbour distance of its crop in memory banks of training crops. The maximum of a
channel over the actors of a frame becomes a rarity under held-out training frames (`calibration.Rarity`), and the
rarities are added. Per-actor results (boxes, z-scores, reason, nearest training crop) are kept for the report.

After Reiss and Hoshen, arXiv 2212.00789 (attributes, per-attribute maxima, held-out calibration).
"""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from pixelplay import distributed
from pixelplay.calibration import Rarity, calibrate, is_constant
from pixelplay.cards import config_of, well_formed
from pixelplay.data.footage import Footage, around
from pixelplay.errors import PixelPlayError
from pixelplay.flow.references import reference_frames
from pixelplay.model import Forecast, Model, Scores
from pixelplay.pretrained import Needs
from pixelplay.two_stream.actor_files import actor_arrays
from pixelplay.two_stream.actor_scores import ActorScores, Crops, bank_distances, held_out_distances
from pixelplay.two_stream.actor_table import ActorTable, Scene, actor_table, embedded_frames, probe_scene
from pixelplay.two_stream.actors import ActorRules, crop
from pixelplay.two_stream.backbones import Backbone, backbone_needs, load_backbone
from pixelplay.two_stream.channels import CHANNELS, Channel, fit_channel
from pixelplay.two_stream.coreset import coreset_size, greedy_coreset, without_outliers
from pixelplay.two_stream.detectors import Detector, detector_needs, load_detector
from pixelplay.two_stream.features import crop_features
from pixelplay.two_stream.foreground import analysis_size, fit_background
from pixelplay.two_stream.local_config import LocalMemoryConfig
from pixelplay.two_stream.local_files import LocalFit, read_memory, write_memory
from pixelplay.two_stream.local_stream import LocalStream
from pixelplay.two_stream.memory import to_cover
from pixelplay.two_stream.scoring import fill_between, fill_missing, frame_maxima
from pixelplay.two_stream.thumbnails import Thumbnails
from pixelplay.two_stream.tracks import TRACK, link_actors, track_mean

log = logging.getLogger(__name__)

APPEARANCE = "appearance"
WORDS = {c.name: c.words for c in CHANNELS} | {APPEARANCE: "looks like nothing in training"}
"""Reason for a high score of each channel, in words."""
TOLERANCE = 2
"""Largest step of the frame number within a segment, in frames."""
SUBSAMPLE, PROJECTION = 0.8, 256
"""Share of the training crops that each bank is picked from, and dimensions of the projection for picking."""
HIGH = 100.0
"""Limit of the z-scores of channels, large enough to keep the order of strong anomalies."""


class LocalMemory(Model):
    """See the module."""

    name: ClassVar[str] = "local_memory"
    family: ClassVar[str] = "two_stream"
    stage: ClassVar[str] = "02_two_stream_memory"
    title: ClassVar[str] = "local memory"
    colour: ClassVar[str] = "#0072B2"
    explain: ClassVar[str] = "an actor looks or moves unlike any in training"
    kind: ClassVar[str] = "zscore"
    sigma: ClassVar[float] = 5.0
    weight: ClassVar[float] = 0.99
    version: ClassVar[int] = 9
    Config = LocalMemoryConfig

    @classmethod
    def needs(cls, config: LocalMemoryConfig) -> Needs:
        """What the backbone and the detectors need."""
        needs = backbone_needs(config.backbone, weights=config.weights)
        for number, name in enumerate(n for n in config.detectors if n != "foreground"):
            needs |= detector_needs(name, weights=config.detector_weights if number == 0 else None)
        return needs

    def __init__(self, config: LocalMemoryConfig, *, seed: int = 0):
        super().__init__(config, seed=seed)
        self.fitted: LocalFit | None = None
        self.about: dict[str, Any] = {}
        self.thumbnails: Thumbnails | None = None
        self._held_out: tuple[str, Scores] | None = None

    @property
    def reach(self) -> int:
        """Frames to the next embedded one, or to the ends of an actor's track and of the flow measured there."""
        c = self.config
        return max(c.stride, (2 + TRACK) * self._require().scene.baseline) * TOLERANCE

    @property
    def stride(self) -> int:
        """Crops are embedded in every n-th frame."""
        return self.config.stride

    @property
    def max_gap(self) -> int:
        """Largest step of the frame number within a segment."""
        return TOLERANCE

    # ---- interface of every model -------------------------------------------------------------------------

    def fit(self, train: Footage, folder: Path) -> None:
        """Fit background, motion channels and crops; calibrate on held-out videos."""
        if len(train) == 0:
            raise PixelPlayError("there is no training frame", hint="give a folder of anomaly-free videos")
        if (readable := int((train.reliability > 0).sum())) < 2:
            raise PixelPlayError(f"{readable} of {len(train)} training frames can be read, so nothing can be learnt of "
                                 "how actors move and look", expected="two readable training frames or more",
                                 hint="give more anomaly-free footage, or check that the download finished")
        c, folder = self.config, Path(folder)
        background = fit_background(train, analysis_size(train.full_size, c.longest))
        scene = probe_scene(train, background, tolerance=TOLERANCE, directions=c.directions)
        table = self._table(train, folder, scene)
        channels, motion = self._fit_channels(train, table, scene)
        crops = self._crops(train, folder, table)
        picks = [self._pick(crops, seed) for seed in range(c.seeds)]
        scores = ActorScores(motion, crops.rows, held_out_distances(crops, picks, self._device))
        kept = np.unique(np.concatenate(picks))
        origin = crops.rows[kept]
        self.fitted = LocalFit(scene, channels, crops.features[kept], [np.searchsorted(kept, p) for p in picks], {}, {},
                               train.ids[table.position[origin]], table.boxes[origin])
        self._calibrate(train, table, scores)
        self.about = self._card(train, table, scene)
        self._held_out = (self._stamp(train), self._frame_scores(train, table, scores))
        if c.thumbnails:
            first = origin[self.fitted.members[0]]
            self.thumbnails = Thumbnails.cut(train, table.position[first], table.boxes[first])
        log.info("local memory: %d actors in %d training frames, flow over %d frames", len(table), len(train),
                 scene.baseline)

    def score(self, footage: Footage, folder: Path) -> Scores:
        """Sum of the channels' rarities in every frame, and the results of every actor."""
        folder = Path(folder)
        table = self._table(footage, folder, self._require().scene)
        return self.judge(footage, table, self._crops(footage, folder, table))

    def stream(self) -> LocalStream:
        """The model on the frames of one camera, one at a time."""
        return LocalStream(self)

    def judge(self, footage: Footage, table: ActorTable, crops: Crops) -> Scores:
        """Scores from measured actors; reads no frame."""
        fitted = self._require()
        actors, measured = table.actors(footage.full_size), np.flatnonzero(table.measured)
        motion = {kind.name: np.full(len(table), np.nan) for kind in CHANNELS}
        for name, channel in fitted.channels.items():
            motion[name][measured] = channel.score(actors.take(measured))
        distances, place = bank_distances(crops.features, fitted.banks, self._device)
        scores = ActorScores(self._steady(motion, table, footage, fitted.scene), crops.rows, distances)
        z = {name: np.where(np.isfinite(v), fitted.calibrations[name](np.nan_to_num(v)), np.nan)
             for name, v in scores.parts().items()}
        first = np.append(fitted.members[0], -1)  # maps -1 (empty bank) to -1
        return dataclasses.replace(self._frame_scores(footage, table, scores), actors=actor_arrays(
            footage, table, z, WORDS, scores.of_all(first[place], -1), fitted.train_ids, fitted.train_boxes))

    def held_out(self, train: Footage, folder: Path) -> Scores:
        """Scores of the training frames, with motion and crops compared with other videos only.

        The distance of a crop is that to the bank without the picks of its own video (or fold, with more than 16
        videos): a bank picked without that video would cover the others at least as well.
        """
        if self._held_out is None or self._held_out[0] != self._stamp(train):
            fresh = type(self)(self.config, seed=self.seed)
            fresh.fit(train, folder)
            assert fresh._held_out is not None
            self._held_out = fresh._held_out
        return self._held_out[1]

    def accept(self, footage: Footage, wanted: np.ndarray, folder: Path, ceiling: float) -> dict[str, int]:
        """Add actors whose motion or appearance is rarer than the ceiling allows to the channels and the banks."""
        fitted, folder = self._require(), Path(folder)
        # an equal share of the sum for every channel
        most = ceiling / sum(self.weights[name] for name in fitted.rarities)
        limits = {name: max(fitted.calibrations[name].raw(rarity.highest(most)), 1e-6)
                  for name, rarity in fitted.rarities.items()}
        table = self._table(footage, folder, fitted.scene)
        # the score of a frame depends on neighbouring frames, through tracks and interpolated appearance
        there = around(wanted, footage.videos, self.reach, self.reach)[table.position]
        moving = table.actors(footage.full_size).take(np.flatnonzero(there & table.measured))
        learnt = {name: channel.accept(moving, limits[name]) for name, channel in fitted.channels.items()}
        crops = self._crops(footage, folder, table)
        rows = np.flatnonzero(there[crops.rows])
        features = np.asarray(crops.features[rows])
        joining = [to_cover(features, distance, limits[APPEARANCE])
                   for distance in bank_distances(features, fitted.banks, self._device)[0]]
        new = np.unique(np.concatenate(joining))
        origin = crops.rows[rows[new]]
        self.fitted = dataclasses.replace(
            fitted, channels={name: channel for name, (channel, _) in learnt.items()},
            crops=np.concatenate([fitted.crops, features[new]]),
            members=[np.concatenate([m, len(fitted.crops) + np.sort(np.searchsorted(new, j))])
                     for m, j in zip(fitted.members, joining)],
            train_ids=np.concatenate([fitted.train_ids, footage.ids[table.position[origin]]]),
            train_boxes=np.concatenate([fitted.train_boxes, table.boxes[origin]]))
        return {f"{'rows' if name == 'speed' else 'actors'} of {name}": count for name, (_, count) in learnt.items()
                } | {f"crops in bank {i + 1}": len(j) for i, j in enumerate(joining)}

    def forecast(self, train: Footage, test: Footage, folder: Path, frames: tuple[int, int]) -> Forecast:
        """As for every model, except for the constant cost of loading and of the first calls."""
        first = test.batch(np.arange(1))
        self.backbone.embed(first)
        for detector in self.detectors:
            detector(first)
        return super().forecast(train, test, folder, frames)

    def actor_scores(self, parts: Mapping[str, np.ndarray]) -> np.ndarray:
        """The weighted sum of the channels' rarities, as for frames, of single actors."""
        return self._sum({name: np.nan_to_num(z, nan=-np.inf) for name, z in parts.items() if name in self.weights})

    # ---- steps --------------------------------------------------------------------------------------------

    @functools.cached_property
    def backbone(self) -> Backbone:
        """The frozen network, loaded on first use."""
        c = self.config
        net = load_backbone(c.backbone, weights=c.weights or None, sha256=c.sha256 or None,
                            hardware=distributed.local_hardware())
        known = self.about.get("weights_hash")
        if known and known != net.weights_hash:
            raise PixelPlayError(f"the banks were made with {c.backbone} weights {known}, these are {net.weights_hash}",
                                 hint="give the weights the model was fitted with, or fit it again")
        return net

    @functools.cached_property
    def detectors(self) -> list[Detector]:
        """Detectors with weights, without 'foreground'."""
        c, made = self.config, []
        for number, name in enumerate(n for n in c.detectors if n != "foreground"):
            made.append(load_detector(name, weights=(c.detector_weights or None) if number == 0 else None,
                                      sha256=(c.detector_sha256 or None) if number == 0 else None,
                                      classes=c.classes, confidence=c.confidence))
        return made

    @property
    def scene(self) -> Scene:
        """What actor measurement needs from the training footage."""
        return self._require().scene

    @property
    def rules(self) -> ActorRules:
        """What counts as an actor."""
        return ActorRules()

    @property
    def weights(self) -> dict[str, float]:
        """Weight of each channel's rarity in the sum."""
        return dict.fromkeys((c.name for c in CHANNELS), 1.0) | {APPEARANCE: self.config.appearance}

    @property
    def _device(self) -> str:
        return self.backbone.hardware.device

    def _require(self) -> LocalFit:
        if self.fitted is None:
            raise PixelPlayError("the local memory has not been fitted", hint="call fit or load first")
        return self.fitted

    def _table(self, footage: Footage, folder: Path, scene: Scene) -> ActorTable:
        return actor_table(footage, folder / "cache", scene, self.detectors, "foreground" in self.config.detectors,
                           self.rules)

    def _crops(self, footage: Footage, folder: Path, table: ActorTable) -> Crops:
        """Embedded crops: those of the evaluated frames."""
        c = self.config
        rows = np.flatnonzero(embedded_frames(footage, c.stride, TOLERANCE)[table.position])
        features = crop_features(footage, table.position[rows], table.boxes[rows],
                                 functools.partial(crop, pad=self.rules.pad), self.backbone, folder / "cache",
                                 parameters={"pad": self.rules.pad, "square": 224}, batch_size=c.batch)
        return Crops(rows, footage.videos[table.position[rows]], features)

    def _fit_channels(self, train: Footage, table: ActorTable, scene: Scene
                      ) -> tuple[dict[str, Channel], dict[str, np.ndarray]]:
        """The motion channels, and the held-out score of every training actor, NaN where not measured."""
        # unreliable frames show corruption, not normal motion
        trusted = table.measured & (train.reliability[table.position] >= 0.5)
        measured = np.flatnonzero(trusted if trusted.any() else table.measured)
        actors, videos = table.actors(train.full_size).take(measured), train.videos[table.position[measured]]
        channels, scores = {}, {}
        for kind in CHANNELS:
            channel, held_out = fit_channel(kind, actors, videos)
            scores[kind.name] = np.full(len(table), np.nan)
            scores[kind.name][measured] = held_out
            if channel is not None:
                channels[kind.name] = channel
        return channels, self._steady(scores, table, train, scene)

    def _calibrate(self, train: Footage, table: ActorTable, scores: ActorScores) -> None:
        """Fit calibrations to the held-out scores of the training frames, then rarities to the calibrated scores."""
        fitted, raw = self._require(), self._raw(train, table, scores)
        calibrations = {name: calibrate(values[np.isfinite(values)] if np.isfinite(values).any() else np.zeros(1),
                                        log=True, high=HIGH) for name, values in raw.items()}
        self.fitted = dataclasses.replace(fitted, calibrations=calibrations)
        z, videos = self._parts(train, raw)[1], len(train.video_names())
        self.fitted = dataclasses.replace(self.fitted, rarities={n: Rarity.fit(v, videos) for n, v in z.items()})

    def _steady(self, scores: dict[str, np.ndarray], table: ActorTable, footage: Footage, scene: Scene
                ) -> dict[str, np.ndarray]:
        """Motion scores averaged along the actors' short tracks."""
        links = link_actors(table, footage, TOLERANCE)
        return {name: track_mean(values, *links, TRACK * scene.baseline) for name, values in scores.items()}

    def _pick(self, crops: Crops, member: int) -> np.ndarray:
        """Sorted rows of `crops` (m,) in one bank; members differ in subsample, start and projection."""
        c, features = self.config, crops.features
        generator = torch.Generator().manual_seed(1000 * self.seed + member)
        if len(features) == 0:
            return np.zeros(0, np.int64)
        rows = np.arange(len(features))
        if c.outliers:
            # k-center picks outliers first: crops cut by the frame border would hide anomalies
            rows = rows[without_outliers(features, crops.videos, c.outliers, device=self._device)]
        # subsample first: banks of all crops would be equal for every seed
        drawn = max(1, round(SUBSAMPLE * len(rows)))
        size = min(drawn, coreset_size(len(rows), c.ratio, c.floor))
        rows = rows[np.sort(torch.randperm(len(rows), generator=generator)[:drawn].numpy())]
        core = greedy_coreset(features[rows], size, generator=generator, device=self._device,
                              projection=PROJECTION if features.shape[1] > PROJECTION else 0)
        return np.sort(rows[core.indices])

    def _raw(self, footage: Footage, table: ActorTable, scores: ActorScores) -> dict[str, np.ndarray]:
        """Channel -> (N,) maximum over the actors of each frame, NaN if none was measured."""
        return {part: frame_maxima(values, table.position, len(footage)) for part, values in scores.parts().items()}

    def _between(self, footage: Footage, values: np.ndarray) -> np.ndarray:
        """Interpolate from the evaluated frames to all frames."""
        evaluated = embedded_frames(footage, self.config.stride, TOLERANCE)
        # a frame without actors gets the lowest score, it is not unknown
        return fill_between(np.nan_to_num(values, nan=0.0), evaluated, footage.videos, footage.frames, TOLERANCE)

    def _parts(self, footage: Footage, raw: dict[str, np.ndarray]
               ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], np.ndarray]:
        """Raw scores and z-scores of every frame by channel; (N,) bool: motion taken from another frame."""
        fitted = self._require()
        # a frame without reference frames has unknown motion, which differs from no motion
        scene = fitted.scene
        alone = reference_frames(footage.videos, footage.frames, footage.reliability, scene.baseline,
                                 scene.tolerance) < 0
        parts = {name: fill_missing(np.nan_to_num(values, nan=0.0), alone, footage.videos, footage.frames,
                                    fitted.calibrations[name].raw(0.0)) for name, values in raw.items()}
        parts[APPEARANCE] = self._between(footage, raw[APPEARANCE])
        return parts, {name: fitted.calibrations[name](values) for name, values in parts.items()}, alone

    def _frame_scores(self, footage: Footage, table: ActorTable, scores: ActorScores) -> Scores:
        """Sum of the channels' rarities in every frame; also the largest distance to each bank."""
        parts, z, alone = self._parts(footage, self._raw(footage, table, scores))
        position = table.position[scores.rows]
        parts |= {f"{APPEARANCE}.seed{b}": self._between(footage, frame_maxima(d, position, len(footage)))
                  for b, d in enumerate(scores.distances)}
        # a constant channel (no motion, no actors) ranks nothing and has no file
        return Scores(self._sum(z), alone, {n: v for n, v in parts.items() if len(v) < 2 or not is_constant(v)})

    def _sum(self, z: Mapping[str, np.ndarray]) -> np.ndarray:
        """Weighted sum of the rarities of the channels' z-scores."""
        rarities = self._require().rarities
        return sum(weight * rarities[name](z[name]) for name, weight in self.weights.items() if name in z)

    # ---- files --------------------------------------------------------------------------------------------

    def _stamp(self, train: Footage) -> str:
        return f"{train.fingerprint}-{len(train)}"

    def _card(self, train: Footage, table: ActorTable, scene: Scene) -> dict[str, Any]:
        return {"backbone": self.backbone.name, "weights_hash": self.backbone.weights_hash,
                "source": self.backbone.source, "precision": self.backbone.hardware.dtype,
                "hardware": self.backbone.hardware.name, "train_fingerprint": train.fingerprint,
                "train_frames": len(train), "train_actors": len(table),
                "detectors": [d.about() for d in self.detectors]
                + ([{"name": "foreground", "weights": None, "modes": len(scene.background.medians)}]
                   if "foreground" in self.config.detectors else []),
                "flow": {"baseline": scene.baseline, "dead_zone": scene.dead_zone, "directions": scene.directions,
                         "tolerance": scene.tolerance}}

    def save(self, folder: Path) -> None:
        """Write banks and channels, thumbnails of the crops if enabled, and then the card."""
        if self.thumbnails is not None:
            self.thumbnails.save(folder)
        write_memory(folder, self._require(), {
            "model": self.name, "version": self.version, "config": dataclasses.asdict(self.config), "seed": self.seed,
            **self.about})

    @classmethod
    def load(cls, folder: Path) -> LocalMemory:
        """Read the files of `save`; backbone and detector weights are checked on first use."""
        fitted, card = read_memory(folder, cls.name, cls.version)
        with well_formed(folder):
            model = cls(config_of(card, LocalMemoryConfig()), seed=card["seed"])
        model.fitted = fitted
        model.about = {k: v for k, v in card.items()
                       if k not in ("model", "version", "config", "seed", "sha256", "bytes")}
        return model
