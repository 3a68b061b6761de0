"""`pixelplay update` and `pixelplay feedback`: update a detector with further normal footage.

The new detector replaces the old one atomically when it is finished. Its detector.json records every update.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

from pixelplay.detector import ABOUT, Detector
from pixelplay.errors import PixelPlayError
from pixelplay.files import read_json
from pixelplay.lock import locked
from pixelplay.paths import RunPaths
from pixelplay.update import ROOM, Wanted, replace, report, update


def run(args: argparse.Namespace) -> int:
    """Update a detector with footage and print the changes; returns 0."""
    print(report(learn(args.detector, args.output, Wanted(args.videos.resolve().name, args.videos))))
    return 0


def run_feedback(args: argparse.Namespace) -> int:
    """Update a detector with the clip of an event and print the changes; returns 0."""
    name, clip = described(args.event)
    print(report(learn(args.detector, args.output, Wanted(name, clip, line=ROOM, held_out=False, repair=False))))
    print("a watch that is running uses it once it is started again")
    return 0


def described(path: Path) -> tuple[str, Path]:
    """Id and clip of an event. Raises PixelPlayError if the event is not finished or has no clip."""
    about = path.with_suffix(".json")
    event = read_json(about) if about.is_file() else None
    if not isinstance(event, dict) or not isinstance(event.get("id"), str) or event.get("type") != "end":
        raise PixelPlayError(f"{about} describes no event that is over", expected="CAMERA/clips/ID.json as pixelplay "
                             "watch wrote it at the event's end")
    clip = path.with_suffix(".mp4")
    if not clip.is_file():
        raise PixelPlayError(f"{clip} is missing", expected="the event's clip beside its description")
    return event["id"], clip


def learn(place: Path, output: Path | None, wanted: Wanted) -> dict[str, Any]:
    """Update a detector in place, or write the new one to `output`; returns the record of the update.

    Raises:
        PixelPlayError: there is no detector, it belongs to a run, the output folder has other content, the footage
            cannot be learnt, or the event would still raise an alarm. The old detector is then unchanged.
    """
    detector = Detector.find(place)
    target = (output or detector.folder).absolute()
    if output is None and RunPaths(detector.folder.absolute().parent).manifest.exists():
        raise PixelPlayError(f"{detector.folder} belongs to a run, whose scores were made with it",
                             expected="--output DIR for the new detector")
    if target.exists() and any(target.iterdir()) and not (target / ABOUT).exists():
        raise PixelPlayError(f"{target} is there and is no detector", expected="a new folder, or a detector to replace")
    # not the folder of an unfinished fit (.work): it may contain hours of training
    work = target.with_name(f"{target.name}.update")
    with locked(work):
        try:
            _clear(work)
            new, entry = update(detector, wanted, work)
            line = new.threshold(live=True).high
            if not wanted.held_out and entry["highest"][1] >= line:
                raise PixelPlayError(f"{wanted.name} would still raise an alarm: its highest score would be "
                                     f"{entry['highest'][1]:.2f}, the line is at {line:.2f}", hint="fit a detector "
                                     "anew, with the clip among the normal videos")
            replace(new, target)
        finally:
            _clear(work)
    return entry


def _clear(work: Path) -> None:
    """Remove everything but the lock."""
    for path in filter(Path.is_dir, work.iterdir()):
        shutil.rmtree(path)
