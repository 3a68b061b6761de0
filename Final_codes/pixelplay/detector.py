"""`Detector`: everything needed to score new footage of a camera, learnt from normal footage.

Reads and writes one folder, the bundle:

    detector.json     models, ensemble weights, thresholds, training footage; digests of all other files
    norms.npz         statistics of normal frames for repair (backgrounds, noise, repetitions)
    flow.npz          temporal baseline of optical flow in each scene
    training.csv      Id and reliability of the training frames
    <model>/          weights.safetensors, card.json, train_scores.csv (held-out scores), fit.json (record of the fit)

It holds no training frames. A copy on another machine gives the same scores, bit for bit on the same hardware.
"""

from __future__ import annotations

import dataclasses
import functools
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pixelplay.cards import config_of, read_card, well_formed
from pixelplay.errors import PixelPlayError
from pixelplay.files import atomic_path, check, read_json, sealed, sha256_of, write_json
from pixelplay.flow.speed import Baselines
from pixelplay.fusion.events import Threshold, threshold_from_training
from pixelplay.fusion.prior import prior_weights
from pixelplay.fusion.recipe import Frames
from pixelplay.fusion.recipes.default import fuse
from pixelplay.fusion.scores import ScoreFile, read_table, write_table
from pixelplay.model import Model, Scores
from pixelplay.paths import RunPaths
from pixelplay.registry import MODELS, model_class
from pixelplay.repair.norms import TrainingNorms

if TYPE_CHECKING:
    from pixelplay.result import Result

BUNDLE = 1
"""Version of the layout of a bundle."""
KEYS = ("bundle", "files", "models", "weights", "thresholds", "profile", "train_fingerprint")
"""Required keys of detector.json."""
ABOUT, TRAINING, TRAIN_SCORES, FIT = "detector.json", "training.csv", "train_scores.csv", "fit.json"
AGAIN = "copy the whole folder again, or fit it again: pixelplay fit NORMAL_VIDEOS --output DETECTOR"


def about_model(cls: type[Model]) -> dict[str, Any]:
    """Properties of a model that the ensemble uses, as stored beside its scores."""
    return {"model": cls.name, "family": cls.family, "kind": cls.kind, "sigma": cls.sigma, "weight": cls.weight}


def mean_score(members: Mapping[str, ScoreFile], frames: Frames, weights: Mapping[str, float], *, causal: bool
               ) -> np.ndarray:
    """(N,) weighted mean of the calibrated and smoothed scores of the members, in rarity."""
    z = fuse(members, frames, weights, causal=causal).processed
    return np.asarray(sum(w * z[m] for m, w in weights.items()) / sum(weights.values()))


class Detector:
    """A verified bundle; create it with `Detector.load`, `pixelplay.load` or `pixelplay.fit`.

    Attributes:
        folder: folder of the bundle.
        about: content of detector.json.
    """

    def __init__(self, folder: Path, about: Mapping[str, Any]):
        self.folder, self.about = Path(folder), about

    @classmethod
    def load(cls, folder: Path | str) -> Detector:
        """Open a bundle and verify all its files.

        Raises:
            PixelPlayError: the folder is no bundle, has another version, or a file is missing or damaged.
        """
        folder = Path(folder)
        if not (folder / ABOUT).exists():
            raise PixelPlayError(f"{folder} holds no {ABOUT}", expected="a detector that pixelplay fit made",
                                 hint="pixelplay fit NORMAL_VIDEOS --output DETECTOR, or name "
                                 "Final_codes/Final_models/avenue")
        about = read_json(folder / ABOUT)
        found = about.get("bundle") if isinstance(about, dict) else None
        if found != BUNDLE:
            raise PixelPlayError(f"{folder} is a detector of version {found}", expected=f"version {BUNDLE}",
                                 hint="fit it again with this release, or use the release it was made with")
        try:
            for name, digest in about["files"].items():
                if not (folder / name).is_file() or sha256_of(folder / name) != digest:
                    raise PixelPlayError(f"{folder / name} is missing or is not the file that {ABOUT} names",
                                         hint=AGAIN)
            missing = [key for key in KEYS if key not in about]
            if missing:
                raise KeyError(", ".join(missing))
            for rule in about["thresholds"].values():
                Threshold(**rule)
            unknown = [m for m in about["models"] if m not in MODELS]
            versions = {m: v for m, v in about["models"].items() if m in MODELS and model_class(m).version != v}
        except (KeyError, TypeError, AttributeError) as cause:
            raise PixelPlayError(f"{folder / ABOUT} is no detector of this version: {cause!r}", hint=AGAIN) from cause
        if unknown or versions:
            raise PixelPlayError(f"{folder} was fitted with " + ", ".join(
                [*(f"'{m}', which this release does not have" for m in unknown),
                 *(f"version {v} of {m}" for m, v in versions.items())]),
                expected=", ".join(f"version {model_class(m).version} of {m}" for m in versions) or ", ".join(MODELS),
                hint="fit it again with this release, or use the release it was made with")
        return cls(folder, about)

    @classmethod
    def find(cls, place: Path | str) -> Detector:
        """Open the bundle in a folder, or that of the run in the folder."""
        place = Path(place)
        return cls.load(place if (place / ABOUT).exists() or not RunPaths(place).detector.is_dir()
                        else RunPaths(place).detector)

    # ---- what it holds ------------------------------------------------------------------------------------------

    @property
    def names(self) -> tuple[str, ...]:
        """Names of its models, in the order of the registry."""
        return tuple(m for m in MODELS if m in self.about["models"])

    @property
    def profile(self) -> str:
        """Profile that its models were fitted with."""
        return self.about["profile"]

    @property
    def digest(self) -> str:
        """Hash of all its files."""
        return sha256_of(self.folder / ABOUT)

    def choose(self, names: Sequence[str] | None) -> tuple[str, ...]:
        """The given models, or all of them for None, in order. Raises PixelPlayError for a model it does not have."""
        absent = [n for n in names or () if n not in self.names]
        if absent:
            raise PixelPlayError(f"{self.folder} has no model {', '.join(absent)}", expected=", ".join(self.names))
        return tuple(n for n in self.names if not names or n in names)

    def model(self, name: str) -> Model:
        """Load one of its models."""
        return model_class(name).load(self.folder / name)

    def config(self, name: str) -> Any:
        """Settings of one of its models."""
        cls = model_class(name)
        with well_formed(self.folder / name):
            return config_of(read_card(self.folder / name, model=name, version=cls.version), cls.Config())

    @functools.cached_property
    def norms(self) -> TrainingNorms:
        """Statistics of normal frames, for repair."""
        return TrainingNorms.load(self.folder)

    @functools.cached_property
    def baselines(self) -> Baselines:
        """Temporal baselines of optical flow."""
        return Baselines.load(self.folder)

    @functools.cached_property
    def training(self) -> Frames:
        """Its training frames: Ids and reliabilities, without pixels."""
        return read_training(self.folder)

    def members(self, names: Sequence[str] | None = None) -> dict[str, ScoreFile]:
        """Held-out scores of the training frames per model, as score files, for calibration and thresholds."""
        found = {}
        for name in self.choose(names):
            ids, values = read_table(self.folder / name / TRAIN_SCORES, self.training.ids)
            found[name] = ScoreFile(name, ids, values, ids, values, about_model(model_class(name)))
        return found

    def weights(self, names: Sequence[str] | None = None) -> dict[str, float]:
        """Ensemble weights of the given models, or of all; they sum to 1."""
        chosen = {n: self.about["weights"][n] for n in self.choose(names)}
        return {n: w / sum(chosen.values()) for n, w in chosen.items()}

    def threshold(self, names: Sequence[str] | None = None, *, live: bool = False) -> Threshold:
        """Thresholds that begin and end an event, from held-out training scores."""
        if self.choose(names) == self.names:
            return Threshold(**self.about["thresholds"]["live" if live else "recorded"])
        return threshold_from_training(mean_score(self.members(names), self.training, self.weights(names), causal=live))

    # ---- what it does -------------------------------------------------------------------------------------------

    def score(self, videos: Path | str, output: Path | str | None = None, *, models: Sequence[str] | None = None,
              labels: Path | str | None = None, repair: bool = True) -> Result:
        """Score new footage of the same camera, without training and without training frames.

        Args:
            videos: folder of videos or of frame folders, one video, or a known dataset (its test split).
            output: output folder; default a folder named after the videos in ./outputs (/kaggle/working on Kaggle). A
                repeated call keeps finished work.
            models: names of models; None for all.
            labels: ground truth, used only for metrics.
            repair: False leaves corrupted frames as they are.
        Returns:
            `Result`: scores of N frames, events, report.
        Raises:
            PixelPlayError: footage is missing or unreadable, or the output is not writable.
        """
        from pixelplay.environment import default_output
        from pixelplay.options import Options
        from pixelplay.pipeline import Run
        from pixelplay.result import Result

        videos = Path(videos)
        run = Run(Options(verb="score", detector=self.folder, test=videos, repair=repair,
                          output=Path(output) if output else default_output() / (videos.stem or "scored"),
                          labels=Path(labels) if labels else None, models=self.choose(models)))
        run.all()
        return Result(run.output)


# ---- making one ---------------------------------------------------------------------------------------------------


def write_training(folder: Path, table: pd.DataFrame) -> None:
    """Write Id and reliability of the training frames (rows of a manifest)."""
    with sealed(Path(folder) / TRAINING) as part:
        table[["Id", "reliability"]].to_csv(part, index=False, float_format="%.6g", lineterminator="\n")


def read_training(folder: Path) -> Frames:
    """Read the training frames of a bundle. Raises PixelPlayError if the table is damaged."""
    path = Path(folder) / TRAINING
    check(path)
    try:
        table = pd.read_csv(path, dtype={"Id": str}, keep_default_na=False)
        trust = table["reliability"].astype(float)
    except (OSError, ValueError, KeyError) as cause:
        raise PixelPlayError(f"{path} cannot be read: {cause}", expected="the columns Id and reliability", hint=AGAIN
                             ) from cause
    return Frames.of_ids(table["Id"].tolist(), dict(zip(table["Id"], trust)))


def write_model(folder: Path, model: Model, ids: np.ndarray, held_out: Scores, about: Mapping[str, Any]) -> None:
    """Write a fitted model into a bundle: weights, held-out scores and, last, the record of the fit."""
    place = Path(folder) / model.name
    place.mkdir(parents=True, exist_ok=True)
    model.save(place)
    write_table(place / TRAIN_SCORES, ids, held_out.values)
    write_json(place / FIT, dict(about), seal=True)


def fitted(folder: Path) -> list[str]:
    """Models that are complete in the folder of a bundle."""
    return [name for name in MODELS if (Path(folder) / name / FIT).exists()]


def write_detector(folder: Path, names: Sequence[str], about: Mapping[str, Any]) -> Detector:
    """Write the index of a bundle: ensemble weights, thresholds and digests of all files.

    Args:
        folder: with norms, baselines, training frames and the fitted models.
        names: its models; folders of other models are removed.
        about: further entries (profile, seed, versions, training footage).
    """
    folder = Path(folder)
    for other in fitted(folder):
        if other not in names:
            shutil.rmtree(folder / other)
    unfinished = Detector(folder, {"models": {n: model_class(n).version for n in names}})
    members = unfinished.members()
    weights = prior_weights(members)
    thresholds = {key: threshold_from_training(mean_score(members, unfinished.training, weights, causal=key == "live"))
                  for key in ("recorded", "live")}
    files = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*")
                   if p.is_file() and not p.name.startswith(".") and p.name != ABOUT)
    write_json(folder / ABOUT, {
        **about, "bundle": BUNDLE, "models": unfinished.about["models"], "weights": weights,
        "thresholds": {k: dataclasses.asdict(t) for k, t in thresholds.items()},
        "files": {name: sha256_of(folder / name) for name in files}}, seal=True)
    return Detector.load(folder)


def copy_detector(detector: Detector, target: Path) -> Detector:
    """Copy a bundle, index last, and return the copy; an identical bundle at the target is kept."""
    target = Path(target)
    if (target / ABOUT).exists() and sha256_of(target / ABOUT) == detector.digest:
        return Detector.load(target)
    if target.exists():
        shutil.rmtree(target)
    for name in (*detector.about["files"], ABOUT):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(target / name) as part:
            shutil.copyfile(detector.folder / name, part)
    return Detector.load(target)
