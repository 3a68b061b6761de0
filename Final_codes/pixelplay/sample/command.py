"""`pixelplay sample`: write the embedded sample to a folder, in the competition's layout."""

from __future__ import annotations

import argparse
from pathlib import Path

from pixelplay.checks import new_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare --output, --seed, --size and --cameras."""
    parser.add_argument("--output", type=new_folder, default=Path("outputs/sample"), metavar="DIR")
    parser.add_argument("--seed", type=int, default=0, help="also determines the view (default: 0, the standard view)")
    parser.add_argument("--size", choices=("tiny", "small", "large"), default="small")
    parser.add_argument("--cameras", type=int, default=1, metavar="N",
                        help="number of cameras; videos alternate between them (default: 1)")


def run(args: argparse.Namespace) -> int:
    """Write the sample and print its folder."""
    from pixelplay.sample.dataset import make_sample

    print(make_sample(args.output, seed=args.seed, size=args.size, cameras=args.cameras))
    return 0
