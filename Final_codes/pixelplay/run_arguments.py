"""Arguments of `pixelplay run`, `fit`, `score` and `cameras`, declared without importing heavy packages."""

from __future__ import annotations

import argparse

from pixelplay.checks import existing, new_folder
from pixelplay.config import ENGINES, PROFILES
from pixelplay.registry import MODELS


def run(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `run`."""
    data = parser.add_argument_group("data (default: Kaggle's input on Kaggle, the embedded sample elsewhere)")
    data.add_argument("--data", type=existing, metavar="DIR", help="folder that contains a known dataset at any depth")
    data.add_argument("--train", type=existing, metavar="DIR", help="own anomaly-free videos or frame folders")
    data.add_argument("--test", type=existing, metavar="DIR", help="own videos or frame folders to score")
    _scoring(data)
    parser.add_argument("--output", type=new_folder, metavar="DIR", help="default: outputs, /kaggle/working on Kaggle")
    parser.add_argument("--detector", type=existing, metavar="DIR", help="only score, with a finished "
                        "detector, e.g. Final_codes/Final_models/ped2")
    _fitting(parser)
    _time(parser)
    _engine(parser)


def fit(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `fit`."""
    parser.add_argument("train", type=existing, metavar="NORMAL", help="anomaly-free footage of one camera or of "
                        "several: a folder of videos or frame folders, one video, or a known dataset (its training "
                        "split)")
    parser.add_argument("--output", type=new_folder, metavar="DETECTOR", help="folder of the detector; frames and "
                        "checkpoints are kept in DETECTOR.work until it is finished (default: outputs/detector)")
    _fitting(parser)
    _time(parser)
    _engine(parser)
    parser.set_defaults(verb="fit")


def score(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `score`."""
    parser.add_argument("detector", type=existing, metavar="DETECTOR", help="made by fit, e.g. "
                        "Final_codes/Final_models/avenue")
    parser.add_argument("test", type=existing, metavar="VIDEOS", help="footage of the same camera: a folder of videos "
                        "or frame folders, one video, or a known dataset (its test split)")
    parser.add_argument("--output", type=new_folder, metavar="RUN", help="default: outputs, /kaggle/working on Kaggle")
    parser.add_argument("--models", nargs="+", metavar="NAME", help="default: all of the detector's")
    _scoring(parser)
    _time(parser)
    _engine(parser)
    parser.set_defaults(verb="score")


def update(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `update`."""
    parser.add_argument("detector", type=existing, metavar="DETECTOR", help="made by fit; the new one takes its place")
    parser.add_argument("videos", type=existing, metavar="NORMAL", help="anomaly-free footage of the same camera that "
                        "it was not fitted on: a folder of videos or frame folders, or one video")
    _elsewhere(parser)


def feedback(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `feedback`."""
    parser.add_argument("detector", type=existing, metavar="DETECTOR", help="that raised the alarm; the new one takes "
                        "its place")
    parser.add_argument("event", type=existing, metavar="EVENT", help="clip or description of an event that is over: "
                        "CAMERA/clips/ID.mp4 or ID.json, as watch left both")
    parser.add_argument("--normal", action="store_true", required=True, help="all that the clip shows was normal")
    _elsewhere(parser)


def _elsewhere(parser: argparse.ArgumentParser) -> None:
    """Option for the output of an updated detector."""
    parser.add_argument("--output", type=new_folder, metavar="DIR", help="leave DETECTOR as it is, and write the new "
                        "one there")


def cameras(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `cameras`."""
    parser.add_argument("videos", type=existing, metavar="TABLE", help="CSV file video,camera,split, or the folder of "
                        "a dataset whose video names begin with their camera (01_0014)")
    _scoring(parser)
    parser.add_argument("--output", type=new_folder, metavar="DIR", help="default: outputs, /kaggle/working on Kaggle")
    _fitting(parser)
    _checks(parser.add_argument_group("before the run"))
    _engine(parser)


def _fitting(parser: argparse.ArgumentParser) -> None:
    """Options for fitting."""
    parser.add_argument("--profile", choices=PROFILES, default="lite",
                        help="smoke: seconds, wiring only; lite: two CPU cores; full: a GPU (default: lite)")
    parser.add_argument("--models", nargs="+", metavar="NAME", default=list(MODELS),
                        help="default: " + " ".join(MODELS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", nargs="+", default=[], metavar="MODEL.SETTING=VALUE",
                        help="change settings of models (listed below)")
    parser.set_defaults(more="pixelplay.settings_command:overview")


def _scoring(parser: argparse._ActionsContainer) -> None:
    """Options for scoring."""
    parser.add_argument("--labels", type=existing, metavar="PATH", help="ground truth, for evaluation only")
    parser.add_argument("--no-repair", action="store_true", help="leave corrupted frames as they are")
    parser.add_argument("--recipe", default="default", help="fusion recipe of the ensemble (default: default)")


def _time(parser: argparse.ArgumentParser) -> None:
    """Options for the preflight and the time budget."""
    time_ = parser.add_argument_group("before and during the run")
    _checks(time_)
    time_.add_argument("--hours", type=float, metavar="H", help="time budget: training steps are scaled to fit, and "
                       "one minute before the end the submission is written from the finished models")


def _checks(group: argparse._ActionsContainer) -> None:
    """Options for the checks before the run."""
    group.add_argument("--preflight", action="store_true", help="only check the requirements, in seconds")
    group.add_argument("--force", action="store_true", help="continue despite problems found by the preflight")
    group.add_argument("--wait", action="store_true", help="if another run uses the output folder, wait for "
                       "it to end")


def _engine(parser: argparse.ArgumentParser) -> None:
    """Options for parallel work on videos."""
    group = parser.add_argument_group("parallel work on videos")
    group.add_argument("--engine", choices=ENGINES, default="loky",
                       help="loky: processes of this machine; dask, ray: a cluster, or this machine (default: loky)")
    group.add_argument("--address", metavar="HOST", help="of the Dask scheduler (host:port) or the Ray cluster "
                       "(default: start one on this machine)")
    group.add_argument("--workers", type=int, metavar="N", help="processes (default: one per CPU, limited "
                       "by memory)")
