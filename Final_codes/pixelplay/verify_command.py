"""`pixelplay verify`: check every sealed file of an output folder against its digest."""

from __future__ import annotations

import argparse
from pathlib import Path

from pixelplay.errors import PixelPlayError
from pixelplay.files import verify


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare RUN."""
    parser.add_argument("folder", type=Path, metavar="RUN", help="a run's output folder, or any folder below it")


def run(args: argparse.Namespace) -> int:
    """Check all files and print those that do not match. Returns 0 if all match, 1 otherwise."""
    if not args.folder.is_dir():
        raise PixelPlayError(f"{args.folder} is no folder", expected="a run's output folder")
    wrong, count = verify(args.folder)
    if not count:
        raise PixelPlayError(f"{args.folder} holds no sealed file", expected="a run's output folder")
    for path in wrong:
        print(f"{path}: {'missing' if not path.exists() else 'does not match its digest'}")
    print(f"{count - len(wrong)} of {count} files match their digests"
          + ("; run again with the same --output to recreate the others" if wrong else ""))
    return 1 if wrong else 0
