"""`pixelplay score`: a detector and new footage in, score files, submission and report out. Nothing is learnt."""

from __future__ import annotations

import argparse
from pathlib import Path

from pixelplay import run_command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare DETECTOR, VIDEOS and the options."""
    parser.add_argument("detector", type=Path, metavar="DETECTOR", help="made by fit, e.g. "
                        "Final_codes/Final_models/avenue")
    parser.add_argument("test", type=Path, metavar="VIDEOS", help="footage of the same camera: a folder of videos or "
                        "frame folders, one video, or a known dataset (its test split)")
    parser.add_argument("--output", type=Path, metavar="RUN", help="default: outputs, /kaggle/working on Kaggle")
    parser.add_argument("--models", nargs="+", metavar="NAME", help="default: all of the detector's")
    run_command.add_scoring_arguments(parser)
    run_command.add_time_arguments(parser)
    run_command.add_engine_arguments(parser)
    parser.set_defaults(verb="score")


def run(args: argparse.Namespace) -> int:
    """Check, plan, score and print the summary."""
    return run_command.run(args)
