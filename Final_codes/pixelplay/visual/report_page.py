"""HTML page of the report.

Reads `Page` (arrays, texts, pictures as data URIs, relative paths of videos) and the template in `assets`; makes one
HTML document. Style, script, data and pictures are embedded, so it opens from disk, from any web server, or on its own;
the videos are separate files. The template escapes every value.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from pixelplay.fusion.events import Event, Threshold
from pixelplay.registry import model_title
from pixelplay.visual import style
from pixelplay.visual.timeline import Track
from pixelplay.visual.timeline_svg import HEIGHT, PLOT, ticks, timeline_svg
from pixelplay.visual.verdict import Verdict, clock, count, seconds_of


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of texts: every row is as long as `header`; rows in `strong` are bold."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    strong: Sequence[int] = ()


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture: `address` (a data URI or a relative path), alternative text, and (W, H) in pixels."""

    address: str
    words: str
    size: tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Card:
    """One item of the list of events.

    Attributes:
        key: 'event-3'; its anchor on the page, and the key of the user's marks.
        kind: 'event', 'found', 'false alarm', 'missed' or 'moment' (the highest frame of a video without events).
        name: 'Event 3'.
        peak_score: score as shown; reason: in words; detail: agreement with the labels, in words.
        models: title -> calibrated score at the peak, highest first.
        picture: the place; actor: the scored crop; nearest: its nearest training crop; None if unknown.
    """

    key: str
    kind: str
    name: str
    video: str
    first_frame: int
    last_frame: int
    peak_frame: int
    peak_score: float
    reason: str = ""
    detail: str = ""
    models: Mapping[str, float] = dataclasses.field(default_factory=dict)
    picture: Picture | None = None
    actor: Picture | None = None
    nearest: Picture | None = None


@dataclasses.dataclass(frozen=True)
class Page:
    """Content of the report.

    Attributes:
        key: key of the user's marks for this run.
        tracks: one per test video; events: all; cards: as listed, highest first, missed anomalies last.
        videos: video name -> relative path of its annotated video.
        tables: metrics, with `terms`, name -> explanation; quality: shown under 'Frames', with `sheet`.
        config: section name -> {setting: value}.
        notes: what the run has no data for, in words.
    """

    title: str
    key: str
    verdict: Verdict
    fps: float
    tracks: Sequence[Track]
    events: Sequence[Event]
    cards: Sequence[Card]
    threshold: Threshold | None
    videos: Mapping[str, str] = dataclasses.field(default_factory=dict)
    tables: Sequence[Table] = ()
    terms: Mapping[str, str] = dataclasses.field(default_factory=dict)
    quality: Sequence[Table] = ()
    sheet: Picture | None = None
    config: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    notes: Sequence[str] = ()


def render(page: Page) -> str:
    """The whole HTML document."""
    every = [np.asarray(v, dtype=np.float64) for t in page.tracks for v in (t.final, *t.models.values()) if len(v)]
    lines = [page.threshold.high] if page.threshold is not None and page.events else []
    low = min([0.0, *(float(t.final.min()) for t in page.tracks if len(t.final))])
    high = max([low + 1.0, *(float(t.final.max()) for t in page.tracks if len(t.final)), *lines])
    names = list(dict.fromkeys(n for t in page.tracks for n in t.models))
    kinds = {kind: sum(c.kind == kind for c in page.cards) for kind in ("found", "false alarm", "missed")}
    return _template().render(
        page=page, css=Markup(_asset("report.css")), js=Markup(_asset("report.js")), data=_data(page),  # our own files
        low=low, high=high * 1.04, plot=100 * PLOT / HEIGHT, kinds={k: n for k, n in kinds.items() if n},
        models=[(style.model_colour(n, names), model_title(n)) for n in names] if len(every) > 1 else [],
        labelled=any(t.labels is not None for t in page.tracks),
        timelines={t.video: Markup(timeline_svg(t, low=low, high=high * 1.04, threshold=page.threshold,
                                                events=[e for e in page.events if e.video == t.video]))
                   for t in page.tracks},
        axes={t.video: [(100 * s * t.fps / max(int(t.frames[-1] - t.frames[0]), 1), clock(s))
                        for s in ticks((t.frames[-1] - t.frames[0]) / t.fps)] for t in page.tracks if len(t.frames)},
        start={t.video: t for t in page.tracks})


@functools.cache
def _template() -> jinja2.Template:
    tools = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    tools.globals |= {"clock": clock, "count": count, "seconds_of": seconds_of}
    return tools.from_string(_asset("report.html"))


def _asset(name: str) -> str:
    return (resources.files("pixelplay.visual") / "assets" / name).read_text(encoding="utf-8")


def _data(page: Page) -> dict[str, Any]:
    """Data for the page's script."""
    return {"key": page.key, "fps": page.fps,
            "videos": [{"name": t.video, "first": int(t.frames[0]), "last": int(t.frames[-1]), "runs": _runs(t.frames),
                        "final": [round(float(v), 3) for v in t.final], "src": page.videos.get(t.video, "")}
                       for t in page.tracks],
            "cards": [{"key": c.key, "kind": c.kind, "name": c.name, "video": c.video, "first": c.first_frame,
                       "last": c.last_frame, "peak": c.peak_frame, "score": round(c.peak_score, 4)}
                      for c in page.cards]}


def _runs(frames: np.ndarray) -> list[list[int]]:
    """Frame numbers as runs [first, count]."""
    cuts = np.flatnonzero(np.diff(frames) != 1) + 1
    return [[int(part[0]), len(part)] for part in np.split(np.asarray(frames), cuts)]
