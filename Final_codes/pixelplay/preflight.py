"""Preflight: find everything that would stop a run later, in seconds, and report it at once.

Reads the options of a `Run`, this machine, and a few frames of the dataset; makes a list of problems, each with a fix,
and a forecast of the seconds of every stage. The last check is a trial: stage 1 and every model process a few dozen
real frames in a temporary folder, with their real settings and networks.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import logging
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pixelplay import checks, environment
from pixelplay.checks import Problem
from pixelplay.config import config_hash
from pixelplay.data.manifest import Manifest
from pixelplay.data.reading import is_video
from pixelplay.distributed import world
from pixelplay.environment import hardware
from pixelplay.errors import PixelPlayError
from pixelplay.model import Forecast, extrapolate
from pixelplay.paths import EXTRACTION, REPORT
from pixelplay.pipeline import Run
from pixelplay.pretrained import Needs

log = logging.getLogger(__name__)

CHUNK = 8
"""Consecutive frames per place in a trial: enough for flow and windows. Stage 1 is also timed on a quarter of them."""
PLACES = {"train": 3, "test": 1}
"""Number of places per split that a trial takes frames from."""
HELD = 2 << 30
"""Maximum bytes of frames that training on a CPU holds in memory."""
REPORT_SECONDS = 0.005
"""Seconds per frame of stage 7: about 8 s for the 1,699 frames of the embedded sample on two CPU cores."""


@dataclasses.dataclass(frozen=True)
class Preflight:
    """Result of a preflight.

    Attributes:
        problems: in the order of the checks; empty if the run can start.
        stages: seconds of stage 1 and stage 7; {} without a trial.
        models: model -> forecast, for models that still have to run.
    """

    problems: tuple[Problem, ...]
    stages: dict[str, float]
    models: dict[str, Forecast]

    def require(self) -> None:
        """Raise PixelPlayError with all problems, if there are any."""
        if self.problems:
            count = len(self.problems)
            lines = [f"{count} problem{'s' if count > 1 else ''} found before the first stage:"]
            for number, problem in enumerate(self.problems, 1):
                lines += [f"  {number}. {problem.what}", f"     hint: {problem.hint}"]
            raise PixelPlayError("\n".join(lines), hint="fix them as described, or continue anyway with --force")


def preflight(run: Run, *, download: bool = True, need_data: bool = True) -> Preflight:
    """Check everything that a run needs.

    Args:
        download: download missing weights; False only checks that their source responds.
        need_data: if False, a missing dataset skips the trial instead of raising (for notebooks of later stages).
    Raises:
        PixelPlayError: there is no data, so nothing else can be checked.
    """
    manifest = _data(run, need_data)
    problems = [*checks.unwritable(run.output), *_labels(run)]
    waiting = [step.model for step in run.plan() if step.model and not step.done]
    needs = {name: run.models[name].needs(run.configs[name]) for name in waiting}
    needs[EXTRACTION] = Needs(packages=("av",) if manifest and manifest.table["path"].map(is_video).any() else ())
    lacking = {name: [*checks.packages(need), *checks.weights(need, download)] for name, need in needs.items()}
    problems += dict.fromkeys(p for found in lacking.values() for p in found)
    device = list(_device(run))
    problems += device
    able = [name for name in waiting if not lacking[name]]
    stages, models, tried = {}, {}, []
    # no trial under torchrun (all processes would have to join) or without the GPU (it would take minutes on a CPU)
    if manifest and not lacking[EXTRACTION] and world()[1] == 1 and (not device or run.options.force):
        stages, models, tried = _trial(run, manifest, able)
    return Preflight((*problems, *tried), stages, models)


# ---- single checks -------------------------------------------------------------------------------------------


def _data(run: Run, needed: bool) -> Manifest | None:
    """The dataset; None if it is missing and not needed, or missing but already extracted."""
    try:
        return run.find_data()
    except PixelPlayError:
        if needed and not (run.paths.manifest).exists():
            raise
        log.info("preflight: no trial, because the dataset is not here")
        return None


def _labels(run: Run) -> Iterator[Problem]:
    labels = run.options.labels
    if labels is not None and not Path(labels).exists():
        yield Problem(f"labels {labels} do not exist", "correct --labels PATH, or leave it out")


def _device(run: Run) -> Iterator[Problem]:
    if run.options.profile == "full" and hardware().device == "cpu":
        why = hardware().note or "torch finds no GPU here"
        on_kaggle = "choose the accelerator GPU T4 x2 in the notebook's settings, or run " if environment.on_kaggle() \
            else "run "
        yield Problem(f"profile full needs a working GPU: {why}",
                      f"{on_kaggle}with --profile lite, which is made for CPUs (days become minutes)")


# ---- trial ---------------------------------------------------------------------------------------------------


class _Miniature(Run):
    """The same run on a few frames of the same data, in its own folder."""

    def __init__(self, run: Run, manifest: Manifest, folder: Path):
        super().__init__(dataclasses.replace(run.options, output=folder, settings={}))
        self.configs, self.sample = run.configs, manifest

    def find_data(self) -> Manifest:
        return self.sample


def few_frames(manifest: Manifest, chunk: int = CHUNK) -> Manifest:
    """The dataset reduced to `PLACES` x `chunk` frames, at places spread evenly over each split."""
    keep = []
    for split, places in PLACES.items():
        rows = np.flatnonzero(manifest.table["split"] == split)
        for place in range(places):
            middle = (2 * place + 1) * len(rows) // (2 * places)
            start = max(0, min(middle - chunk // 2, len(rows) - chunk))
            keep += rows[start:start + chunk].tolist()
    table = manifest.table.iloc[sorted(set(keep))].reset_index(drop=True)
    return dataclasses.replace(manifest, table=table, labels=None,
                               fingerprints={split: config_hash(known, table["Id"][table["split"] == split].tolist())
                                             for split, known in manifest.fingerprints.items()})


def _trial(run: Run, manifest: Manifest, models: list[str]
           ) -> tuple[dict[str, float], dict[str, Forecast], list[Problem]]:
    """Run stage 1 and the models on a few frames -> seconds of the stages, forecasts, problems."""
    count = {split: len(manifest.split(split)) for split in PLACES}
    small, problems, forecasts = few_frames(manifest), [], {}
    log.info("preflight: trying everything on %d frames", len(small.table))
    with tempfile.TemporaryDirectory(prefix="pixelplay-preflight-") as scratch, _quiet():
        try:
            seconds = []
            for chunk in (CHUNK // 4, CHUNK):
                mini = _Miniature(run, few_frames(manifest, chunk), Path(scratch) / str(chunk))
                start = time.perf_counter()
                mini.extract()
                seconds.append(time.perf_counter() - start)
        except Exception as cause:  # noqa: BLE001  reported as a problem, which stops the run
            return {}, {}, [_failure(EXTRACTION, cause)]
        total = sum(count.values())
        stages = {EXTRACTION: extrapolate(*seconds, len(small.table), total), REPORT: REPORT_SECONDS * total}
        size = mini.footage(run.splits[0]).size
        for name in models:
            try:
                forecasts[name] = mini.forecast(name, (count["train"], count["test"]))
            except Exception as cause:  # noqa: BLE001  reported as a problem; the other models are still tried
                problems.append(_failure(name, cause))
        written = sum(p.stat().st_size for p in mini.output.rglob("*.np[yz]"))
        problems += checks.space(run.output, written * total / len(small.table))
        problems += checks.memory(min(HELD, count["train"] * np.prod(size) * 3)
                            + resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - environment.used_memory())
    return stages, forecasts, problems


def _failure(what: str, cause: Exception) -> Problem:
    log.debug("%s failed in its trial", what, exc_info=cause)
    if isinstance(cause, PixelPlayError):
        return Problem(f"{what} fails on these frames: {cause.problem}", cause.hint or f"expected: {cause.expected}")
    message = " ".join(str(cause).split())[:200]
    return Problem(f"{what} fails on these frames: {type(cause).__name__}: {message}",
                   "this is a bug, please report this line; the other models run with --force")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress progress bars and log messages of a trial; failures are reported as problems."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(before)
