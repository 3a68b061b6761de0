"""`pixelplay cameras`: many fixed cameras, each learnt by itself, several side by side; one page and one submission.

Reads a table `video,camera,split` (paths relative to the table; split is train or test), or a dataset whose video names
begin with the number of their camera, as ShanghaiTech's do (`01_0014`). Writes, in the output folder, a run of its own
for every camera (with its detector and report), `submission.csv` over all test videos, and `index.html`.
"""

from __future__ import annotations

import argparse
import dataclasses
import html
import logging
import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from pixelplay import engine, run_command
from pixelplay.data.layouts import find_dataset
from pixelplay.data.manifest import SPLITS
from pixelplay.environment import default_output
from pixelplay.errors import PixelPlayError
from pixelplay.files import write_text
from pixelplay.fusion.scores import read_table, write_table
from pixelplay.pipeline import Options, Run
from pixelplay.tables import text_table

log = logging.getLogger(__name__)

COLUMNS = ("video", "camera", "split")
NUMBERED = re.compile(r"(\d+)_\d+")
"""Names of ShanghaiTech's videos: camera, then video."""


class Camera(NamedTuple):
    """What became of one camera: its name, its run's folder, and why it failed ('' where it did not)."""

    name: str
    folder: Path
    reason: str


def run(args: argparse.Namespace) -> int:
    """Run every camera, then write what is over all of them."""
    output = Path(args.output or default_output())
    table = read_videos(args.videos)
    options = run_command.read_options(args)
    engine.use(engine.Engine(options.engine, options.address, options.workers))
    # a camera is one task, and what it does video by video it does itself
    options = dataclasses.replace(options, engine="loky", address=None, workers=1)
    jobs = [dataclasses.replace(options, output=output / name, **link_videos(part, output / name / "videos"))
            for name, part in table.groupby("camera", sort=True)]
    cameras = engine.map_videos(run_camera, jobs, what="cameras")
    done = [camera for camera in cameras if not camera.reason]
    if done:
        merge(done, output)
    write_text(output / "index.html", index_page(cameras, output))
    print("\n".join(text_table(["camera", "run"], [[c.name, str(c.folder)] for c in cameras],
                               notes=[c.reason and f"FAILED: {c.reason}" for c in cameras])))
    print(output / "index.html")
    return 0 if len(done) == len(cameras) else run_command.UNFINISHED


def read_videos(path: Path) -> pd.DataFrame:
    """The videos of all cameras: a row each, with `COLUMNS`; paths are absolute.

    Raises:
        PixelPlayError: another table, a video that is not there, or a camera without training or test videos.
    """
    table = _of_dataset(path) if path.is_dir() else _of_table(path)
    for name, part in table.groupby("camera"):
        if set(part["split"]) != set(SPLITS):
            raise PixelPlayError(f"{path}: camera {name} has no {(set(SPLITS) - set(part['split'])).pop()} videos",
                                 expected="training and test videos of every camera")
    twice = [name for name, count in Counter((s, Path(v).stem) for s, v in zip(table["split"], table["video"])).items()
             if count > 1]
    if twice:
        raise PixelPlayError(f"{path}: two {twice[0][0]} videos are called {twice[0][1]}",
                             expected="another name for every video", hint="Ids are made of names: rename one")
    return table


def _of_table(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as cause:
        raise PixelPlayError(f"{path} cannot be read as a table: {cause}",
                             expected="CSV: " + ",".join(COLUMNS)) from cause
    if not set(COLUMNS) <= set(table.columns) or not len(table):
        raise PixelPlayError(f"{path} has the columns {', '.join(table.columns)} and {len(table)} rows",
                             expected=", ".join(COLUMNS) + ", and a row a video")
    table["video"] = [str((path.parent / video).resolve()) for video in table["video"]]
    for row in table.itertuples():
        named = re.fullmatch(r"[\w.-]*\w[\w.-]*", row.camera)
        if row.split not in SPLITS or not named or not Path(row.video).exists():
            raise PixelPlayError(f"{path}, line {row.Index + 2}: {row.video}, camera '{row.camera}', split "
                                 f"'{row.split}'",
                                 expected="a video that is there, a camera's name of letters and digits, train or test")
    return table


def _of_dataset(folder: Path) -> pd.DataFrame:
    manifest, rows = find_dataset(folder.resolve()), []
    for split in manifest.splits():
        own = manifest.split(split)
        for name, path in own.groupby("video", sort=False)["path"].first().items():
            place = manifest.roots[split] / path
            place = place if (own["path"] == path).sum() > 1 else place.parent
            found = NUMBERED.fullmatch(place.stem)
            if not found:
                raise PixelPlayError(f"the name of {split} video {name} does not begin with its camera",
                                     expected="names like 01_0014, as in ShanghaiTech",
                                     hint="name the cameras in a table " + ",".join(COLUMNS))
            rows.append((str(place), found[1], split))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def link_videos(table: pd.DataFrame, folder: Path) -> dict[str, Path]:
    """Links to the videos of one camera, a folder a split; returns split -> folder."""
    for row in table.itertuples():
        link = folder / row.split / Path(row.video).name
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(row.video)
    return {split: folder / split for split in SPLITS}


def run_camera(options: Options) -> Camera:
    """Learn one camera and score it; a failure is contained."""
    job = Run(options)
    name = options.output.name
    try:
        done = job.all()
    except PixelPlayError as mistake:
        log.error("camera %s: %s", name, mistake)
        return Camera(name, job.output, mistake.problem)
    return Camera(name, job.output, "; ".join(done["failed"].values()))


def merge(cameras: list[Camera], output: Path) -> Path:
    """One submission over the test videos of all cameras."""
    tables = [read_table(camera.folder / "submission.csv") for camera in cameras]
    write_table(output / "submission.csv", np.concatenate([ids for ids, _ in tables]),
                np.concatenate([values for _, values in tables]))
    return output / "submission.csv"


def index_page(cameras: list[Camera], output: Path) -> str:
    """HTML: a line a camera, with its events and the way to its report."""
    rows = []
    for camera in cameras:
        events = camera.folder / "report" / "events.csv"
        found = "" if camera.reason or not events.exists() else f"{len(pd.read_csv(events))} events"
        link = (camera.folder / "report" / "index.html").relative_to(output).as_posix()
        last = html.escape(f"failed: {camera.reason}") if camera.reason else f'<a href="{link}">report</a>'
        rows.append(f"<tr><td>{html.escape(camera.name)}</td><td>{found}</td><td>{last}</td></tr>")
    return ("<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
            "<title>Cameras</title><style>body{font:16px system-ui;margin:2rem;color-scheme:light dark}"
            "td{padding:.3rem 1.5rem .3rem 0}</style><h1>Cameras</h1><table>" + "".join(rows) + "</table></html>\n")
