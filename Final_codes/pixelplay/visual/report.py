"""The report: one self-contained folder a run, opened from disk.

Reads a run's output folder; writes `report/index.html` with its pictures and annotated videos beside it. What the run
has no material for (labels, maps, actors, frames) is left out and said so. Videos are rendered again only where their
scores, frames or threshold changed.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from tqdm.auto import tqdm

from pixelplay.config import config_hash
from pixelplay.data.footage import Footage
from pixelplay.environment import installed
from pixelplay.files import read_json, write_json, write_text
from pixelplay.version import VERSION
from pixelplay.visual import overlays, plots, style
from pixelplay.visual.actors import crop
from pixelplay.visual.annotate import Strip, annotate_video, draw_frame
from pixelplay.visual.events import Event
from pixelplay.visual.people import People
from pixelplay.visual.report_page import Card, Page, render
from pixelplay.visual.report_tables import config_sections, lead_and_tiles, metric_tables, quality_tables
from pixelplay.visual.run_folder import RunFolder

log = logging.getLogger(__name__)

CARDS = 24
VIDEO_FRAMES = 16_000
"""Frames rendered as annotated video, loudest videos first; the others are one `watch-file` away."""


def write_report(output_folder: Path | str, *, footage: dict[str, Footage] | None = None, cards: int = CARDS,
                 video_frames: int = VIDEO_FRAMES, folder: Path | None = None) -> Path:
    """Write the report of a run.

    Args:
        output_folder: what `run_all.py --output` wrote.
        footage: split -> Footage to use instead of the cache of stage 1.
        cards: events that get a card with pictures.
        video_frames: most frames to render as annotated video.
        folder: where it goes; `report` in the output folder when None.
    Returns:
        path of index.html.
    Raises:
        PixelPlayError: no run in the folder, or one whose files are broken.
    """
    run = RunFolder(output_folder, footage=footage)
    folder = folder or run.folder / "report"
    heat, people = overlays.heat_function(run), run.people
    notes = _notes(run, heat is not None, people is not None)
    posters, videos = _videos(run, folder, heat, people, video_frames, notes)
    lead, tiles = lead_and_tiles(run)
    sheet, sheet_words = _sheet(run, folder)
    cards_of = (run.events or run.moments)[:cards]
    page = Page(title="Pixel Play report", lead=lead, fps=run.fps, tracks=run.tracks, events=run.events,
                cards=_cards(run, folder, cards_of, heat, people), threshold=run.threshold, tiles=tiles,
                videos=videos, posters=posters, tables=metric_tables(run), quality=quality_tables(run), sheet=sheet,
                sheet_words=sheet_words, config=config_sections(run), notes=notes)
    write_text(folder / "index.html", render(page))
    return folder / "index.html"


def slug(name: str) -> str:
    """A file name that every system and browser takes, still recognisable; different names stay different."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")
    return plain if plain == name else f"{plain or 'video'}-{config_hash(name)[:6]}"


def _notes(run: RunFolder, has_heat: bool, has_actors: bool) -> list[str]:
    notes = []
    if not run.members:
        notes.append("scores: no model has scored the test frames yet")
    if run.labels is None:
        notes.append("metrics and shaded truth: no labels are known for these videos")
    if not has_heat:
        notes.append("heat maps: no model of this run keeps error maps")
    if not has_actors:
        notes.append("boxes: the local memory has not scored these videos")
    if not run.receipt:
        notes.append("the run's receipt (run.json)")
    return notes


def _videos(run: RunFolder, folder: Path, heat: Any, people: People | None, budget: int,
            notes: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Render the loudest videos first, as far as the budget goes; (posters, videos) by name."""
    posters, videos, left_out = {}, {}, []
    if not installed("av"):
        notes.append("annotated videos: writing them needs PyAV (pip install av)")
        return posters, videos
    loudest = sorted(range(len(run.tracks)), key=lambda i: -float(run.tracks[i].final.max()))
    rows_of = [rows for _, rows in run.videos()]
    chosen = []
    for i in loudest:
        length = rows_of[i].stop - rows_of[i].start
        if length <= budget:
            budget -= length
            chosen.append(i)
        else:
            left_out.append(run.tracks[i].video)
    for i in tqdm(sorted(chosen), desc="annotated videos", unit="video", disable=not chosen):
        name, rows = run.tracks[i].video, rows_of[i]
        path = folder / "videos" / f"{slug(name)}.mp4"
        render_video(run, name, rows, path, heat, people)
        videos[name] = "videos/" + quote(path.name)
        posters[name] = "videos/" + quote(path.with_suffix(".jpg").name)
    if left_out:
        notes.append(f"annotated video of {', '.join(left_out)} (the others come first; make one with: "
                     "pixelplay watch-file VIDEO --scores OUTPUT_FOLDER --output out.mp4)")
    return posters, videos


def render_video(run: RunFolder, name: str, rows: slice, path: Path, heat: Any = None,
                 people: People | None = None, *, side_files: bool = True, quality: int = 26) -> Path:
    """Annotate one test video of a run into `path` (.mp4).

    With `side_files`, a poster (.jpg) and a key (.json) are kept beside it, and what is there already stays. `quality`
    is x264's constant rate factor; lower is better and larger.
    """
    track = next(t for t in run.tracks if t.video == name)
    events = [e for e in run.events if e.video == name]
    footage = run.footage("test")
    boxes = [people.boxes(r) for r in range(rows.start, rows.stop)] if people else []
    key = config_hash(VERSION, footage.fingerprint, track.final.round(6).tolist(), run.threshold, events,
                      [m for m in run.members if run.maps(m) is not None], str(boxes), track.labels is not None)
    mark = path.with_suffix(".json")
    if side_files and path.exists() and mark.exists() and read_json(mark) == key:
        return path
    positions = np.arange(rows.start, rows.stop)
    peak = int(np.argmax(track.final))
    # the poster comes from the same pass: a second one would decode the video twice
    strip = Strip(footage.full_size[1], footage.full_size[0], track.frames, track.final, run.threshold, events)

    def frames():
        for i, (_, frame) in enumerate(footage.full_frames(positions)):
            if side_files and i == peak:
                drawn = draw_frame(frame, i, strip, run.fps, boxes[i] if boxes else (),
                                   heat(rows.start + i) if heat else None)
                style.save_picture(drawn, path.with_suffix(".jpg"), width=704)
            yield frame

    annotate_video(frames(), track.final, path, fps=run.fps, numbers=track.frames, threshold=run.threshold,
                   boxes=(lambda i: boxes[i]) if boxes else None,
                   heat=(lambda i: heat(rows.start + i)) if heat else None, events=events, labels=track.labels,
                   quality=quality)
    if side_files:
        write_json(mark, key)
    return path


def _cards(run: RunFolder, folder: Path, events: Sequence[Event], heat: Any,
           people: People | None) -> list[Card]:
    """Cards with a thumbnail, what was scored and its nearest normal example."""
    if not events:
        return []
    order = sorted(range(len(events)), key=lambda i: events[i].peak_row)
    cards: dict[int, Card] = {}
    for i, (_, frame) in zip(order, run.footage("test").full_frames([events[i].peak_row for i in order])):
        event, stem = events[i], f"event-{i + 1:02d}"
        boxes = people.boxes(event.peak_row) if people else []
        drawn = draw_frame(frame, 0, None, run.fps, boxes, heat(event.peak_row) if heat else None)
        style.save_picture(drawn, folder / "events" / f"{stem}.jpg", width=480)
        loudest = max(range(len(boxes)), key=lambda b: boxes[b].score) if boxes else None
        near = run.nearest_normal(event.peak_row, loudest) if loudest is not None else None
        if near is None:
            cards[i] = Card(event, f"events/{stem}.jpg", "", "", "")
            continue
        style.save_picture(crop(frame, boxes[loudest].xyxy), folder / "events" / f"{stem}-crop.jpg", width=240)
        style.save_picture(near[0], folder / "events" / f"{stem}-normal.jpg", width=240)
        cards[i] = Card(event, f"events/{stem}.jpg", f"events/{stem}-crop.jpg", f"events/{stem}-normal.jpg",
                        f"the training actor most like it, {near[1]}")
    return [cards[i] for i in range(len(events))]


def _sheet(run: RunFolder, folder: Path) -> tuple[str, str]:
    """The before/after contact sheet; ('', '') where no frame was repaired."""
    figure = plots.repairs(run)
    if figure is None:
        return "", ""
    style.save_figure(figure, folder / "repairs.jpg")
    return "repairs.jpg", "Repaired test frames: above as they came, below as the models saw them"
