"""`pixelplay cameras`: fit and score many fixed cameras independently, with one page and one submission.

Reads a table `video,camera,split` (paths relative to the table; split is train or test), or a dataset whose video names
begin with the number of the camera, as in ShanghaiTech (`01_0014`). All cameras are checked before the first is fitted.
Writes one run per camera (with detector and report), `submission.csv` over all test videos, `index.html`, and
`metrics.json` if there are labels. A camera without test videos is only fitted; a failure of one camera does not stop
the others.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import re
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pixelplay import checks, engine, run_command
from pixelplay.checks import Problem
from pixelplay.data.ids import video_name
from pixelplay.data.layouts import find_dataset
from pixelplay.data.manifest import SPLITS
from pixelplay.environment import default_output, usable_gpus
from pixelplay.errors import PixelPlayError
from pixelplay.evaluation.cameras import evaluate_cameras
from pixelplay.evaluation.labels import Labels, read_labels
from pixelplay.evaluation.report import read_scored
from pixelplay.files import remove, write_json, write_text
from pixelplay.fusion.scores import read_table, write_table
from pixelplay.lock import locked
from pixelplay.pipeline import Options, Run
from pixelplay.preflight import Preflight, preflight
from pixelplay.tables import text_table
from pixelplay.visual.cameras_page import Camera, cameras_page, metric_cells

log = logging.getLogger(__name__)

COLUMNS = ("video", "camera", "split")
NUMBERED = re.compile(r"(\d+)_\d+")
"""Video names in ShanghaiTech: camera, then video."""
NAMED = 10
"""Maximum number of errors in a table that are listed."""


def run(args: argparse.Namespace) -> int:
    """Check and run all cameras; write submission, metrics and page over all of them."""
    options = run_command.read_options(args)
    output = Path(args.output or default_output())
    table, beside = read_videos(args.videos)
    labels = options.labels or beside
    with locked(output, wait=args.wait):
        jobs = [job_of(name, part, dataclasses.replace(options, labels=labels), output)
                for name, part in table.groupby("camera", sort=True)]
        test_ids, found = check(jobs, output, labels, download=not args.preflight)
        if not args.force:
            found.require()
        if args.preflight:
            run_command.tell("preflight: no problems found")
            return 0
        # one camera at a time on a GPU, whose memory holds the networks of one
        workers = 1 if usable_gpus() and options.workers is None else options.workers
        engine.use(engine.Engine(options.engine, options.address, workers))
        cameras = engine.map_videos(run_camera, jobs, what="cameras", here=len(jobs) == 1)
        metrics = _finish(cameras, output, labels, test_ids)
    header, cells = metric_cells(cameras, metrics)
    print("\n".join(text_table(["camera", *header, "run"], [
        [c.name, *cells[c.name], str(c.folder)] for c in cameras], notes=[c.words for c in cameras])))
    print(output / "index.html")
    return run_command.UNFINISHED if any(c.reason for c in cameras) else 0


# ---- which videos -------------------------------------------------------------------------------------------------


def read_videos(path: Path) -> tuple[pd.DataFrame, Path | None]:
    """Read the videos of all cameras, and find labels beside them.

    Returns:
        One row per video with `COLUMNS` (absolute paths); the labels of a dataset, or None.
    Raises:
        PixelPlayError: invalid table, missing video, two videos of the same name, or a camera without training videos.
    """
    table, labels = _of_dataset(path) if path.is_dir() else (_of_table(path), None)
    unlearnt = [name for name, part in table.groupby("camera") if "train" not in set(part["split"])]
    if unlearnt:
        raise PixelPlayError(f"{path}: camera {', '.join(unlearnt)} has no train videos",
                             expected="training videos of every camera that has test videos")
    if "test" not in set(table["split"]):
        raise PixelPlayError(f"{path}: no camera has test videos", expected="videos to score",
                             hint="to fit cameras without scoring, use pixelplay fit")
    # canonical names: 01.avi and 1.avi would have the same Ids
    names = Counter((split, video_name(Path(video).stem)) for split, video in zip(table["split"], table["video"]))
    twice = [name for name, count in names.items() if count > 1]
    if twice:
        raise PixelPlayError(f"{path}: two {twice[0][0]} videos are called {twice[0][1]}",
                             expected="a unique name for every video", hint="rename one: Ids contain the names")
    return table, labels


def _of_table(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as cause:
        raise PixelPlayError(f"{path} cannot be read as a table: {cause}",
                             expected="CSV: " + ",".join(COLUMNS)) from cause
    if not set(COLUMNS) <= set(table.columns) or not len(table):
        raise PixelPlayError(f"{path} has the columns {', '.join(table.columns)} and {len(table)} rows",
                             expected=", ".join(COLUMNS) + ", and one row per video")
    table["video"] = [str((path.parent / video).absolute()) for video in table["video"]]
    wrong = []
    for row in table.itertuples():
        named = re.fullmatch(r"[\w.-]*\w[\w.-]*", row.camera)
        if row.split not in SPLITS or not named or not Path(row.video).exists():
            wrong.append(f"line {row.Index + 2}: {row.video}, camera '{row.camera}', split '{row.split}'")
    if wrong:
        rest = [f"and {len(wrong) - NAMED} more"] if len(wrong) > NAMED else []
        raise PixelPlayError(f"{path}: " + "\n  ".join([*wrong[:NAMED], *rest]),
                             expected="an existing video, a camera name of letters and digits, and train or test")
    return table


def _of_dataset(folder: Path) -> tuple[pd.DataFrame, Path | None]:
    manifest, rows = find_dataset(folder.resolve()), []
    for split in manifest.splits():
        rows_of_split = manifest.split(split)
        for name, path in rows_of_split.groupby("video", sort=False)["path"].first().items():
            place = manifest.roots[split] / path
            place = place if (rows_of_split["path"] == path).sum() > 1 else place.parent
            found = NUMBERED.fullmatch(place.stem)
            if not found:
                raise PixelPlayError(f"the name of {split} video {name} does not begin with its camera",
                                     expected="names like 01_0014, as in ShanghaiTech",
                                     hint="name the cameras in a table " + ",".join(COLUMNS))
            rows.append((str(place), found[1], split))
    return pd.DataFrame(rows, columns=list(COLUMNS)), manifest.labels


# ---- one camera ---------------------------------------------------------------------------------------------------


def job_of(name: str, videos: pd.DataFrame, options: Options, output: Path) -> Options:
    """Options of the run of one camera; links its videos into its folder."""
    folders = link_videos(videos, output / name / "videos")
    # a camera is one task of the engine, and works on its videos in one process
    return dataclasses.replace(options, output=output / name, verb="run" if "test" in folders else "fit",
                               engine="loky", address=None, workers=1, **folders)


def link_videos(table: pd.DataFrame, folder: Path) -> dict[str, Path]:
    """Link the videos of one camera, one folder per split; removes old links. Returns split -> folder."""
    wanted = {folder / row.split / Path(row.video).name: Path(row.video) for row in table.itertuples()}
    for link in folder.glob("*/*"):
        if link.is_symlink() and (link not in wanted or link.readlink() != wanted[link]):
            link.unlink()
    for link, video in wanted.items():
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(video)
    return {split: folder / split for split in SPLITS if (table["split"] == split).any()}


def run_camera(options: Options) -> Camera:
    """Fit and score one camera; failures are recorded in the result."""
    name, folder, scores = options.output.name, options.output, options.verb == "run"
    try:
        job = Run(options)
        folder = job.output
        failed = job.all()["failed"]
    except PixelPlayError as error:
        log.error("camera %s: %s", name, error)
        return Camera(name, folder, scored=False, reason=error.problem)
    except Exception as bug:  # noqa: BLE001  a bug in one camera must not stop the others
        path = folder / "logs" / "camera.txt"
        write_text(path, traceback.format_exc())
        log.error("camera %s failed, see %s: %s: %s", name, path, type(bug).__name__, bug)
        return Camera(name, folder, scored=False, reason=f"{type(bug).__name__}: {bug} (see {path})")
    return Camera(name, folder, scored=scores, reason="; ".join(f"{model}: {why}" for model, why in failed.items()))


# ---- all cameras --------------------------------------------------------------------------------------------------


def check(jobs: Sequence[Options], output: Path, labels: Path | None, *, download: bool
          ) -> tuple[list[str], Preflight]:
    """Check all cameras before the first is fitted.

    Lists the videos of every camera and checks that labels cover all test frames. Settings, packages, weights and
    hardware are common, so only the first camera gets a trial (see `preflight`).

    Returns:
        The Ids of all test frames, and all problems found.
    """
    problems, ids = list(checks.unwritable(output)), []
    for job in jobs:
        try:
            manifest = Run(job).find_data()
            ids += manifest.split("test")["Id"].tolist()
        except PixelPlayError as error:
            problems.append(Problem(f"camera {job.output.name}: {error.problem}", error.hint))
    if labels is not None:
        try:
            read_named(labels).align(ids, ids, partial=True)
        except PixelPlayError as error:
            problems.append(Problem(error.problem, error.hint))
    if not problems:
        problems += preflight(Run(jobs[0]), download=download).problems
    return ids, Preflight(tuple(problems), {}, {})


def read_named(path: Path) -> Labels:
    """Read labels with video names. Raises PixelPlayError for labels that only have an order."""
    labels = read_labels(path)
    if labels.ordered:
        raise PixelPlayError(f"{path} has labels in the order of videos, without their names",
                             expected="labels with video names", hint="write them as a CSV Id,label")
    return labels


def _finish(cameras: Sequence[Camera], output: Path, labels: Path | None, test_ids: Sequence[str]) -> dict:
    """Write submission, metrics and page over all cameras; returns the metrics, {} without labels."""
    for old in ("submission.csv", "metrics.json"):
        remove(output / old)
    scored, metrics = [camera for camera in cameras if camera.scored], {}
    if scored:
        tables = [read_table(camera.folder / "submission.csv") for camera in scored]
        write_table(output / "submission.csv", np.concatenate([ids for ids, _ in tables]),
                    np.concatenate([values for _, values in tables]))
    if scored and labels is not None:
        metrics = evaluate_cameras({c.name: read_scored(c.folder / "submission.csv") for c in scored},
                                   read_named(labels), test_ids)
        write_json(output / "metrics.json", metrics)
    write_text(output / "index.html", cameras_page(cameras, output, metrics))
    return metrics
