"""Read access to a run's output folder: scores, events, labels, maps and frames, as far as they exist.

Reads the files of the stages (manifest, score files, submission, error maps, actors, receipts); writes nothing. A run
may be unfinished or lack labels or maps: missing data is None or empty. Damaged files are errors.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from pixelplay.arrays import read_array
from pixelplay.data.footage import Footage, segments
from pixelplay.data.ids import split_id
from pixelplay.data.manifest import Manifest
from pixelplay.detector import TRAINING, read_training
from pixelplay.errors import PixelPlayError
from pixelplay.evaluation.labels import read_labels
from pixelplay.files import read_json
from pixelplay.fusion.ensemble import find_files, read_members
from pixelplay.fusion.events import Event, Threshold, find_events, reason_from_models, threshold_from_training
from pixelplay.fusion.prior import prior_weights
from pixelplay.fusion.recipe import Frames
from pixelplay.fusion.recipes.default import fuse
from pixelplay.fusion.scores import ScoreFile
from pixelplay.paths import EXTRACTION, RunPaths
from pixelplay.registry import MODELS, model_class
from pixelplay.two_stream.actor_files import read_actors
from pixelplay.two_stream.thumbnails import Thumbnails
from pixelplay.visual.people import People, actor_rarity
from pixelplay.visual.timeline import Track

NO_TRAINING = Threshold(3.0, 2.0, "begins in the highest thousandth of the test scores and ends below the "
                                  "highest hundredth (no training scores are known)")


class Kind(NamedTuple):
    """A labelled anomaly: its video, first and last frame number, and a word for what happens."""

    video: str
    first: int
    last: int
    kind: str


class RunFolder:
    """One output folder. Every property is read lazily, and once.

    Args:
        folder: the output folder (which contains 01_frame_extraction and scores).
        footage: split -> Footage to use instead of the cache of stage 1 (for tests, or footage made elsewhere).
    """

    def __init__(self, folder: Path | str, *, footage: Mapping[str, Footage] | None = None):
        self.folder, self.paths = Path(folder), RunPaths(Path(folder))
        if not self.paths.manifest.exists():
            raise PixelPlayError(f"{self.folder} holds no {EXTRACTION}/manifest.csv", expected="a run's output folder",
                                 hint="name the folder given to run_all.py as --output, or run it first")
        self.paths.require_layout()
        self._footage = dict(footage or {})

    # ---- frames -------------------------------------------------------------------------------------------------

    @functools.cached_property
    def manifest(self) -> Manifest:
        """The manifest of stage 1."""
        return Manifest.load(self.paths.extraction)

    @functools.cached_property
    def test(self) -> pd.DataFrame:
        """Manifest rows of the test split."""
        return self.manifest.split("test")

    @property
    def fps(self) -> float:
        """Frames per second."""
        return float(self.manifest.fps) or 25.0

    @property
    def has_training(self) -> bool:
        """Whether the run contains training frames; a run that only scored does not."""
        return bool((self.manifest.table["split"] == "train").any())

    def footage(self, split: str) -> Footage:
        """Repaired frames of a split (opens the cache of stage 1)."""
        if split not in self._footage:
            from pixelplay.flow.speed import with_speeds
            from pixelplay.repair.stage import open_footage

            self._footage[split] = with_speeds(open_footage(self.paths.extraction, split), self.paths.extraction)
        return self._footage[split]

    def videos(self) -> list[tuple[str, slice]]:
        """Test videos and their rows, in manifest order."""
        rows = segments(self.test["video"].to_numpy(object), self.test["frame"].to_numpy(), np.iinfo(np.int64).max)
        return [(str(self.test["video"].iloc[r.start]), r) for r in rows]

    # ---- scores -------------------------------------------------------------------------------------------------

    @functools.cached_property
    def members(self) -> dict[str, ScoreFile]:
        """Score files by model, registered models first; empty if no model has run."""
        folder = self.paths.scores
        if not folder.is_dir() or not any(p for p in folder.glob("*.csv") if not p.name.endswith(".train.csv")):
            return {}
        paths = {p.stem: p for p in find_files([folder])}
        order = [n for n in MODELS if n in paths] + [n for n in paths if n not in MODELS]
        return read_members({n: paths[n] for n in order}, Frames.of_stage(self.paths.extraction), allow_smoke=True)

    @functools.cached_property
    def z(self) -> dict[str, np.ndarray]:
        """Model -> (N,) calibrated and smoothed scores (rarities)."""
        return fuse(self.members, Frames.of_stage(self.paths.extraction)).processed if self.members else {}

    @functools.cached_property
    def train_z(self) -> dict[str, np.ndarray]:
        """Model -> (M,) the same for held-out training frames, for the models that have them."""
        if self.training is None:
            return {}
        as_test = {n: dataclasses.replace(f, ids=f.train_ids, values=f.train_values) for n, f in self.members.items()
                   if f.train_values is not None and np.array_equal(f.train_ids, self.training.ids)}
        return fuse(as_test, self.training).processed if as_test else {}

    @functools.cached_property
    def training(self) -> Frames | None:
        """Training frames of the run's detector: names, numbers and reliabilities; None if there is none yet."""
        path = self.paths.detector / TRAINING
        return read_training(self.paths.detector) if path.exists() else None

    @functools.cached_property
    def crops(self) -> Thumbnails | None:
        """Thumbnails of the training crops; None if the detector keeps none."""
        return Thumbnails.load(self.paths.trained(self.actor_model)) if self.actor_model is not None else None

    @functools.cached_property
    def weights(self) -> dict[str, float]:
        """Model -> weight in the submission of all models; prior weights if the merge left no table."""
        path = self.folder / "ensemble.json"
        rows = read_json(path).get("submissions", {}).get("submission", []) if path.exists() else []
        found = {r["model"]: float(r["weight"]) for r in rows if r["model"] in self.members}
        return found if sum(found.values()) > 0 else prior_weights(self.members)

    @functools.cached_property
    def final(self) -> np.ndarray | None:
        """(N,) weighted mean of the calibrated scores; None before any model has run.

        The submission of the default recipe has the same ranking; that of another recipe may differ.
        """
        return self._mean(self.z)

    @functools.cached_property
    def final_train(self) -> np.ndarray | None:
        """(M,) the same for held-out training frames; None if a model has no training scores."""
        return self._mean(self.train_z) if set(self.weights) <= set(self.train_z) else None

    @functools.cached_property
    def threshold(self) -> Threshold:
        """Thresholds of events, from held-out training scores if they exist."""
        return threshold_from_training(self.final_train) if self.final_train is not None else NO_TRAINING

    @functools.cached_property
    def events(self) -> list[Event]:
        """All events of the test videos, highest first."""
        if self.final is None:
            return []
        return find_events(self.test["video"].to_numpy(object), self.test["frame"].to_numpy(), self.final,
                           self.threshold, min_frames=max(2, round(self.fps / 5)), join=round(self.fps / 2),
                           max_gap=round(self.fps / 2), reason=self.reason)

    @property
    def moments(self) -> list[Event]:
        """The highest frame of each video as an `Event` of one frame, highest first: what to show if nothing crossed
        the threshold."""
        if self.final is None:
            return []
        numbers, out = self.test["frame"].to_numpy(), []
        for video, rows in self.videos():
            row = rows.start + int(np.argmax(self.final[rows]))
            frame = int(numbers[row])
            out.append(Event(video, frame, frame, frame, float(self.final[row]), row, 1, self.reason(row)))
        return sorted(out, key=lambda e: (-e.peak_score, e.peak_row))

    def reason(self, row: int) -> str:
        """Reason of a test frame's score, in words: that of the top-scoring actor, and the top-scoring model."""
        strongest = reason_from_models({n: self.z[n] for n in self.weights}, row)
        words = self.people.words_near(row) if self.people is not None else ""
        return f"{words} ({strongest.rpartition('(')[2]}" if words else strongest

    @functools.cached_property
    def tracks(self) -> list[Track]:
        """One `Track` per test video; empty before any model has run."""
        if self.final is None:
            return []
        return [Track(video, self.test["frame"].to_numpy()[rows], self.final[rows],
                      {n: v[rows] for n, v in self.z.items()},
                      None if self.labels is None else self.labels[rows],
                      self.test["reliability"].to_numpy()[rows], self.test["flags"].to_numpy(object)[rows], self.fps)
                for video, rows in self.videos()]

    # ---- what may be there ----------------------------------------------------------------------------------------

    @functools.cached_property
    def receipt(self) -> dict[str, Any]:
        """run.json; {} if the run is unfinished."""
        return self._json("run.json")

    @functools.cached_property
    def metrics(self) -> dict[str, Any]:
        """metrics.json; {} without labels."""
        return self._json("metrics.json")

    @functools.cached_property
    def label_path(self) -> Path | None:
        """Path of the ground truth; None if there is none, or it no longer exists."""
        named = self.receipt.get("options", {}).get("labels") or self.manifest.labels
        return Path(named) if named and Path(named).exists() else None

    @functools.cached_property
    def labels(self) -> np.ndarray | None:
        """(N,) bool ground truth of the test frames, for display only; None if unavailable."""
        if self.label_path is None:
            return None
        ids = self.test["Id"].tolist()
        return read_labels(self.label_path).align(ids, ids).values.astype(bool)

    @functools.cached_property
    def kinds(self) -> list[Kind]:
        """The labelled anomalies, from `event_kinds.csv` beside the ground truth; [] without that file."""
        path = self.label_path.parent / "event_kinds.csv" if self.label_path is not None else None
        if path is None or not path.exists():
            return []
        table = pd.read_csv(path, dtype={"video": str, "kind": str})
        if lacking := [c for c in Kind._fields if c not in table]:
            raise PixelPlayError(f"{path} has no column {', '.join(lacking)}",
                                 expected="the columns " + ", ".join(Kind._fields))
        return [Kind(*row) for row in table[list(Kind._fields)].itertuples(index=False)]

    def kind_at(self, row: int) -> str:
        """What happens in a test frame, if the ground truth names it; else ''."""
        video, number = self.test["video"].iloc[row], int(self.test["frame"].iloc[row])
        names = [k.kind for k in self.kinds if k.video == video and k.first <= number <= k.last]
        return ", ".join(names).replace("_", " ")

    @functools.cached_property
    def actor_model(self) -> str | None:
        """The first model that kept its actors of the test frames; None if no model did."""
        return next((n for n in self.members if self.paths.actors(n).exists()), None)

    @functools.cached_property
    def people(self) -> People | None:
        """Actors of the test frames; None if no model that finds them has scored."""
        name = self.actor_model
        if name is None:
            return None
        rarity = actor_rarity(model_class(name).load(self.paths.trained(name)), self.members[name])
        return People(read_actors(self.paths.actors(name)), rarity, self.test["Id"].tolist(),
                      self.test["video"].to_numpy(object), self.test["frame"].to_numpy())

    def nearest_normal(self, row: int, box: int) -> tuple[np.ndarray, str] | None:
        """(picture (h, w, 3) uint8, 'video V, frame F') of an actor's nearest training actor; None if it is unknown or
        the detector keeps no pictures."""
        found = self.people.nearest(row, box) if self.people is not None else None
        picture = self.crops.find(*found) if found is not None and self.crops is not None else None
        if picture is None:
            return None
        video, frame = split_id(found[0])
        return picture, f"video {video}, frame {frame}"

    def maps(self, name: str) -> np.ndarray | None:
        """(N, h, w) float16 error maps of the test frames (memory-mapped), or None."""
        path = self.paths.maps(name)
        if not path.exists():
            return None
        maps = read_array(path, mapped=True, hint=f"run {name} again")
        if len(maps) != len(self.test):
            raise PixelPlayError(f"{path} holds {len(maps)} maps", expected=f"{len(self.test)}, one per test frame",
                                 hint=f"run {name} again")
        return maps

    # ---- inside -------------------------------------------------------------------------------------------------

    def _json(self, name: str) -> dict[str, Any]:
        return read_json(self.folder / name) if (self.folder / name).exists() else {}

    def _mean(self, scores: Mapping[str, np.ndarray]) -> np.ndarray | None:
        if not scores or not self.weights:
            return None
        return sum(w * scores[n] for n, w in self.weights.items()) / sum(self.weights.values())
