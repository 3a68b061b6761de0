"""`pixelplay fit` and `pixelplay.fit`: from normal footage to a detector."""

from __future__ import annotations

import argparse
import dataclasses
import shutil
from pathlib import Path
from typing import Any

from pixelplay.detector import Detector, copy_detector
from pixelplay.environment import default_output, hardware
from pixelplay.errors import PixelPlayError
from pixelplay.pipeline import Options, Run
from pixelplay.run_command import (
    UNFINISHED,
    carry_out,
    check,
    make_schedule,
    read_options,
    summary,
    tell,
)


def run(args: argparse.Namespace) -> int:
    """Check, plan, fit and print the summary."""
    target = place_of(args.output)
    job = open_fit(target, read_options(args))
    tell(f"{hardware().name}, {hardware().dtype}; profile {job.options.profile}; writing to {target}")
    done = carry_out(job, preflight_only=args.preflight, wait=args.wait)
    if not done:
        return 0
    print()
    print(summary(job, done | {"detector": finish(job, target).folder}))
    return UNFINISHED if done["failed"] else 0


def fit_detector(normal_videos: Path | str, output: Path | str | None, **options: Any) -> Detector:
    """Implementation of `pixelplay.fit`."""
    target = place_of(output)
    unknown = set(options) - {"profile", "models", "settings", "seed", "hours", "force", "engine", "address", "workers"}
    if unknown:
        raise TypeError(f"fit() got unexpected options {sorted(unknown)}")
    if "settings" in options:
        options["settings"] = {k: str(v) for k, v in options["settings"].items()}
    if "models" in options:
        options["models"] = tuple(options["models"])
    job = open_fit(target, Options(verb="fit", train=Path(normal_videos), **options))
    make_schedule(job, check(job))
    failed = job.all()["failed"]
    if failed:
        raise PixelPlayError("; ".join(f"{name} could not be fitted: {reason}" for name, reason in failed.items()),
                             hint="fix the failure and call again (finished work is kept), or leave these models out")
    return finish(job, target)


def place_of(output: Path | str | None) -> Path:
    """Folder of the detector to write."""
    return Path(output) if output else default_output() / "detector"


def open_fit(target: Path, options: Options) -> Run:
    """A fitting run in the folder <target>.work. Raises PixelPlayError if `target` exists and is no detector."""
    if target.exists() and (not target.is_dir() or (any(target.iterdir()) and not (target / "detector.json").exists())):
        raise PixelPlayError(f"{target} is there and is no detector", expected="a new folder, or a detector to replace",
                             hint="choose another --output DETECTOR")
    return Run(dataclasses.replace(options, output=target.with_name(f"{target.name}.work")))


def finish(job: Run, target: Path) -> Detector:
    """Copy the finished bundle to its target, and remove frames and checkpoints."""
    found = copy_detector(Detector.load(job.paths.detector), target)
    shutil.rmtree(job.output)
    return found
