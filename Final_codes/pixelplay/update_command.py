"""`pixelplay update` and `pixelplay feedback`: a detector learns normal footage that it was not fitted on.

The new detector takes the old one's place when it is finished, in one step. What was learnt is kept in its
detector.json.
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
    """Learn more footage and print what changed; returns 0."""
    print(report(learn(args.detector, args.output, Wanted(args.videos.resolve().name, args.videos))))
    return 0


def run_feedback(args: argparse.Namespace) -> int:
    """Learn an event's clip and print what changed; returns 0."""
    name, clip = described(args.event)
    print(report(learn(args.detector, args.output, Wanted(name, clip, line=ROOM, held_out=False, repair=False))))
    print("a watch that is running uses it once it is started again")
    return 0


def described(path: Path) -> tuple[str, Path]:
    """An event's id and its clip. Raises PixelPlayError where it is no event that is over, or has no clip."""
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
    """Put the new detector into the old one's place, or into `output`; what changed.

    Raises:
        PixelPlayError: no detector, one that belongs to a run, another thing in the way, footage that cannot be
            learnt, or an event that would still raise an alarm. The old detector is as it was.
    """
    detector = Detector.find(place)
    target = (output or detector.folder).absolute()
    if output is None and RunPaths(detector.folder.absolute().parent).manifest.exists():
        raise PixelPlayError(f"{detector.folder} belongs to a run, whose scores were made with it",
                             expected="--output DIR for the new detector")
    if target.exists() and any(target.iterdir()) and not (target / ABOUT).exists():
        raise PixelPlayError(f"{target} is there and is no detector", expected="a new folder, or a detector to replace")
    # not that of an unfinished fit, whose networks are worth hours
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
    """Remove everything but the lock; an interrupted update leaves nothing of use."""
    for path in filter(Path.is_dir, work.iterdir()):
        shutil.rmtree(path)
