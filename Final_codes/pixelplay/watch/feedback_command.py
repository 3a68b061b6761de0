"""`pixelplay feedback`: tell a detector that an event was normal.

Reads the event's description and clip as `watch` left them; scores the clip with the detector and puts what stood out
in it into the bundle (see `accepted`). Nothing is trained.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import numpy as np

from pixelplay.data.decoding import probe, video_frames
from pixelplay.detector import Detector
from pixelplay.errors import PixelPlayError
from pixelplay.files import read_json
from pixelplay.watch.accepted import Event, accept
from pixelplay.watch.scorer import LiveScorer, Scored

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare DETECTOR, EVENT and --normal."""
    parser.add_argument("detector", type=Path, metavar="DETECTOR", help="the bundle that raised the alarm; it is "
                        "changed")
    parser.add_argument("event", type=Path, metavar="EVENT", help="the event's description, clips/ID.json, with its "
                        "clip beside it")
    parser.add_argument("--normal", action="store_true", required=True, help="the event was normal: what is like it "
                        "raises no alarm any more")


def run(args: argparse.Namespace) -> int:
    """Score the clip and change the bundle; returns 0.

    Raises:
        PixelPlayError: no detector, no event, or a clip that shows none of it.
    """
    detector, event = Detector.find(args.detector), described(args.event)
    frames = scored_event(detector, event, args.event.with_suffix(".mp4"))
    made = Event.of(event["id"], frames, detector.norms.fps)
    path = accept(detector, made)
    print(f"{event['id']}: {len(frames)} frames taken into {path}; what looks like them (up to {made.radius:.0f} grey "
          "levels apart) in their places, and scores no higher, raises no alarm any more. "
          "A running watch has to be started again.")
    return 0


def described(path: Path) -> dict:
    """What clips/ID.json says. Raises PixelPlayError where it is no event that is over."""
    wanted = "clips/ID.json of an event that is over, as pixelplay watch wrote it"
    if path.suffix != ".json" or not path.is_file():
        raise PixelPlayError(f"{path} is no description of an event", expected=wanted)
    event = read_json(path)
    absent = [k for k in ("id", "start_s", "end_s", "clip_start_s")
              if not isinstance(event, dict) or event.get(k) is None]
    if absent:
        raise PixelPlayError(f"{path} has no {', '.join(absent)}", expected=wanted)
    return event


def scored_event(detector: Detector, event: dict, clip: Path) -> list[Scored]:
    """The frames of the event in its clip that stand out; all of its frames where the clip's encoder took that away."""
    if not clip.is_file():
        raise PixelPlayError(f"{clip} is missing", expected="the event's clip beside its description")
    scorer, found = LiveScorer(detector, drawn=True), []
    for number, (frame, readable) in enumerate(video_frames(clip, np.arange(probe(clip).frames))):
        if readable:
            found += scorer.push(number, frame)
    found += scorer.finish()
    first, last = ((event[k] - event["clip_start_s"]) * scorer.fps for k in ("start_s", "end_s"))
    inside = [s for s in found if first - 1 <= s.number <= last]
    if not inside:
        raise PixelPlayError(f"{clip} shows nothing of the event: it has {len(found)} frames", hint="the watch was "
                             "killed before they were written; nothing can be learnt from this event")
    return [s for s in inside if s.score >= scorer.threshold.low] or inside
