"""The commands `pixelplay repair` (stage 1 alone) and `pixelplay corrupt` (corrupted copies for experiments)."""

from __future__ import annotations

import argparse
from pathlib import Path

from pixelplay.checks import new_folder


def add_repair_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare --data, --train, --test, --output, --off and --workers."""
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder that contains a dataset at any depth")
    parser.add_argument("--train", type=Path, metavar="DIR", help="training videos or frame folders")
    parser.add_argument("--test", type=Path, metavar="DIR", help="test videos or frame folders")
    parser.add_argument("--output", type=new_folder, required=True, metavar="DIR", help="folder of the cache")
    parser.add_argument("--off", action="store_true", help="decode only, repair nothing")
    parser.add_argument("--workers", type=int, metavar="N", help="threads (default: one per CPU)")


def run_repair(args: argparse.Namespace) -> int:
    """Run stage 1 and print the number of flagged and repaired frames."""
    from pixelplay.data.layouts import find_dataset
    from pixelplay.files import read_json
    from pixelplay.repair.stage import RepairConfig, prepare

    manifest = find_dataset(args.data, args.train, args.test)
    prepare(manifest, args.output, RepairConfig(enabled=not args.off), workers=args.workers)
    if "test" in manifest.splits():
        about = read_json(args.output / "repair.json")
        for note in about["notes"]:
            print(f"note: {note}")
        found = ", ".join(f"{n} {flag}" for flag, n in about["flags"].items()) or "nothing wrong"
        print(f"{about['test_frames']} test frames: {found}; {about['mended']} repaired")
    print(args.output / "manifest.csv")
    return 0


def add_corrupt_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare --data, --train, --test, --output, --recipe and --seed."""
    from pixelplay.data.corruption import RECIPES

    parser.add_argument("--data", type=Path, metavar="DIR", help="folder that contains a dataset at any depth")
    parser.add_argument("--train", type=Path, metavar="DIR", help="training videos or frame folders")
    parser.add_argument("--test", type=Path, metavar="DIR", help="test videos or frame folders")
    parser.add_argument("--output", type=new_folder, required=True, metavar="DIR", help="a new folder for the copy")
    parser.add_argument("--recipe", default="competition", metavar="NAME", help="one of " + ", ".join(RECIPES))
    parser.add_argument("--seed", type=int, default=0)


def run_corrupt(args: argparse.Namespace) -> int:
    """Write the corrupted copy and print the number of frames per corruption."""
    from pixelplay.data.corruption import corrupt_dataset, recipe_named
    from pixelplay.data.layouts import find_dataset

    recipe = recipe_named(args.recipe)
    plan = corrupt_dataset(find_dataset(args.data, args.train, args.test), args.output, recipe, args.seed)
    kept = plan[~plan["dropped"]]
    for kind, count in kept["kind"].replace("", "clean").value_counts().items():
        print(f"{count:6d}  {kind}")
    print(f"{len(plan) - len(kept):6d}  dropped")
    print(args.output / "corruption.csv")
    return 0
