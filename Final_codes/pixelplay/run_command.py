"""`pixelplay run` (and `Final_codes/run_all.py`): arguments in, plan, stages, summary table."""

from __future__ import annotations

import argparse
from pathlib import Path

from pixelplay.config import PROFILES
from pixelplay.environment import hardware
from pixelplay.errors import PixelPlayError
from pixelplay.pipeline import Options, Run
from pixelplay.registry import MODELS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `Options`."""
    data = parser.add_argument_group("data (without any: Kaggle's input on Kaggle, the embedded sample elsewhere)")
    data.add_argument("--data", type=Path, metavar="DIR", help="folder with a known dataset somewhere below it")
    data.add_argument("--train", type=Path, metavar="DIR", help="own anomaly-free videos or frame folders")
    data.add_argument("--test", type=Path, metavar="DIR", help="own videos or frame folders to score")
    data.add_argument("--labels", type=Path, metavar="PATH", help="ground truth, for the final table only")
    data.add_argument("--no-repair", action="store_true", help="leave corrupted frames as they are")
    parser.add_argument("--output", type=Path, metavar="DIR", help="default: outputs, /kaggle/working on Kaggle")
    parser.add_argument("--profile", choices=PROFILES, default="lite",
                        help="smoke: seconds, wiring only; lite: two CPU cores; full: a GPU (default: lite)")
    parser.add_argument("--models", nargs="+", metavar="NAME", default=list(MODELS),
                        help="default: " + " ".join(MODELS))
    parser.add_argument("--weights", type=Path, metavar="DIR",
                        help="use trained weights, e.g. Final_codes/Final_models/ped2")
    parser.add_argument("--recipe", default="default", help="how the ensemble merges (default: default)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", nargs="+", default=[], metavar="MODEL.SETTING=VALUE", help="change a model's setting")


def run(args: argparse.Namespace) -> int:
    """Run all stages and print the summary."""
    pairs = [s.partition("=") for s in args.set]
    for key, equals, _ in pairs:
        if not equals:
            raise PixelPlayError(f"--set {key} has no value", expected="MODEL.SETTING=VALUE, e.g. stae.epochs=4")
    # the receipt names the weights, and `watch` reads it wherever it is started
    weights = args.weights.resolve() if args.weights else None
    job = Run(Options(args.data, args.train, args.test, args.output, args.profile,
                      tuple(m for name in args.models for m in name.split(",")), args.labels, weights, args.seed,
                      not args.no_repair, args.recipe, {k: v for k, _, v in pairs}))
    print(f"{hardware().name}, {hardware().dtype}; profile {args.profile}; writing to {job.output}")
    if job.smoke:
        print("smoke run: it proves the wiring and is kept apart from real runs, whose folder it never touches; "
              "nothing it scores is a result")
    if hardware().note:
        print(hardware().note)
    print("plan:")
    for step in job.plan():
        print(f"  {step.stage:24} {step.what}{'  (there: checked, then kept)' if step.done else ''}")
    done = job.all(progress=lambda text: print(f"== {text}", flush=True))
    if not done:  # another process than the main one
        return 0
    print()
    print(summary(job, done))
    return 0


def summary(job: Run, done: dict) -> str:
    """The last thing a run prints: a row a model and a submission, then the paths written."""
    metrics = (done["metrics"] or {}).get("rows", {})
    names = ["frame_difference", *job.models, *done["submissions"]]
    lines = [f"{'':26}{'seconds':>9}{'AP':>9}{'AUC':>9}"]
    for name in names:
        row = metrics.get(name)
        if name == "frame_difference" and row is None:
            continue
        seconds = done["seconds"].get(name)
        cells = [f"{seconds:9.1f}" if seconds is not None else " " * 9]
        cells += [f"{100 * row[k]:9.2f}" if row else f"{'':9}" for k in ("ap", "micro_auc")]
        lines.append(f"{name:26}" + "".join(cells))
    if not metrics:
        lines.append("(no labels: AP and AUC unknown)")
    lines += ["", *(f"{name + ':':26}{path}" for name, path in done["submissions"].items()),
              f"{'report:':26}{done['report']}"]
    if job.smoke:
        lines.append("(smoke run: not for submission; for a result run again with --profile lite or full)")
    return "\n".join(lines)
