"""Arguments of `pixelplay report` and `watch-file`: parsed and checked before slow imports."""

from __future__ import annotations

import argparse
from pathlib import Path

from pixelplay.checks import existing, new_file


def report(parser: argparse.ArgumentParser) -> None:
    """Declare RUN and --open."""
    parser.add_argument("run", type=existing, nargs="?", metavar="RUN", help="a run's output folder (default: outputs, "
                        "/kaggle/working on Kaggle)")
    parser.add_argument("--open", action="store_true", help="open it in the browser")


def watch_file(parser: argparse.ArgumentParser) -> None:
    """Declare VIDEO, --scores, --output."""
    parser.add_argument("video", type=Path, metavar="VIDEO|FOLDER",
                        help="a video file or a folder of frames that the run scored, or just the video's name")
    parser.add_argument("--scores", type=existing, required=True, metavar="DIR",
                        help="the run's output folder, or its scores folder")
    parser.add_argument("--output", type=new_file, default=Path("annotated.mp4"), metavar="FILE.mp4",
                        help="default: annotated.mp4; a list of its events lies beside it")
    parser.add_argument("--repaired", action="store_true", help="show the frames as the models saw them, denoised, "
                        "instead of as recorded")
