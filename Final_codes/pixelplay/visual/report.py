"""The report: one self-contained folder per run, opened from disk or from a web server.

Reads a run's output folder; writes `report/index.html` with `events.csv`, `events.json` and the annotated videos beside
it. Sections without data (labels, maps, actors, frames) are omitted with a note. Videos are rendered again only if
their scores, frames or threshold changed.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from urllib.parse import quote

import numpy as np

from pixelplay.config import config_hash
from pixelplay.data.footage import Footage
from pixelplay.environment import installed
from pixelplay.files import write_text
from pixelplay.progress import tqdm
from pixelplay.visual import overlays, plots, style
from pixelplay.visual.event_files import event_rows, write_events_csv, write_events_json
from pixelplay.visual.report_cards import make_cards
from pixelplay.visual.report_page import Page, Picture, render
from pixelplay.visual.report_tables import TERMS, config_sections, metric_tables, quality_tables
from pixelplay.visual.run_folder import RunFolder
from pixelplay.visual.run_video import render_video
from pixelplay.visual.showcase import Heat
from pixelplay.visual.verdict import judge

log = logging.getLogger(__name__)

CARDS = 24
VIDEO_FRAMES = 16_000
"""Frames rendered as annotated video, highest-scoring videos first; `watch-file` renders the others."""


def write_report(output_folder: Path | str, *, footage: dict[str, Footage] | None = None,
                 video_frames: int = VIDEO_FRAMES, folder: Path | None = None) -> Path:
    """Write the report of a run.

    Args:
        output_folder: the folder of `pixelplay run --output`.
        footage: split -> Footage to use instead of the cache of stage 1.
        video_frames: largest number of frames rendered as annotated video.
        folder: target; None = `report` in the output folder.
    Returns:
        Path of index.html.
    Raises:
        PixelPlayError: no run in the folder, or damaged files.
    """
    run = RunFolder(output_folder, footage=footage)
    folder = folder or run.folder / "report"
    heat, verdict, notes = overlays.heat_function(run), judge(run), _notes(run)
    videos = _videos(run, folder, heat, video_frames, notes)
    rows = event_rows(run.events, {t.video: int(t.frames[0]) for t in run.tracks}, run.fps, verdict)
    threshold = run.threshold if run.final is not None else None
    page = Page(title="Pixel Play report", key=f"pixelplay {run.manifest.fingerprint}", verdict=verdict, fps=run.fps,
                tracks=run.tracks, events=run.events, cards=make_cards(run, verdict, heat, CARDS),
                threshold=threshold, videos=videos, tables=metric_tables(run), terms=TERMS,
                quality=quality_tables(run), sheet=_sheet(run, folder), config=config_sections(run), notes=notes)
    write_events_csv(rows, folder / "events.csv")
    write_events_json(rows, verdict, threshold, folder / "events.json")
    write_text(folder / "index.html", render(page))
    return folder / "index.html"


def slug(name: str) -> str:
    """A recognisable file name that is valid on every system; different names stay different."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")
    return plain if plain == name else f"{plain or 'video'}-{config_hash(name)[:6]}"


def _notes(run: RunFolder) -> list[str]:
    notes = []
    if not run.members:
        notes.append("scores: no model has scored the test frames yet")
    if run.labels is None:
        notes.append("found, missed and metrics: no labels are known for these videos")
    if overlays.heat_function(run) is None:
        notes.append("heat maps: no model of this run keeps error maps")
    if run.people is None:
        notes.append("boxes: the local memory has not scored these videos")
    if not run.receipt:
        notes.append("the run's receipt (run.json)")
    return notes


def _videos(run: RunFolder, folder: Path, heat: Heat | None, budget: int, notes: list[str]) -> dict[str, str]:
    """Render videos, highest-scoring first, within the budget of frames; name -> relative path."""
    videos, left_out, chosen = {}, [], []
    if not installed("av"):
        notes.append("annotated videos: writing them needs PyAV (pip install av)")
        return videos
    rows_of = [rows for _, rows in run.videos()]
    for i in sorted(range(len(run.tracks)), key=lambda i: -float(run.tracks[i].final.max())):
        length = rows_of[i].stop - rows_of[i].start
        if length <= budget:
            budget -= length
            chosen.append(i)
        else:
            left_out.append(run.tracks[i].video)
    for i in tqdm(sorted(chosen), desc="annotated videos", unit="video", disable=not chosen):
        name = run.tracks[i].video
        path = folder / "videos" / f"{slug(name)}.mp4"
        # without strip: the page draws the curve below the video
        render_video(run, name, rows_of[i], path, heat, run.people, strip=False, keep=True)
        videos[name] = "videos/" + quote(path.name)
    if left_out:
        notes.append(f"annotated video of {', '.join(left_out)} (the others come first; make one with: "
                     "pixelplay watch-file VIDEO --scores OUTPUT_FOLDER --output out.mp4)")
    return videos


def _sheet(run: RunFolder, folder: Path) -> Picture | None:
    """The before/after contact sheet; None if no frame was repaired."""
    figure = plots.repairs(run)
    if figure is None:
        return None
    style.save_figure(figure, folder / "repairs.jpg")
    size = tuple(int(v) for v in np.round(figure.get_size_inches() * figure.dpi))
    return Picture("repairs.jpg", "Repaired test frames: above as recorded, below as the models saw them", size)
