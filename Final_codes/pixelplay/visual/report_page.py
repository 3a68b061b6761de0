"""The report's page: data in, HTML text out.

Reads `Page` (arrays, words and relative paths of pictures that lie in the report folder) and the template beside this
file; makes one HTML document that needs nothing else: style, script and data are inside it, so it opens from disk.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from typing import Any

import numpy as np

from pixelplay.visual import style
from pixelplay.visual.events import Event, Threshold
from pixelplay.visual.timeline import Track
from pixelplay.visual.timeline_svg import timeline_svg


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of words and numbers: `rows` of the same length as `header`; rows in `strong` are set bold."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    strong: Sequence[int] = ()


@dataclasses.dataclass(frozen=True)
class Card:
    """One event with its pictures (paths relative to the page; '' where there is none)."""

    event: Event
    thumbnail: str = ""
    crop: str = ""
    nearest: str = ""
    nearest_words: str = ""


@dataclasses.dataclass(frozen=True)
class Page:
    """Everything the report shows.

    Attributes:
        lead: one sentence with the outcome.
        tiles: (name, value) pairs for the first glance.
        tracks: one a test video; cards: the top events, loudest first; events: all of them.
        videos: video name -> relative path of its annotated video; posters: the same for its still picture.
        tables: shown under 'Summary'; quality: shown under 'Data quality', with `sheet`, the before/after picture.
        config: section name -> {setting: value}.
        notes: what this run has no material for, in words.
    """

    title: str
    lead: str
    fps: float
    tracks: Sequence[Track]
    events: Sequence[Event]
    cards: Sequence[Card]
    threshold: Threshold | None
    tiles: Sequence[tuple[str, str]] = ()
    videos: Mapping[str, str] = dataclasses.field(default_factory=dict)
    posters: Mapping[str, str] = dataclasses.field(default_factory=dict)
    tables: Sequence[Table] = ()
    quality: Sequence[Table] = ()
    sheet: str = ""
    sheet_words: str = ""
    config: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    notes: Sequence[str] = ()


SECTIONS = (("summary", "Summary"), ("events", "Events"), ("videos", "Videos"), ("quality", "Data quality"),
            ("configuration", "Configuration"))


def render(page: Page) -> str:
    """The whole HTML document."""
    bodies = {"summary": _summary(page), "events": _events(page), "videos": _videos(page),
              "quality": _quality(page), "configuration": _configuration(page)}
    sections = "\n".join(f'<section aria-labelledby="{key}"><h2 id="{key}">{name}</h2>\n{bodies[key]}\n</section>'
                         for key, name in SECTIONS)
    fields = {"title": escape(page.title), "lead": escape(page.lead),
              "nav": " ".join(f'<a href="#{key}">{name}</a>' for key, name in SECTIONS),
              "sections": sections, "css": _asset("report.css"), "js": _asset("report.js"), "data": _data(page)}
    # one pass: what is put in is never searched for places again
    return re.sub(r"\{\{(\w+)\}\}", lambda place: fields[place.group(1)], _asset("report.html"))


def _asset(name: str) -> str:
    return (resources.files("pixelplay.visual") / "assets" / name).read_text(encoding="utf-8")


def _data(page: Page) -> str:
    peaks = {t.video: sorted(e.peak_frame for e in page.events if e.video == t.video) for t in page.tracks}
    value = {"fps": page.fps,
             "videos": [{"name": t.video, "first": int(t.frames[0]), "last": int(t.frames[-1]),
                         "runs": _runs(t.frames), "final": [round(float(v), 3) for v in t.final],
                         "peaks": peaks[t.video]} for t in page.tracks],
             "events": [{"video": e.video, "score": round(e.peak_score, 4)} for e in page.events]}
    # '<' would let a video's name end the script element
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


def _runs(frames: np.ndarray) -> list[list[int]]:
    cuts = np.flatnonzero(np.diff(frames) != 1) + 1
    return [[int(part[0]), len(part)] for part in np.split(np.asarray(frames), cuts)]


def _table(table: Table) -> str:
    """On a phone each row becomes a block with every value under its column's name; the roles keep it a table for
    whoever listens to it."""
    head = "".join(f'<th scope="col" role="columnheader">{escape(str(h))}</th>' for h in table.header)
    rows = "".join(
        f'<tr role="row"{" class=strong" if i in table.strong else ""}><th scope="row" role="rowheader">'
        f"{escape(str(row[0]))}</th>"
        + "".join(f'<td role="cell" data-name="{escape(str(h))}">{_value(str(v))}</td>'
                  for h, v in zip(table.header[1:], row[1:])) + "</tr>" for i, row in enumerate(table.rows))
    return (f'<table role="table"><caption>{escape(table.caption)}</caption>'
            f'<thead role="rowgroup"><tr role="row">{head}</tr></thead><tbody role="rowgroup">{rows}</tbody></table>')


def _value(text: str) -> str:
    """'98.5 (97.1 to 99.2)' with its interval on a line of its own."""
    number, bracket, rest = text.partition(" (")
    return f"{escape(number)}<small>{escape(rest.rstrip(')'))}</small>" if bracket else escape(text)


def _summary(page: Page) -> str:
    tiles = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in page.tiles)
    notes = "".join(f"<li>{escape(n)}</li>" for n in page.notes)
    return (f'<dl class="tiles">{tiles}</dl>' + "".join(_table(t) for t in page.tables)
            + (f'<p>Not shown, because this run has no material for it:</p><ul class="soft">{notes}</ul>'
               if notes else ""))


def _events(page: Page) -> str:
    words = f"<p>An event {escape(page.threshold.words)}.</p>" if page.threshold else ""
    if not page.events:
        words += "<p>No score crossed the threshold: nothing unusual was found in these videos."
        words += " The highest moment of each:</p>" if page.cards else "</p>"
        return words + f'<div class="cards">{"".join(_card(c, page) for c in page.cards)}</div>'
    top = max(e.peak_score for e in page.events)
    options = "".join(f"<option>{escape(t.video)}</option>" for t in page.tracks)
    low = min(0.0, min(float(t.final.max()) for t in page.tracks if len(t.final)))
    form = (f'<form id="filters"><fieldset class="filters"><legend>Filter</legend>'
            f'<label>Video <select name="video"><option value="">all</option>{options}</select></label>'
            f'<label>Least score <input type="range" name="least" min="{low:.1f}" max="{top:.1f}" step="0.1" '
            f'value="{low:.1f}"> <output id="least-value">{low:.1f}</output></label>'
            '<label><input type="checkbox" name="only"> only videos with events</label>'
            '<button type="reset">Show all</button></fieldset></form>'
            '<p id="filter-status" role="status" class="soft"></p>')
    more = len(page.events) - len(page.cards)
    tail = f'<p class="soft">{more} quieter events have no card; they are marked on the timelines.</p>' if more else ""
    return words + form + f'<div class="cards">{"".join(_card(c, page) for c in page.cards)}</div>' + tail


def _card(card: Card, page: Page) -> str:
    e = card.event
    seconds = f"{(e.peak_frame - _first(page, e.video)) / page.fps:.1f} s"
    picture = (f'<img src="{escape(card.thumbnail)}" loading="lazy" width="480" alt="Video {escape(e.video)} at frame '
               f'{e.peak_frame}: {escape(e.reason or "highest score of the event")}">' if card.thumbnail else "")
    pair = ""
    if card.nearest:
        crop = (f'<figure><img src="{escape(card.crop)}" alt="What was scored in frame {e.peak_frame}">'
                "<figcaption>this actor</figcaption></figure>" if card.crop else "")
        pair = (f'<div class="pair">{crop}<figure><img src="{escape(card.nearest)}" alt="Nearest normal example: '
                f'{escape(card.nearest_words)}"><figcaption>nearest normal: {escape(card.nearest_words)}</figcaption>'
                "</figure></div>")
    length = f"frame {e.peak_frame}"
    if e.frames > 1:
        length = (f"frames {e.first_frame} to {e.last_frame} ({(e.last_frame - e.first_frame + 1) / page.fps:.1f} s), "
                  f"peak at frame {e.peak_frame}")
    return (f'<article class="card" data-video="{escape(e.video)}" data-score="{e.peak_score:.4f}">{picture}'
            f'<div class="text"><h3>Video {escape(e.video)}, {seconds} <span class="score">score {e.peak_score:.1f}'
            f"</span></h3><p>{escape(e.reason)}</p>"
            f'<p class="soft">{length}</p>{pair}'
            f'<button type="button" data-go="{e.peak_frame}" data-video="{escape(e.video)}">Show in its video</button>'
            "</div></article>")


def _first(page: Page, video: str) -> int:
    return next(int(t.frames[0]) for t in page.tracks if t.video == video)


def _videos(page: Page) -> str:
    if not page.tracks:
        return "<p>There are no test videos.</p>"
    every = [np.asarray(v) for t in page.tracks for v in (t.final, *t.models.values()) if len(v)]
    low, high = min(float(v.min()) for v in every), max(float(v.max()) for v in every)
    key = _key(page)
    intro = ("<p>Click or drag on a timeline to go there, or focus it and use the arrow keys (one frame), Page Up and "
             "Page Down (a second on and back), Home, End, <kbd>n</kbd> and <kbd>p</kbd> (next and previous event), "
             f"and the space bar (play). All timelines share one scale, {low:.1f} to {high:.1f}.</p>")
    return intro + key + "\n".join(_video(t, page, low, high) for t in page.tracks)


def _key(page: Page) -> str:
    names = list(dict.fromkeys(n for t in page.tracks for n in t.models))
    lines = [(style.BLACK, "final score")] + [(style.model_colour(n, names), style.model_title(n)) for n in names]
    areas = [(style.VERMILLION, "event")]
    if any(t.labels is not None for t in page.tracks):
        areas.append((style.YELLOW, "labelled anomaly"))
    areas += [(style.SKY, "repaired frame"), (style.GREY, "unreliable frame"), (style.BLACK, "no frames")]
    items = [f'<li><i class="line" style="border-color:{c}"></i>{escape(w)}</li>' for c, w in lines]
    items += [f'<li><i style="background:{c}"></i>{escape(w)}</li>' for c, w in areas]
    return f'<ul class="key" aria-label="Key of the timelines">{"".join(items)}</ul>'


def _video(track: Track, page: Page, low: float, high: float) -> str:
    events = [e for e in page.events if e.video == track.video]
    first, last = int(track.frames[0]), int(track.frames[-1])
    name = escape(track.video)
    player = ""
    if track.video in page.videos:
        poster = page.posters.get(track.video, "")
        player = (f'<video controls muted playsinline preload="metadata" src="{escape(page.videos[track.video])}" '
                  + (f'poster="{escape(poster)}" ' if poster else "")
                  + f'aria-label="Annotated video {name}"></video>')
    line = timeline_svg(track, low=low, high=high, threshold=page.threshold, events=events)
    count = f"{len(events)} event{'' if len(events) == 1 else 's'}"
    steps = ('<button type="button" data-step="-1">previous event</button>'
             '<button type="button" data-step="1">next event</button>') if events else ""
    listed = "".join(
        f'<li><button type="button" class="plain" data-go="{e.peak_frame}" data-video="{name}">'
        f"{(e.peak_frame - first) / page.fps:.1f} s, score {e.peak_score:.1f}</button> "
        f"{escape(e.reason.split(' (')[0])}</li>" for e in sorted(events, key=lambda e: e.first_frame))
    listed = f'<ol aria-label="Events of video {name}">{listed}</ol>' if events else ""
    stage = f'<div class="stage">{player}{listed}</div>' if player or listed else ""
    return (f'<article class="video" data-video="{name}"><h3>Video {name}: {count}, highest score '
            f"{float(track.final.max()):.1f}</h3>{stage}"
            f'<div class="timeline" tabindex="0" role="slider" aria-label="Position in video {name}" '
            f'aria-valuemin="{first}" aria-valuemax="{last}" aria-valuenow="{first}">{line}'
            f'<div class="cursor"></div></div>'
            f'<div class="axis" aria-hidden="true"><span>frame {first}</span>'
            f"<span>frame {last}, {(last - first) / page.fps:.1f} s</span></div>"
            f'<div class="bar"><span class="now"></span>{steps}</div></article>')


def _quality(page: Page) -> str:
    body = "".join(_table(t) for t in page.quality)
    if page.sheet:
        body += (f'<figure><img class="sheet" src="{escape(page.sheet)}" loading="lazy" '
                 f'alt="{escape(page.sheet_words)}"><figcaption>{escape(page.sheet_words)}</figcaption></figure>')
    return body or "<p>The manifest flags no frame.</p>"


def _configuration(page: Page) -> str:
    out = []
    for name, settings in page.config.items():
        items = "".join(f"<dt>{escape(str(k))}</dt><dd>{escape(str(v))}</dd>" for k, v in settings.items())
        out.append(f"<details><summary>{escape(name)}</summary><dl class=\"config\">{items}</dl></details>")
    return "".join(out) or "<p>This run kept no record of its settings.</p>"
