"""`pixelplay run` (and `Final_codes/run_all.py`): preflight, plan, stages, summary."""

from __future__ import annotations

import argparse
import time
from typing import Any

from pixelplay import distributed
from pixelplay.environment import hardware, usable_gpus
from pixelplay.errors import PixelPlayError
from pixelplay.lock import locked
from pixelplay.paths import EXTRACTION, REPORT
from pixelplay.pipeline import Options, Run
from pixelplay.preflight import Preflight, preflight
from pixelplay.progress import is_quiet
from pixelplay.registry import MODELS
from pixelplay.schedule import Schedule, fit_steps, in_words
from pixelplay.tables import number, text_table

UNFINISHED = 3
"""Exit status if a submission was written without some of the models."""


def tell(line: str) -> None:
    """Print and flush a line of progress; nothing with --quiet."""
    if not is_quiet():
        print(line, flush=True)


def read_options(args: argparse.Namespace) -> Options:
    """Options from parsed arguments; arguments that a command does not have keep their defaults.

    Raises:
        PixelPlayError: a setting without a value, or an invalid budget.
    """
    given = vars(args)
    pairs = [s.partition("=") for s in given.get("set", [])]
    for key, equals, _ in pairs:
        if not equals:
            raise PixelPlayError(f"--set {key} has no value", expected="MODEL.SETTING=VALUE, e.g. stae.epochs=4")
    hours = given.get("hours")
    if hours is not None and not 0 < hours < 1000:
        raise PixelPlayError(f"--hours cannot be {hours}", expected="hours, e.g. --hours 8.5")
    plain = {k: given[k] for k in ("verb", "data", "train", "test", "detector", "output", "labels", "seed", "recipe",
                                   "profile", "force", "engine", "address", "workers") if given.get(k) is not None}
    models = [m for name in given.get("models") or MODELS for m in name.split(",")]
    return Options(**plain, models=tuple(models), repair=not given.get("no_repair", False),
                   settings={k: v for k, _, v in pairs}, hours=hours)


def run(args: argparse.Namespace) -> int:
    """Check, plan, run all stages and print the summary."""
    job = Run(read_options(args))
    tell(f"{hardware().name}, {hardware().dtype}; profile {job.options.profile}; writing to {job.output}")
    if job.smoke:
        tell("smoke run: it only tests the wiring and uses a separate folder; its scores are not results")
    done = carry_out(job, preflight_only=args.preflight, wait=args.wait)
    if not done:  # after --preflight, or not the main process
        return 0
    print()
    print(summary(job, done))
    return UNFINISHED if done["failed"] else 0


def carry_out(job: Run, *, preflight_only: bool = False, wait: bool = False) -> dict[str, Any]:
    """Check, plan and run all stages with messages; returns the result of `Run.finish`, {} with `preflight_only`.

    Args:
        wait: wait for another run in the output folder instead of raising.
    """
    found = check(job, download=not preflight_only)
    schedule = make_schedule(job, found)
    if preflight_only and not found.problems:
        tell("preflight: no problems found")
    tell_plan(job, schedule)
    if preflight_only:
        return {}
    started = time.perf_counter()

    def finished(stage: str, reason: str) -> None:
        seconds = job.seconds.get(stage, time.perf_counter() - started)
        schedule.finish(stage, seconds)
        tell(f"== {stage}: " + (f"FAILED: {reason}" if reason else f"done in {in_words(seconds)}")
              + (f"; about {in_words(schedule.left())} left" if schedule.expected else ""))

    longest_first = sorted(job.models, key=lambda name: -schedule.expected.get(name, 0.0))
    with locked(job.output, wait=wait):
        return job.all(progress=lambda text: tell(f"== {text}"), order=order_of(job, longest_first),
                       finished=finished)


def order_of(job: Run, longest_first: list[str]) -> list[str]:
    """Order of the models: on several GPUs the longest first, which balances them; else the order of the registry."""
    return longest_first if len(usable_gpus()) > 1 else list(job.models)


def check(job: Run, *, download: bool = True) -> Preflight:
    """Run the preflight. Raises PixelPlayError with all problems, unless the run is forced."""
    if not distributed.is_main():  # other processes wait for the main process and fail with it
        return Preflight((), {}, {})
    found = preflight(job, download=download)
    if not job.options.force:
        found.require()
    for problem in found.problems:
        print(f"continuing despite: {problem.what}")
    return found


def make_schedule(job: Run, found: Preflight) -> Schedule:
    """Estimate the seconds of every stage, and scale training steps to `--hours` if given.

    The steps of an interrupted run are kept, so that the same command resumes the same networks.
    """
    lanes = max(1, min(len(usable_gpus()), len(found.models)))
    other, models = sum(found.stages.values()), found.models
    if job.options.hours is not None and job.learns:
        kept = job.kept_steps()
        steps = fit_steps(models, other, 3600 * job.options.hours, lanes=lanes) if kept is None else kept
        job.train_shorter(steps)
        models = {name: f.with_steps(steps.get(name, f.steps)) for name, f in models.items()}
    expected = {EXTRACTION: found.stages.get(EXTRACTION, 0.0)}
    expected |= {name: f.seconds / lanes for name, f in models.items()}
    return Schedule({**expected, REPORT: found.stages.get(REPORT, 0.0)} if found.stages else {})


def tell_plan(job: Run, schedule: Schedule) -> None:
    """Print the stages and their estimated times."""
    tell("plan:" + (" (times are estimated from a trial on a few frames)" if schedule.expected else ""))
    for step in job.plan():
        seconds = schedule.expected.get(step.model or step.stage)
        words = "done already, will be checked" if step.done else in_words(seconds) if seconds is not None else ""
        tell(f"  {step.stage:24} {step.what:40} {words}".rstrip())
    if schedule.expected:
        tell(f"  {'total':65} {in_words(schedule.left())}")
    if job.steps:
        tell("training steps fitted to --hours: " + ", ".join(f"{name} {count}" for name, count in job.steps.items()))


def summary(job: Run, done: dict) -> str:
    """Summary of a run: one row per model and submission, failures, and the paths written."""
    metrics = (done.get("metrics") or {}).get("rows", {})
    names = ["frame_difference", *job.models, *done.get("submissions", {})]
    names = [n for n in names if n != "frame_difference" or n in metrics]
    lines = text_table(["", "seconds", "AP", "AUC"], [
        [name, number(done["seconds"].get(name), 1),
         *(number(100 * metrics[name][k] if name in metrics else None, 2) for k in ("ap", "micro_auc"))]
        for name in names], notes=["FAILED" if name in done["failed"] else "" for name in names])
    if not metrics and "submissions" in done:
        lines.append("(no labels: AP and AUC unknown)")
    for name, reason in done["failed"].items():
        lines.append(f"{name} is not part of the submission: {reason}")
    if done["failed"]:
        lines.append("run the same command again for the missing models; finished work is kept")
    lines += ["", *(f"{name + ':':26}{path}" for name, path in done.get("submissions", {}).items())]
    lines += [f"{name + ':':26}{done[name]}" for name in ("detector", "report") if name in done]
    if job.smoke:
        lines.append("(smoke run, not for submission; for results run again with --profile lite or full)")
    return "\n".join(lines)
