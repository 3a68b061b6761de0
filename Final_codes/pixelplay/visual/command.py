"""`pixelplay watch-file`: the annotated video of one test video of a finished run.

Reads a run's output folder (scores, error maps, actors, and the repaired frames of stage 1); writes an MP4 and a CSV of
its events.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from pixelplay.data.ids import video_name
from pixelplay.data.reading import is_video
from pixelplay.errors import PixelPlayError
from pixelplay.paths import EXTRACTION, RunPaths
from pixelplay.visual import overlays
from pixelplay.visual.event_files import event_rows, write_events_csv
from pixelplay.visual.run_folder import RunFolder
from pixelplay.visual.run_video import render_video

log = logging.getLogger(__name__)


def run(args: argparse.Namespace) -> int:
    """Write the video and list its events. Returns the exit status; raises PixelPlayError for invalid input."""
    if args.output.suffix.lower() != ".mp4":
        raise PixelPlayError(f"--output {args.output} is not an .mp4", expected="a name that ends in .mp4")
    folder = run_folder_of(args.scores)
    finished = RunFolder(folder)
    if not finished.members:
        raise PixelPlayError(f"{folder}/scores holds no score files", hint="run the models first: run_all.py --output "
                             f"{folder}")
    name, rows = find_video(finished, args.video)
    path = render_video(finished, name, rows, args.output, overlays.heat_function(finished), finished.people,
                        repaired=args.repaired, quality=20)
    events = sorted((e for e in finished.events if e.video == name), key=lambda e: e.first_frame)
    first = {name: int(finished.test["frame"].iloc[rows.start])}
    listing = write_events_csv(event_rows(events, first, finished.fps), path.with_suffix(".events.csv"))
    log.info("video %s: %d frames, %d events", name, rows.stop - rows.start, len(events))
    for event in events:
        log.info("  frames %d to %d, peak %.2f at %d: %s", event.first_frame, event.last_frame, event.peak_score,
                 event.peak_frame, event.reason)
    log.info("%s\n%s", path, listing)
    return 0


def run_folder_of(place: Path) -> Path:
    """The run's output folder, from itself, its scores folder or a score file. Raises PixelPlayError otherwise."""
    run = RunPaths.around(place)
    if run is not None:
        return run.root
    raise PixelPlayError(f"{place} belongs to no finished run",
                         expected=f"a folder that holds {EXTRACTION}/manifest.csv and scores/",
                         hint="name the folder given to run_all.py as --output")


def find_video(finished: RunFolder, wanted: Path) -> tuple[str, slice]:
    """Name and test rows of the video with a path or a name.

    A path is matched by the files that the run read or, if it has moved, by name.

    Raises:
        PixelPlayError: unknown to the run, a training video, or its frames are missing.
    """
    videos = dict(finished.videos())
    by_path = {split: _sources(finished, split) for split in ("test", "train")}
    place = wanted.resolve() if wanted.exists() else None
    name = by_path["test"].get(place) if place else None
    if name is None and place in by_path["train"]:
        raise PixelPlayError(f"{wanted} is a training video of this run: it has no test scores",
                             expected="one of the test videos: " + ", ".join(list(videos)[:12]))
    if name is None:
        name = next((n for n in (wanted.name, video_name(wanted.name), video_name(wanted.stem)) if n in videos), None)
    if name is None:
        raise PixelPlayError(f"{wanted} was not scored by the run in {finished.folder}",
                             expected="one of " + ", ".join(list(videos)[:12]) + (" ..." if len(videos) > 12 else ""),
                             hint="score it first: run_all.py --train NORMAL_VIDEOS --test FOLDER_WITH_IT --output "
                             "OUTPUT, then give --scores OUTPUT")
    first = finished.manifest.roots["test"] / finished.test["path"].iloc[videos[name].start]
    if not first.exists():
        raise PixelPlayError(f"the frames of video {name} are missing: {first}",
                             hint="restore the data at that path, or run again on the new one")
    return name, videos[name]


def _sources(finished: RunFolder, split: str) -> dict[Path, str]:
    """Resolved video file or folder of frames -> video name."""
    root, out = finished.manifest.roots.get(split), {}
    if root is None:
        return out
    for name, rows in finished.manifest.split(split).groupby("video", sort=False):
        path = (root / rows["path"].iloc[0]).resolve()
        out[path if is_video(path.name) else path.parent] = str(name)
    return out

