"""The seven stages, each once: what the notebooks call cell by cell and `run_all.py` calls in a row.

Reads a dataset (or makes the embedded sample); writes one output folder:

    01_frame_extraction/     manifest, repaired frames at working size, speed maps
    02_two_stream_memory/    features, banks          (03_stae ... 06_joint: weights, curves)
    scores/                  <model>.csv, .train.csv, .json; parts/ and maps/ beside them
    submission*.csv          two-stream, quad, all
    metrics.json, run.json, report/index.html

A stage is skipped where what it makes is there and was made from the same input with the same settings. A model that
fails does not take the others with it: the submission is merged from those that finished. On several GPUs whole models
run side by side, a process each (see `workers`). Under `torchrun` or `accelerate launch` every process calls the same
stages instead: models share their work, the main process alone extracts, writes score files and merges, and the others
wait for it.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import subprocess
import time
import traceback
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from pixelplay import __version__, distributed, workers
from pixelplay.arrays import write_array
from pixelplay.config import PROFILES, config_hash, override
from pixelplay.data.footage import Footage
from pixelplay.data.manifest import Manifest
from pixelplay.environment import default_output, hardware, limit_threads, on_kaggle, set_seed, usable_gpus
from pixelplay.errors import PixelPlayError
from pixelplay.files import atomic_path, damaged, read_json, remove, sealed_files, write_json, write_text
from pixelplay.fusion.scores import Rehearsed, ScoreFile, read_scores, write_rehearsed, write_scores
from pixelplay.lock import locked
from pixelplay.model import Forecast, Model, Scores
from pixelplay.registry import MODELS, model_class
from pixelplay.schedule import LAST_MINUTE, OutOfTime, alarm

log = logging.getLogger(__name__)

EXTRACTION = "01_frame_extraction"
REPORT = "07_ensemble_and_report"

Finished = Callable[[str, str], None]
"""Told after a stage or model: its name, and why it failed ('' where it did not)."""


@dataclasses.dataclass(frozen=True)
class Options:
    """What a run is asked to do.

    Attributes:
        data: folder that holds a known dataset somewhere below it; or give `train` and `test`, each a folder of
            videos or of frame folders. Without any: Kaggle's input on Kaggle, the embedded sample elsewhere.
        output: where everything is written; /kaggle/working or ./outputs when None.
        profile: 'smoke' (wiring only), 'lite' (two CPU cores) or 'full' (a GPU).
        models: names from the registry, in any order.
        labels: ground truth for the final table; what lies beside the data when None.
        weights: folder of trained weights to use instead of training (e.g. Final_models/ped2).
        repair: False leaves corrupted frames as they are (for comparisons).
        recipe: how the ensemble merges (see pixelplay/fusion).
        settings: 'model.setting' -> value, checked against the model's Config.
        force: go on in spite of what the preflight finds.
        hours: budget of the whole run; training steps are scaled to fit it. None = no limit.
    """

    data: Path | None = None
    train: Path | None = None
    test: Path | None = None
    output: Path | None = None
    profile: str = "lite"
    models: tuple[str, ...] = tuple(MODELS)
    labels: Path | None = None
    weights: Path | None = None
    seed: int = 0
    repair: bool = True
    recipe: str = "default"
    settings: dict[str, str] = dataclasses.field(default_factory=dict)
    force: bool = False
    hours: float | None = None

    def plain(self) -> dict[str, Any]:
        """The options as JSON knows them."""
        return {k: str(v) if isinstance(v, Path) else v for k, v in dataclasses.asdict(self).items()}

    @classmethod
    def read(cls, plain: dict[str, Any]) -> Options:
        """Options from what `plain` gave."""
        paths = {k: Path(v) if plain[k] else None for k, v in plain.items()
                 if k in ("data", "train", "test", "output", "labels", "weights")}
        return cls(**plain | paths | {"models": tuple(plain["models"])})


@dataclasses.dataclass(frozen=True)
class Step:
    """One line of the plan: a stage, its model where it has one, what is done, and whether it is already there."""

    stage: str
    model: str
    what: str
    done: bool


def exclusive(verb: Callable) -> Callable:
    """A verb of `Run` that holds the output folder's lock while it works; another verb may call it."""
    @functools.wraps(verb)
    def inside(run: Run, *args: Any, **settings: Any) -> Any:
        with locked(run.output):
            return verb(run, *args, **settings)

    return inside


class Run:
    """One output folder and the stages that fill it. Every method may be called again: finished work is kept."""

    def __init__(self, options: Options):
        if options.profile not in PROFILES:
            raise PixelPlayError(f"there is no profile '{options.profile}'", expected=" or ".join(PROFILES))
        self.options = options
        self.models = {name: model_class(name) for name in MODELS if name in options.models}
        for name in options.models:
            model_class(name)
        self.smoke = options.profile == "smoke"
        base = Path(options.output) if options.output else default_output()
        # a smoke run is kept apart, so that its numbers can never be taken for a result
        self.output = base / "smoke" if self.smoke else base
        self.configs = {name: self._config(cls) for name, cls in self.models.items()}
        self.seconds: dict[str, float] = {}
        self.failed: dict[str, str] = {}
        self.steps: dict[str, int] = {}
        self.deadline = None if options.hours is None else time.monotonic() + 3600 * options.hours - LAST_MINUTE
        limit_threads(hardware().threads)
        set_seed(options.seed)

    # ---- stage 1 ------------------------------------------------------------------------------------------

    def find_data(self) -> Manifest:
        """Recognise the dataset, or make the embedded sample where none was named outside Kaggle.

        Raises:
            PixelPlayError: nothing recognised, or only one of the two splits.
        """
        from pixelplay.data.layouts import find_dataset

        o = self.options
        if o.data or o.train or o.test or on_kaggle():
            # absolute, because the manifest outlives the folder this was started in
            return require_both(find_dataset(*(Path(p).resolve() if p else None for p in (o.data, o.train, o.test))))
        from pixelplay.sample.dataset import make_sample

        log.info("no --data given: using the embedded sample scene")
        return find_dataset(make_sample(self.output / "sample").resolve())

    @exclusive
    def extract(self) -> Manifest:
        """Stage 1: manifest, repaired frames at working size, how fast every place of them moves."""
        from pixelplay.flow.speed import measure_speeds
        from pixelplay.repair.rehearsal import open_rehearsal, rehearse
        from pixelplay.repair.stage import RepairConfig, open_footage, prepare

        with self._timed(EXTRACTION):
            if distributed.is_main():
                folder = self.output / EXTRACTION
                prepare(self.find_data(), folder, RepairConfig(enabled=self.options.repair))
                rehearse(folder)
                rehearsed = open_rehearsal(folder)
                # without the speeds that may lie there: a damaged map must not stop the run that makes it again
                measure_speeds(folder, [open_footage(folder, "train"), open_footage(folder, "test"),
                                        *([rehearsed.after] if rehearsed else [])])
            distributed.barrier()
        return self.manifest()

    def footage(self, split: str) -> Footage:
        """The frames of a split as the models see them. Raises PixelPlayError where stage 1 has not run."""
        from pixelplay.flow.speed import with_speeds
        from pixelplay.repair.stage import open_footage

        self.require(EXTRACTION, self.output / EXTRACTION / "manifest.csv")
        return with_speeds(open_footage(self.output / EXTRACTION, split), self.output / EXTRACTION)

    def manifest(self) -> Manifest:
        """The manifest of stage 1."""
        self.require(EXTRACTION, self.output / EXTRACTION / "manifest.csv")
        return Manifest.load(self.output / EXTRACTION)

    # ---- stages 2 to 6 ------------------------------------------------------------------------------------

    @exclusive
    def model(self, name: str) -> ScoreFile:
        """Train (or load) one model and write its score files; skipped where they are there and still right."""
        if name not in self.models:
            raise PixelPlayError(f"model '{name}' is not part of this run", expected=", ".join(self.models))
        train, test = self.footage("train"), self.footage("test")
        key = self.model_key(name, train, test)
        if self._scored(name, key):
            log.info("%s: scores are there", name)
            return read_scores(self.scores_folder / f"{name}.csv", test.ids)
        cls, folder = self.models[name], self.model_folder(name)
        folder.mkdir(parents=True, exist_ok=True)
        if distributed.is_main():
            self._forget_other_key(folder, key)
            self._forget_scores(name)
        distributed.barrier()
        start = time.perf_counter()
        weights = self._weights_for(name)
        if weights:
            model = cls.load(weights)
        else:
            model = cls(self.configs[name], seed=self.options.seed)
            model.fit(train, folder)
        held_out = model.held_out(train, folder)
        if not weights and distributed.is_main():
            model.save(folder)
        scores = model.score(test, folder)
        rehearsed = self._rehearse(model, train, folder)
        self.seconds[name] = time.perf_counter() - start
        if distributed.is_main():
            if rehearsed is not None:
                write_rehearsed(self.scores_folder / f"{name}.csv", rehearsed)
            self._write(name, model, key, train, test, held_out, scores, weights)
        distributed.barrier()
        return read_scores(self.scores_folder / f"{name}.csv", test.ids)

    def forecast(self, name: str, frames: tuple[int, int]) -> Forecast:
        """What a model will take, measured on the footage of this run: a few frames of a footage of `frames`."""
        weights = self._weights_for(name)
        model = self.models[name].load(weights) if weights else self.models[name](self.configs[name])
        folder = self.model_folder(name)
        folder.mkdir(parents=True, exist_ok=True)
        return model.forecast(self.footage("train"), self.footage("test"), folder, frames)

    def kept_steps(self) -> dict[str, int] | None:
        """The steps that an earlier call with the same budget, settings and models trained with; None without one."""
        path = self.output / "hours.json"
        kept = read_json(path) if path.exists() else {}
        return kept["steps"] if kept.get("key") == self._hours_key() else None

    def train_shorter(self, steps: dict[str, int]) -> None:
        """Give networks fewer optimiser steps than their profile has; the receipt says so.

        They are written down, because estimates differ from call to call: an interrupted run goes on with the same.
        """
        write_json(self.output / "hours.json", {"key": self._hours_key(), "steps": steps})
        self.steps = dict(steps)
        self.configs |= {name: override(self.configs[name], {"steps": count}) for name, count in steps.items()}

    @exclusive
    def run_models(self, names: Sequence[str], finished: Finished = lambda name, reason: None) -> None:
        """Train and score some models; what fails is noted in `failed`, and the others go on.

        On several usable GPUs they run side by side, in the order given; else one after another.

        Args:
            names: of models of this run.
            finished: called after each model.
        """
        self.failed = {name: reason for name, reason in self.failed.items() if name not in names}
        gpus = usable_gpus() if distributed.world()[1] == 1 and len(names) > 1 else []
        if len(gpus) > 1:
            self.run_side_by_side(names, workers.gpu_lanes(gpus), finished)
            return
        for name in names:
            reason = self._contained(name)
            if reason:
                self.failed[name] = reason
            finished(name, reason)

    @exclusive
    def run_side_by_side(self, names: Sequence[str], lanes: Sequence[workers.Lane],
                         finished: Finished = lambda name, reason: None) -> None:
        """As `run_models`, with one process a lane."""
        shorter = {f"{name}.steps": str(count) for name, count in self.steps.items()}
        options = dataclasses.replace(self.options, settings=self.options.settings | shorter, hours=None)

        def done(name: str, reason: str, seconds: float) -> None:
            self.seconds[name] = seconds
            finished(name, reason)

        self.failed |= workers.side_by_side({name: options.plain() for name in names}, lanes, self.output / "logs",
                                            deadline=self.deadline, done=done)

    def _contained(self, name: str) -> str:
        """Run a model -> why it failed, '' where it did not. The traceback of a defect goes to `logs`."""
        if distributed.world()[1] > 1:  # the processes wait for each other: one that went on alone would wait for ever
            self.model(name)
            return ""
        try:
            with alarm(self.deadline):
                self.model(name)
        except OutOfTime:
            return "time was up"
        except PixelPlayError as mistake:
            log.error("%s failed: %s", name, mistake)
            return mistake.problem
        except Exception as defect:  # noqa: BLE001  one model's defect must not cost the hours of the others
            path = self.output / "logs" / f"{name}.txt"
            write_text(path, traceback.format_exc())
            log.error("%s failed, see %s: %s: %s", name, path, type(defect).__name__, defect)
            return f"{type(defect).__name__}: {defect}".splitlines()[0] + f" (see {path})"
        return ""

    def model_key(self, name: str, train: Footage, test: Footage) -> str:
        """Hash of everything a model's scores depend on: settings, seed, weights, input, code version."""
        weights = self._weights_for(name)
        stamp = [(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in sorted(weights.iterdir())] if weights else ""
        # what stage 1 makes beside the frames: its keys change when speeds or rehearsals are made in another way
        made = [self.output / EXTRACTION / f"{n}.json" for n in ("speed", "rehearsal")]
        cls = self.models[name]
        return config_hash(name, cls.version, cls.sigma, self.configs[name], self.options.seed, train.fingerprint,
                           test.fingerprint, stamp, __version__, *(read_json(p)["key"] for p in made if p.exists()))

    def model_folder(self, name: str) -> Path:
        """Where a model keeps weights, caches and curves: the stage's folder, or one of its own in a shared stage."""
        stage = self.models[name].stage
        return self.output / stage if name in stage else self.output / stage / name

    @property
    def scores_folder(self) -> Path:
        """Folder of the score files."""
        return self.output / "scores"

    # ---- stage 7 ------------------------------------------------------------------------------------------

    def ensemble(self) -> dict[str, Path]:
        """Merge the scores of this run's models (and any other CSV in the folder) into the submissions."""
        from pixelplay.fusion.stage import merge

        with self._timed("ensemble"):
            return merge(self.output, recipe=self.options.recipe, smoke=self.smoke)

    def evaluate(self) -> dict[str, Any] | None:
        """Metrics of every model and submission where labels are known, None otherwise; written to metrics.json."""
        from pixelplay.evaluation.stage import evaluate_run

        labels = self.options.labels or self.manifest().labels
        if labels is None:
            return None
        return evaluate_run(self.output, labels)

    def report(self) -> Path:
        """Write report/index.html."""
        from pixelplay.visual.report import write_report

        with self._timed("report"):
            return write_report(self.output)

    # ---- the whole ----------------------------------------------------------------------------------------

    def plan(self) -> list[Step]:
        """What the run will do, in order; `done` where the result is there and still right."""
        extracted = (self.output / EXTRACTION / "manifest.csv").exists()
        steps = [Step(EXTRACTION, "", "find, decode and repair the frames", extracted)]
        for name, cls in self.models.items():
            verb = "load and score" if self._weights_for(name) else "train and score"
            steps.append(Step(cls.stage, name, f"{verb} {name}", extracted and self._is_scored(name)))
        return [*steps, Step(REPORT, "", "merge, evaluate, report", False)]

    def _hours_key(self) -> str:
        o = self.options
        return config_hash(o.hours, o.profile, o.models, o.settings, o.seed, str(o.data), str(o.train), __version__)

    def _is_scored(self, name: str) -> bool:
        try:
            return self._scored(name, self.model_key(name, self.footage("train"), self.footage("test")))
        except PixelPlayError:  # stage 1 is not finished or damaged: it will say so itself
            return False

    @exclusive
    def all(self, progress: Callable[[str], None] = log.info, order: Sequence[str] | None = None,
            finished: Finished = lambda name, reason: None) -> dict[str, Any]:
        """Run every stage; returns what `finish` returns.

        Args:
            progress: told what begins. order: the models' order where they run side by side.
            finished: see `run_models`; called for stage 1, too.
        """
        progress(EXTRACTION)
        manifest = self.extract()
        for flag, count in flag_counts(manifest).items():
            log.info("%s: %d frames", flag, count)
        finished(EXTRACTION, "")
        progress(", ".join(self.models))
        self.run_models(order or list(self.models), finished)
        progress(REPORT)
        return self.finish()

    @exclusive
    def finish(self) -> dict[str, Any]:
        """Stage 7: submissions, metrics (None without labels), receipt and report, from the scores that are there.

        Returns {} in every process but the main one.
        """
        if not distributed.is_main():
            distributed.barrier()
            return {}
        if self.failed and not any(self.scores_folder.glob("*.csv")):
            raise PixelPlayError("no model finished, so there is nothing to merge: "
                                 + "; ".join(f"{name}: {reason}" for name, reason in self.failed.items()),
                                 mend="mend what failed and run the same command again: what is finished is kept")
        submissions = self.ensemble()
        metrics = self.evaluate()
        self._write_receipt(submissions)
        report = self.report()
        distributed.barrier()
        return {"submissions": submissions, "metrics": metrics, "report": report, "seconds": dict(self.seconds),
                "failed": dict(self.failed)}

    def require(self, stage: str, artifact: Path) -> None:
        """Raise PixelPlayError where an earlier stage's artifact is missing."""
        if not artifact.exists():
            raise PixelPlayError(f"{artifact} is missing", expected=f"stage {stage} run with this output folder",
                                 mend=f"run notebook {stage}.ipynb, or python Final_codes/run_all.py")

    # ---- inside -------------------------------------------------------------------------------------------

    def _config(self, cls: type[Model]) -> Any:
        config = cls.Config.profile(self.options.profile)
        mine = {k.split(".", 1)[1]: v for k, v in self.options.settings.items() if k.split(".", 1)[0] == cls.name}
        for key in self.options.settings:
            if key.split(".", 1)[0] not in MODELS or "." not in key:
                raise PixelPlayError(f"setting '{key}' names no model", expected="MODEL.SETTING=VALUE")
        return override(config, mine)

    def _weights_for(self, name: str) -> Path | None:
        """Folder of released weights of a model; None where the run trains it itself."""
        if not self.options.weights:
            return None
        root = Path(self.options.weights)
        if not root.is_dir():
            raise PixelPlayError(f"{root} is no folder of weights", expected="e.g. Final_codes/Final_models/ped2")
        return root / name if (root / name).is_dir() else None

    def _scored(self, name: str, key: str) -> bool:
        about, folder = self.scores_folder / f"{name}.json", self.scores_folder
        mine = [folder / f"{name}{end}" for end in (".csv", ".train.csv", ".json")]
        mine += [folder / "rehearsal" / f"{name}.csv", folder / "maps" / f"{name}.npy"]
        mine += [p for p in sealed_files(folder / "parts") if p.name.startswith(f"{name}.")]
        if damaged([*mine, *sealed_files(self.model_folder(name))]):
            return False
        return (about.exists() and (self.scores_folder / f"{name}.csv").exists() and read_json(about).get("key") == key)

    def _forget_other_key(self, folder: Path, key: str) -> None:
        """Mark the folder with the key its half-finished state belongs to; state of another key is removed."""
        mark = folder / "key.txt"
        if mark.exists() and mark.read_text(errors="replace") != key:
            for old in sorted(folder.rglob("*"), reverse=True):
                if old.is_file() and "cache" not in old.relative_to(folder).parts:
                    old.unlink()
        with atomic_path(mark) as part:
            part.write_text(key)

    def _forget_scores(self, name: str) -> None:
        """Remove a model's scores of other settings or footage: if it fails now, they must not enter the ensemble."""
        for old in (*self.scores_folder.glob(f"{name}.*"), *self.scores_folder.glob(f"*/{name}.*")):
            remove(old)

    def _rehearse(self, model: Model, train: Footage, folder: Path) -> Rehearsed | None:
        """What noise does to the model's scores, where test frames are noisy; None elsewhere."""
        from pixelplay.flow.speed import with_speeds
        from pixelplay.repair.rehearsal import open_rehearsal

        found = open_rehearsal(self.output / EXTRACTION)
        if found is None:
            return None
        parts = (dataclasses.replace(found.before, speeds=train.speeds),
                 with_speeds(found.after, self.output / EXTRACTION))
        before, after = (model.score_seen(part, train, folder).values for part in parts)
        return Rehearsed(found.before.ids, found.sigma, before, after)

    def _write(self, name: str, model: Model, key: str, train: Footage, test: Footage, held_out: Scores,
               scores: Scores, weights: Path | None) -> None:
        parts = self.scores_folder / "parts"
        for part, values in scores.parts.items():
            trained = held_out.parts.get(part)
            write_scores(parts, f"{name}.{part}", test.ids, values,
                         train=(train.ids, trained) if trained is not None else None, about={"part_of": name})
        if scores.maps is not None:
            write_array(self.scores_folder / "maps" / f"{name}.npy", scores.maps)
        write_scores(self.scores_folder, name, test.ids, scores.values, train=(train.ids, held_out.values), about={
            "model": name, "family": model.family, "kind": model.kind, "sigma": model.sigma, "key": key,
            "config": dataclasses.asdict(model.config), "config_hash": config_hash(model.config),
            "profile": self.options.profile, "smoke": self.smoke, "seed": self.options.seed,
            "weights": str(weights.name) if weights else "trained in this run",
            "data_fingerprint": test.fingerprint, "train_fingerprint": train.fingerprint,
            "filled": {"rule": "nearest valid score", "ids": test.ids[scores.filled].tolist()},
            "seconds": round(self.seconds[name], 3), "hardware": hardware().name, "dtype": hardware().dtype,
            "git": git_revision(), "versions": versions()})

    def _write_receipt(self, submissions: dict[str, Path]) -> None:
        write_json(self.output / "run.json", {
            "options": self.options.plain(), "smoke": self.smoke, "seconds": self.seconds, "failed": self.failed,
            "steps_scaled_to_hours": self.steps,
            "hardware": dataclasses.asdict(hardware()),
            "configs": {n: dataclasses.asdict(c) for n, c in self.configs.items()},
            "hashes": {n: config_hash(c) for n, c in self.configs.items()},
            "submissions": {k: str(v.name) for k, v in submissions.items()},
            "git": git_revision(), "versions": versions()})

    def _timed(self, stage: str):
        run = self

        class Clock:
            def __enter__(self):
                self.start = time.perf_counter()

            def __exit__(self, *_):
                run.seconds[stage] = time.perf_counter() - self.start

        return Clock()


def flag_counts(manifest: Manifest) -> dict[str, int]:
    """How many frames carry each flag, most frequent first."""
    flags = [f for cell in manifest.table["flags"] for f in cell.split("|") if f]
    return {f: flags.count(f) for f in sorted(set(flags), key=lambda f: (-flags.count(f), f))}


def require_both(manifest: Manifest) -> Manifest:
    """The manifest itself. Raises PixelPlayError where a split has no frames: half a run would only fail later."""
    counts = {split: len(manifest.split(split)) for split in ("train", "test")}
    for split, other, option in (("test", "training", "--test"), ("train", "test", "--train")):
        if not counts[split]:
            there = "train" if split == "test" else "test"
            raise PixelPlayError(
                f"there are {other} videos ({counts[there]:,} frames in {manifest.roots[there]}) but no "
                f"{'test' if split == 'test' else 'training'} videos",
                expected="training videos that show only what is normal, and test videos to score",
                mend=f"name the folder with {option} DIR beside --{there}, or both at once with --data DIR")
    return manifest


def git_revision() -> str:
    """Short revision of the checkout the code runs from; 'unknown' outside a checkout."""
    try:
        found = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=Path(__file__).parent,
                               capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return "unknown"
    return found.stdout.strip() or "unknown"


def versions(names: Sequence[str] = ("torch", "numpy", "opencv-python", "timm", "accelerate")) -> dict[str, str]:
    """Versions of the libraries that decide numbers."""
    found = {"pixelplay": __version__}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "absent"
    return found
