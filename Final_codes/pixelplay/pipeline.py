"""A run: frames -> footage -> detector -> scores -> submission and report, in one output folder.

Reads a dataset (or renders the embedded sample); for scoring alone, a finished detector and new footage. Writes

    01_frame_extraction/     manifest, and per video: repair plan, speed maps
    02_two_stream_memory/    caches (03_stae ... 06_joint: checkpoints, curves)
    detector/                the bundle: everything needed to score new footage (see `pixelplay.detector`)
    scores/                  <model>.csv, .train.csv, .json; parts/, maps/ and actors/ beside them
    submission*.csv          two-stream, quad, all
    metrics.json, run.json, report/index.html

A stage is skipped if its output exists for the same input and settings. Test footage never enters a fitted model or its
cache key. If a model fails, the submission is fused from the others. On several GPUs models run in parallel, one
process each (see `workers`). Under `torchrun` or `accelerate launch` all processes call the same stages: models share
their work, and the main process extracts, writes score files and fuses.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import shutil
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pixelplay import distributed, engine, workers
from pixelplay.arrays import write_array
from pixelplay.config import PROFILES, config_hash, override
from pixelplay.data.footage import Footage
from pixelplay.data.manifest import Manifest
from pixelplay.detector import (
    FIT,
    TRAIN_SCORES,
    Detector,
    about_model,
    copy_detector,
    fitted,
    write_detector,
    write_model,
    write_training,
)
from pixelplay.environment import default_output, hardware, limit_threads, on_kaggle, set_seed, usable_gpus
from pixelplay.errors import PixelPlayError, did_you_mean
from pixelplay.files import atomic_path, damaged, read_json, remove, sealed_files, sha256_of, write_json, write_text
from pixelplay.fusion.recipe import load_recipe
from pixelplay.fusion.scores import ScoreFile, read_scores, read_table, write_scores
from pixelplay.lock import locked
from pixelplay.model import Forecast, Model, Scores, extrapolate, quarter, whole
from pixelplay.options import Options
from pixelplay.paths import EXTRACTION, REPORT, RunPaths
from pixelplay.registry import MODELS, model_class
from pixelplay.schedule import LAST_MINUTE, OutOfTime, alarm
from pixelplay.version import VERSION, git_revision, versions

log = logging.getLogger(__name__)

SPLITS = {"run": ("train", "test"), "fit": ("train",), "score": ("test",)}
"""Verb -> splits it needs."""

Finished = Callable[[str, str], None]
"""Callback after a stage or model: its name, and the reason of its failure ('' on success)."""


@dataclasses.dataclass(frozen=True)
class Step:
    """One line of the plan: stage, model ('' if none), description, and whether the result exists."""

    stage: str
    model: str
    what: str
    done: bool


def exclusive(verb: Callable) -> Callable:
    """Decorator for methods of `Run` that hold the lock of the output folder; they may call each other."""
    @functools.wraps(verb)
    def inside(run: Run, *args: Any, **settings: Any) -> Any:
        with locked(run.output):
            return verb(run, *args, **settings)

    return inside


class Run:
    """One output folder and its stages. Every method can be called again: finished work is kept."""

    def __init__(self, options: Options):
        if options.profile not in PROFILES:
            raise PixelPlayError(f"there is no profile '{options.profile}'", expected=" or ".join(PROFILES))
        if options.detector is not None and options.verb == "run":
            options = dataclasses.replace(options, verb="score")
        self.options, self.splits = options, SPLITS[options.verb]
        self.source = Detector.load(options.detector) if options.detector is not None else None
        for name in options.models:
            model_class(name)
        load_recipe(options.recipe)
        names = [n for n in MODELS if n in options.models]
        if self.source is not None:
            wanted = names if set(names) != set(MODELS) else None
            names, self.options = self.source.choose(wanted), dataclasses.replace(options, profile=self.source.profile)
        self.models = {name: model_class(name) for name in names}
        self.smoke = self.options.profile == "smoke"
        base = Path(options.output) if options.output else default_output()
        # smoke runs get their own folder, so that their numbers are not mistaken for results
        self.paths = RunPaths(base / "smoke" if self.smoke and options.verb == "run" else base)
        self.configs = {name: self._config(cls) for name, cls in self.models.items()}
        self.seconds: dict[str, float] = {}
        self.failed: dict[str, str] = {}
        self.steps: dict[str, int] = {}
        self.deadline = None if options.hours is None else time.monotonic() + 3600 * options.hours - LAST_MINUTE
        engine.use(engine.Engine(options.engine, options.address, options.workers))
        limit_threads(hardware().threads)
        set_seed(options.seed)

    @property
    def output(self) -> Path:
        """The output folder."""
        return self.paths.root

    @property
    def learns(self) -> bool:
        """Whether this run fits models; False if it scores with a finished detector."""
        return self.source is None

    # ---- stage 1 ------------------------------------------------------------------------------------------

    def find_data(self) -> Manifest:
        """Find the footage of this run; without any, outside Kaggle, render the embedded sample.

        Raises:
            PixelPlayError: no dataset is recognised, or a split is missing.
        """
        from pixelplay.data.layouts import find_dataset, find_split

        o = self.options
        if len(self.splits) == 1:
            place = (o.train if self.splits[0] == "train" else o.test) or o.data
            if place:
                return find_split(Path(place).resolve(), self.splits[0])
        if o.data or o.train or o.test or on_kaggle():
            # absolute paths stay valid when a later call starts in another folder
            found = find_dataset(*(Path(p).resolve() if p else None for p in (o.data, o.train, o.test)))
            return require_both(found) if len(self.splits) == 2 else found.only(self.splits[0])
        from pixelplay.sample.dataset import make_sample

        log.info("no --data given: using the embedded sample scene")
        found = find_dataset(make_sample(self.output / "sample").resolve())
        return found if len(self.splits) == 2 else found.only(self.splits[0])

    @exclusive
    def extract(self) -> Manifest:
        """Stage 1: manifest, repair, speed maps."""
        from pixelplay.flow.speed import learn_baselines, measure_speeds
        from pixelplay.repair.stage import RepairConfig, open_footage, prepare

        with self._timed(EXTRACTION):
            if distributed.is_main():
                self.paths.claim()
                folder, bundle = self.paths.extraction, self.paths.detector
                norms = None
                if self.source is not None:
                    copy_detector(self.source, bundle)
                    norms = self.source.norms
                manifest = prepare(self.find_data(), folder, RepairConfig(enabled=self.options.repair), norms=norms)
                if self.learns:
                    baselines = learn_baselines(folder, open_footage(folder, "train"))
                    self._keep_norms(manifest, baselines)
                else:
                    baselines = self.source.baselines
                for split in self.splits:
                    # opened without speed maps: damaged ones must not stop the run that recomputes them
                    measure_speeds(folder, open_footage(folder, split), baselines)
            distributed.barrier()
        return self.manifest()

    def _keep_norms(self, manifest: Manifest, baselines: Any) -> None:
        """Save norms and baselines of the training footage in the bundle."""
        from pixelplay.repair.norms import TrainingNorms

        TrainingNorms.load(self.paths.extraction).save(self.paths.detector)
        baselines.save(self.paths.detector)
        write_training(self.paths.detector, manifest.split("train"))

    def footage(self, split: str) -> Footage:
        """The footage of a split. Raises PixelPlayError if stage 1 has not run."""
        from pixelplay.flow.speed import with_speeds
        from pixelplay.repair.stage import open_footage

        self.require(EXTRACTION, self.paths.manifest)
        return with_speeds(open_footage(self.paths.extraction, split), self.paths.extraction)

    def manifest(self) -> Manifest:
        """The manifest of stage 1."""
        self.require(EXTRACTION, self.paths.manifest)
        return Manifest.load(self.paths.extraction)

    # ---- stages 2 to 6 ------------------------------------------------------------------------------------

    @exclusive
    def model(self, name: str) -> ScoreFile | None:
        """Fit one model (unless a finished detector is given) and score the test footage, if any. Valid results are
        kept. Returns the scores of the test frames."""
        if name not in self.models:
            raise PixelPlayError(f"model '{name}' is not part of this run", expected=", ".join(self.models))
        self.seconds[name] = 0.0
        if self.learns:
            self.fit_model(name)
        return self.score_model(name) if "test" in self.splits else None

    @exclusive
    def fit_model(self, name: str) -> None:
        """Fit one model, compute held-out scores of the training frames, and save both in the bundle."""
        train = self.footage("train")
        key, place, work = self.fit_key(name, train), self.paths.trained(name), self.paths.work(name)
        if self._is_fitted(name, key):
            log.info("%s: already fitted", name)
            return
        work.mkdir(parents=True, exist_ok=True)
        if distributed.is_main():
            self._forget_other_key(work, key)
            # if fitting fails, scores of the previous model must not enter the ensemble
            self._forget_scores(name)
            shutil.rmtree(place, ignore_errors=True)
        distributed.barrier()
        start = time.perf_counter()
        model = self.models[name](self.configs[name], seed=self.options.seed)
        model.fit(train, work)
        held_out = model.held_out(train, work)
        seconds = time.perf_counter() - start
        if distributed.is_main():
            write_model(self.paths.detector, model, train.ids, held_out, self._receipt_of(name) | {
                "key": key, "train_fingerprint": train.fingerprint, "frames": len(train), "seconds": round(seconds, 3)})
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds
        distributed.barrier()

    @exclusive
    def score_model(self, name: str) -> ScoreFile:
        """Score the test footage with a model of the bundle; write and return its scores."""
        test = self.footage("test")
        key, path = self.score_key(name, test), self.paths.score_file(name)
        if self._is_scored(name, key):
            log.info("%s: already scored", name)
            return read_scores(path, test.ids)
        if distributed.is_main():
            self._forget_scores(name)
        distributed.barrier()
        work = self.paths.work(name)
        work.mkdir(parents=True, exist_ok=True)
        start = time.perf_counter()
        # load the model from the bundle even if it was just fitted: later calls then give identical scores
        model = self.models[name].load(self.paths.trained(name))
        scores = model.score(test, work)
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
        if distributed.is_main():
            self._write(name, model, key, test, scores)
        distributed.barrier()
        return read_scores(path, test.ids)

    def forecast(self, name: str, frames: tuple[int, int]) -> Forecast:
        """Forecast the time of a model for (training, test) numbers of frames, measured on this run's footage."""
        folder = self.paths.work(name)
        folder.mkdir(parents=True, exist_ok=True)
        if self.learns:
            train = self.footage("train")
            test = self.footage("test") if "test" in self.splits else train
            return self.models[name](self.configs[name]).forecast(train, test, folder, frames)
        model, test, seconds = self.models[name].load(self.paths.trained(name)), self.footage("test"), []
        model.score(quarter(test), folder / "first")  # warm-up: the first call also loads weights
        for part in (quarter, whole):
            start = time.perf_counter()
            model.score(part(test), folder / part.__name__)
            seconds.append(time.perf_counter() - start)
        return Forecast(rest=extrapolate(*seconds, len(test), frames[1]))

    def kept_steps(self) -> dict[str, int] | None:
        """Training steps of an earlier call with the same budget, settings and models; None if there was none."""
        path = self.output / "hours.json"
        kept = read_json(path) if path.exists() else {}
        return kept["steps"] if kept.get("key") == self._hours_key() else None

    def train_shorter(self, steps: dict[str, int]) -> None:
        """Set fewer optimiser steps than in the profile, and record them for the receipt and for later calls.

        Estimates differ between calls; an interrupted run must resume with the same steps.
        """
        self.paths.claim()
        write_json(self.output / "hours.json", {"key": self._hours_key(), "steps": steps})
        self.steps = dict(steps)
        self.configs |= {name: override(self.configs[name], {"steps": count}) for name, count in steps.items()}

    @exclusive
    def run_models(self, names: Sequence[str], finished: Finished = lambda name, reason: None) -> None:
        """Fit and score models; failures are recorded in `failed` and do not stop the others.

        With several usable GPUs models run in parallel, in the given order; otherwise sequentially.

        Args:
            names: models of this run.
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
        """As `run_models`, with one process per lane."""
        shorter = {f"{name}.steps": str(count) for name, count in self.steps.items()}
        options = dataclasses.replace(self.options, settings=self.options.settings | shorter, hours=None)

        def done(name: str, reason: str, seconds: float) -> None:
            self.seconds[name] = seconds
            finished(name, reason)

        self.failed |= workers.side_by_side({name: options.plain() for name in names}, lanes, self.paths.logs,
                                            deadline=self.deadline, done=done)

    def _contained(self, name: str) -> str:
        """Run a model; returns the reason of its failure, '' on success. Tracebacks of bugs are written to `logs`."""
        if distributed.world()[1] > 1:  # processes meet at barriers: one that continued alone would wait for ever
            self.model(name)
            return ""
        try:
            with alarm(self.deadline):
                self.model(name)
        except OutOfTime:
            return "time was up"
        except PixelPlayError as error:
            log.error("%s failed: %s", name, error)
            return error.problem
        except Exception as bug:  # noqa: BLE001  a bug in one model must not stop the others
            path = self.paths.logs / f"{name}.txt"
            write_text(path, traceback.format_exc())
            log.error("%s failed, see %s: %s: %s", name, path, type(bug).__name__, bug)
            return f"{type(bug).__name__}: {bug}".splitlines()[0] + f" (see {path})"
        return ""

    def fit_key(self, name: str, train: Footage) -> str:
        """Cache key of a fitted model: settings, seed, training footage, code version."""
        cls = self.models[name]
        return config_hash("fit", name, cls.version, self.configs[name], self.options.seed, train.fingerprint,
                           sha256_of(self.paths.detector / "flow.npz") if cls.reads_speed else "", VERSION)

    def score_key(self, name: str, test: Footage) -> str:
        """Cache key of the scores of a model: fitted model, calibration, test footage."""
        place = self.paths.trained(name)
        self.require(self.models[name].stage, place / FIT)
        made = sorted(p for p in place.iterdir() if not p.name.startswith(".") and p.name != FIT)
        return config_hash("score", [(p.name, sha256_of(p)) for p in made], test.fingerprint,
                           about_model(self.models[name]), VERSION)

    # ---- stage 7 ------------------------------------------------------------------------------------------

    def ensemble(self) -> dict[str, Path]:
        """Fuse the scores of this run's models, and any other score file in the folder, into the submissions."""
        from pixelplay.fusion.stage import merge

        with self._timed("ensemble"):
            return merge(self.output, recipe=self.options.recipe, smoke=self.smoke)

    def evaluate(self) -> dict[str, Any] | None:
        """Metrics of every model and submission, also written to metrics.json; None without labels."""
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
        """Steps of the run in order; `done` if the result exists and is valid."""
        extracted = self.paths.manifest.exists()
        steps = [Step(EXTRACTION, "", "find, decode and repair the frames", extracted)]
        words = {"run": "fit and score", "fit": "fit", "score": "score"}[self.options.verb]
        for name, cls in self.models.items():
            steps.append(Step(cls.stage, name, f"{words} {name}", extracted and self._is_done(name)))
        last = "close the detector" if self.options.verb == "fit" else "merge, evaluate, report"
        return [*steps, Step(REPORT, "", last, False)]

    def _hours_key(self) -> str:
        o = self.options
        return config_hash(o.hours, o.profile, o.models, o.settings, o.seed, str(o.data), str(o.train), VERSION)

    def _is_done(self, name: str) -> bool:
        try:
            return ((not self.learns or self._is_fitted(name, self.fit_key(name, self.footage("train"))))
                    and ("test" not in self.splits
                         or self._is_scored(name, self.score_key(name, self.footage("test")))))
        except (PixelPlayError, FileNotFoundError):  # stage 1 is unfinished or damaged, which it reports itself
            return False

    @exclusive
    def all(self, progress: Callable[[str], None] = log.info, order: Sequence[str] | None = None,
            finished: Finished = lambda name, reason: None) -> dict[str, Any]:
        """Run every stage; returns the result of `finish`.

        Args:
            progress: called with the name of each stage at its start.
            order: starting order of the models.
            finished: see `run_models`; also called after stage 1.
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
        """The last stage: close the bundle; write submissions, metrics, receipt and report from the finished models.

        Returns:
            Paths, metrics (None without labels), seconds and failures; {} outside the main process.
        """
        if not distributed.is_main():
            distributed.barrier()
            return {}
        if self.failed and set(self.failed) >= set(self.models):
            raise PixelPlayError("no model finished, so there is nothing to merge: "
                                 + "; ".join(f"{name}: {reason}" for name, reason in self.failed.items()),
                                 hint="fix the failure and run the same command again: finished work is kept")
        if self.learns:
            self.close_detector()
        if self.options.verb == "fit":
            distributed.barrier()
            return {"detector": self.paths.detector, "seconds": dict(self.seconds), "failed": dict(self.failed)}
        submissions = self.ensemble()
        metrics = self.evaluate()
        self._write_receipt(submissions)
        report = self.report()
        distributed.barrier()
        return {"submissions": submissions, "metrics": metrics, "report": report, "seconds": dict(self.seconds),
                "failed": dict(self.failed)}

    def close_detector(self) -> Detector:
        """Write the index of the bundle: the models fitted on this footage."""
        train = self.footage("train")
        names = [n for n in fitted(self.paths.detector) if n not in self.failed
                 and read_json(self.paths.trained(n) / FIT)["train_fingerprint"] == train.fingerprint]
        if not names:
            raise PixelPlayError("no model has been fitted on this footage", expected="stages 2 to 6",
                                 hint="run their notebooks, or python Final_codes/run_all.py")
        about = [read_json(self.paths.trained(n) / FIT) for n in names]
        return write_detector(self.paths.detector, names, {
            "profile": about[0]["profile"], "smoke": self.smoke, "seed": self.options.seed,
            "settings": self.options.settings, "train_fingerprint": train.fingerprint,
            "training_videos": train.video_names(), "training_frames": len(train), "fps": train.fps,
            "full_size": list(train.full_size), "size": list(train.size), "versions": versions(),
            "git": git_revision()})

    def require(self, stage: str, artifact: Path) -> None:
        """Raise PixelPlayError if an artifact of an earlier stage is missing."""
        if not artifact.exists():
            raise PixelPlayError(f"{artifact} is missing", expected=f"stage {stage} run with this output folder",
                                 hint=f"run notebook {stage}.ipynb, or python Final_codes/run_all.py")

    # ---- inside -------------------------------------------------------------------------------------------

    def _config(self, cls: type[Model]) -> Any:
        if self.source is not None:
            if self.options.settings:
                raise PixelPlayError(f"--set {next(iter(self.options.settings))} changes nothing: the detector is "
                                     "finished", hint="leave --set out, or fit a detector with it")
            return self.source.config(cls.name)
        config = cls.Config.profile(self.options.profile)
        mine = {k.split(".", 1)[1]: v for k, v in self.options.settings.items() if k.split(".", 1)[0] == cls.name}
        for key in self.options.settings:
            if key.split(".", 1)[0] not in MODELS or "." not in key:
                raise PixelPlayError(f"setting '{key}' names no model", expected="MODEL.SETTING=VALUE",
                                     hint=did_you_mean(key.split(".", 1)[0], MODELS))
        return override(config, mine)

    def _is_fitted(self, name: str, key: str) -> bool:
        place = self.paths.trained(name)
        return (not damaged(sealed_files(place)) and not damaged(sealed_files(self.paths.work(name)))
                and (place / FIT).exists() and read_json(place / FIT).get("key") == key)

    def _is_scored(self, name: str, key: str) -> bool:
        path = self.paths.score_file(name)
        mine = [path, path.with_suffix(".train.csv"), path.with_suffix(".json"), self.paths.maps(name),
                self.paths.actors(name)]
        mine += [p for p in sealed_files(self.paths.scores / "parts") if p.name.startswith(f"{name}.")]
        if damaged([*mine, *sealed_files(self.paths.work(name))]):
            return False
        about = path.with_suffix(".json")
        return about.exists() and path.exists() and read_json(about).get("key") == key

    def _forget_other_key(self, folder: Path, key: str) -> None:
        """Mark a working folder with the key of its unfinished state; state of another key is removed."""
        mark = folder / "key.txt"
        if mark.exists() and mark.read_text(errors="replace") != key:
            for old in sorted(folder.rglob("*"), reverse=True):
                if old.is_file() and "cache" not in old.relative_to(folder).parts:
                    old.unlink()
        with atomic_path(mark) as part:
            part.write_text(key)

    def _forget_scores(self, name: str) -> None:
        """Remove outdated scores of a model: if it fails now, they must not enter the ensemble."""
        for old in (*self.paths.scores.glob(f"{name}.*"), *self.paths.scores.glob(f"*/{name}.*")):
            remove(old)

    def _receipt_of(self, name: str) -> dict[str, Any]:
        """Settings and machine of a fit, for its record."""
        config = self.configs[name]
        return {"model": name, "config": dataclasses.asdict(config), "config_hash": config_hash(config),
                "profile": self.options.profile, "smoke": self.smoke, "seed": self.options.seed,
                "hardware": hardware().name, "dtype": hardware().dtype, "threads": hardware().threads,
                "git": git_revision(), "versions": versions()}

    def _write(self, name: str, model: Model, key: str, test: Footage, scores: Scores) -> None:
        from pixelplay.two_stream.actor_files import write_actors

        place, fit = self.paths.trained(name), read_json(self.paths.trained(name) / FIT)
        for part, values in scores.parts.items():
            write_scores(self.paths.scores / "parts", f"{name}.{part}", test.ids, values, about={"part_of": name})
        if scores.maps is not None:
            write_array(self.paths.maps(name), scores.maps)
        if scores.actors is not None:
            write_actors(self.paths.actors(name), scores.actors)
        write_scores(self.paths.scores, name, test.ids, scores.values, train=read_table(place / TRAIN_SCORES), about={
            **about_model(type(model)), "key": key, "config": dataclasses.asdict(model.config),
            "config_hash": config_hash(model.config), "profile": fit["profile"], "smoke": fit["smoke"],
            "seed": fit["seed"], "data_fingerprint": test.fingerprint, "train_fingerprint": fit["train_fingerprint"],
            "filled": {"rule": "nearest valid score", "ids": test.ids[scores.filled].tolist()},
            "seconds": round(self.seconds[name], 3), "hardware": hardware().name, "dtype": hardware().dtype,
            "threads": hardware().threads,
            "git": git_revision(), "versions": versions()})

    def _write_receipt(self, submissions: dict[str, Path]) -> None:
        write_json(self.paths.receipt, {
            "options": self.options.plain(), "smoke": self.smoke, "seconds": self.seconds, "failed": self.failed,
            "steps_scaled_to_hours": self.steps,
            "hardware": dataclasses.asdict(hardware()),
            "detector": Detector.load(self.paths.detector).digest,
            "configs": {n: dataclasses.asdict(c) for n, c in self.configs.items()},
            "hashes": {n: config_hash(c) for n, c in self.configs.items()},
            "submissions": {k: str(v.name) for k, v in submissions.items()},
            "git": git_revision(), "versions": versions()})

    @contextlib.contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[stage] = time.perf_counter() - start


def flag_counts(manifest: Manifest) -> dict[str, int]:
    """Number of frames per flag, most frequent first."""
    flags = [f for cell in manifest.table["flags"] for f in cell.split("|") if f]
    return {f: flags.count(f) for f in sorted(set(flags), key=lambda f: (-flags.count(f), f))}


def require_both(manifest: Manifest) -> Manifest:
    """Return the manifest. Raises PixelPlayError if a split has no frames."""
    counts = {split: len(manifest.split(split)) for split in ("train", "test")}
    for split, other, option in (("test", "training", "--test"), ("train", "test", "--train")):
        if not counts[split]:
            there = "train" if split == "test" else "test"
            raise PixelPlayError(
                f"there are {other} videos ({counts[there]:,} frames in {manifest.roots[there]}) but no "
                f"{'test' if split == 'test' else 'training'} videos",
                expected="training videos that show only what is normal, and test videos to score",
                hint=f"name the folder with {option} DIR beside --{there}, or both at once with --data DIR")
    return manifest
