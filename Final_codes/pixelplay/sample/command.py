"""`pixelplay sample`: write the embedded scene to a folder, in the competition's layout."""

from __future__ import annotations

import argparse
from pathlib import Path

from pixelplay.sample.dataset import make_sample


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare --output, --seed and --size."""
    parser.add_argument("--output", type=Path, default=Path("outputs/sample"), metavar="DIR")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", choices=("tiny", "small", "large"), default="small")


def run(args: argparse.Namespace) -> int:
    """Write the sample and print where it is."""
    print(make_sample(args.output, seed=args.seed, size=args.size))
    return 0
