"""Cards of the report: one per event and per missed anomaly, with pictures.

Reads a `RunFolder` and its verdict; makes `Card`s. Pictures are JPEGs embedded in the page. Actors are shown with their
surroundings.
"""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np

from pixelplay.fusion.events import Event
from pixelplay.registry import model_title
from pixelplay.visual import style
from pixelplay.visual.actors import crop
from pixelplay.visual.annotate import draw_frame
from pixelplay.visual.people import ACTOR_ALARM, Box
from pixelplay.visual.report_page import Card, Picture
from pixelplay.visual.run_folder import RunFolder
from pixelplay.visual.run_video import frames_as_filmed
from pixelplay.visual.showcase import Heat, best_actor
from pixelplay.visual.verdict import Anomaly, Verdict

SHOWN_MODELS = 3
NEAR = 5
"""Rows around a peak that are searched for the frame that shows it best."""
SCENE = 0.45
"""Smallest width of a scene's picture, as a share of the frame width."""


@dataclasses.dataclass(frozen=True)
class View:
    """Content of a card's pictures: a test row and, if known, the actor's box, the picture of its nearest training
    actor and the origin of that. `whole`: show the whole frame, without heat."""

    row: int
    box: Box | None = None
    nearest: tuple[np.ndarray, str] | None = None
    whole: bool = False


def make_cards(run: RunFolder, verdict: Verdict, heat: Heat | None, most_pictures: int) -> list[Card]:
    """Cards of the events, highest first, then of the missed anomalies; without any event, of each video's highest
    frame. The first `most_pictures` and all missed anomalies have pictures."""
    cards, peaks = [], []
    for number, event in enumerate(run.events, start=1):
        kind, detail = _judged(event, verdict, run.fps)
        detail = f"{detail} {_rare(run, event.peak_score)}".strip()
        cards.append(_card(run, event, f"event-{number}", kind, f"Event {number}", detail))
        peaks.append(event.peak_row)
    row_of = {(v, f): r for r, (v, f) in enumerate(zip(run.test["video"], run.test["frame"].tolist()))}
    for number, missed in enumerate(verdict.missed, start=1):
        row = row_of[missed.video, missed.peak_frame]
        event = Event(missed.video, missed.first_frame, missed.last_frame, missed.peak_frame, missed.peak_score, row,
                      missed.last_frame - missed.first_frame + 1,
                      f"{missed.kind or 'labelled as an anomaly'}: no event was raised")
        cards.append(_card(run, event, f"missed-{number}", "missed", f"Missed {number}", _missed(missed, run)))
        peaks.append(row)
    if not cards:
        for number, moment in enumerate(run.moments, start=1):
            cards.append(_card(run, moment, f"moment-{number}", "moment", f"Video {moment.video}", ""))
            peaks.append(moment.peak_row)
    wanted = [i for i, c in enumerate(cards) if i < most_pictures or c.kind == "missed"]
    # the position of a missed anomaly in the frame is unknown, so the whole frame is shown
    views = [View(peaks[i], whole=True) if cards[i].kind == "missed" else _view(run, peaks[i], heat) for i in wanted]
    pictures = _pictures(run, views, heat) if wanted else []
    for i, shown in zip(wanted, pictures):
        cards[i] = dataclasses.replace(cards[i], **shown)
    return cards


def _card(run: RunFolder, event: Event, key: str, kind: str, name: str, detail: str) -> Card:
    models = sorted(((float(z[event.peak_row]), n) for n, z in run.z.items()), reverse=True)[:SHOWN_MODELS]
    return Card(key, kind, name, event.video, event.first_frame, event.last_frame, event.peak_frame, event.peak_score,
                event.reason.split(" (")[0], detail, {model_title(n): z for z, n in models})


def _judged(event: Event, verdict: Verdict, fps: float) -> tuple[str, str]:
    """(kind, agreement with the labels) of an event."""
    if verdict.anomalies is None:
        return "event", ""
    anomaly = verdict.anomaly_of(event)
    if anomaly is None:
        return "false alarm", "No frame of it is labelled as an anomaly."
    late = (max(event.first_frame, anomaly.first_frame) - anomaly.first_frame) / fps
    begun = f"{late:.1f} s after {anomaly.words} begins" if late > 0 else f"in time for {anomaly.words}"
    return "found", f"Raised {begun}; {anomaly.covered:.0%} of its labelled frames lie in an event."


def _rare(run: RunFolder, score: float) -> str:
    """Share of held-out normal frames that score as high, in words; '' if unknown."""
    if run.final_train is None:
        return ""
    reach, frames = int((run.final_train >= score).sum()), len(run.final_train)
    verb = "scores" if reach == 1 else "score"
    return f"{f'{reach:,}' if reach else 'None'} of {frames:,} held-out normal frames {verb} as high."


def _missed(anomaly: Anomaly, run: RunFolder) -> str:
    return (f"The score of {anomaly.words} rises to {anomaly.peak_score:.1f}; an event begins at "
            f"{run.threshold.high:.1f}"
            + (" and has to last longer." if anomaly.peak_score >= run.threshold.high else "."))


def _pictures(run: RunFolder, views: Sequence[View], heat: Heat | None) -> list[dict[str, Picture]]:
    """The pictures of each view, by the field of its card."""
    test = frames_as_filmed(run)
    out: list[dict[str, Picture]] = [{} for _ in views]
    frames = dict(test.full_frames(sorted({v.row for v in views})))
    for found, view in zip(out, views):
        frame, name = frames[view.row], f"video {test.videos[view.row]}, frame {test.frames[view.row]}"
        if view.box is None:
            hot = heat(view.row) if heat and not view.whole else None
            drawn = draw_frame(frame, (), hot)
            if hot is not None and hot.any():
                drawn = scene(drawn, _hottest(hot, frame.shape))
            found["picture"] = picture(drawn, f"The scene: {name}", 400 if view.whole else 320)
            continue
        shown = dataclasses.replace(view.box, score=max(view.box.score, ACTOR_ALARM), track=0)
        found["picture"] = picture(scene(draw_frame(frame, [shown], words=False), view.box.xyxy), f"The scene: {name}",
                                   320)
        found["actor"] = picture(crop(frame, view.box.xyxy), f"What was scored: {name}", 240)
        if view.nearest is not None:
            found["nearest"] = picture(view.nearest[0], f"the most similar actor in training: {view.nearest[1]}", 240)
    return out


def _view(run: RunFolder, peak: int, heat: Heat | None) -> View:
    """The row near a peak that shows its actor best; without an unusual actor, an undamaged frame."""
    video, flags = run.test["video"].to_numpy(object), run.test["flags"].to_numpy(object)
    rows = [r for r in range(max(0, peak - NEAR), min(len(video), peak + NEAR + 1)) if video[r] == video[peak]]
    found = best_actor(run, rows, heat, peak=peak)
    if found is None:
        return View(min(rows, key=lambda r: (flags[r] != "", abs(r - peak))))
    row, place = found
    return View(row, run.people.boxes(row)[place], run.nearest_normal(row, place))


def _hottest(heat: np.ndarray, shape: tuple[int, ...]) -> tuple[float, float, float, float]:
    """The hottest cell of a heat map (h, w), as a box in pixels of the frame."""
    y, x = np.unravel_index(int(np.nanargmax(heat)), heat.shape)
    tall, wide = shape[0] / heat.shape[0], shape[1] / heat.shape[1]
    return x * wide, y * tall, (x + 1) * wide, (y + 1) * tall


def scene(frame: np.ndarray, xyxy: Sequence[float]) -> np.ndarray:
    """The part of a frame (H, W, 3) around a box that shows the action: 4:3, at least three boxes wide."""
    height, width = frame.shape[:2]
    x0, y0, x1, y1 = (float(v) for v in xyxy)
    wide = max(SCENE * width, 3 * (x1 - x0), 4 / 3 * 1.6 * (y1 - y0))
    wide = min(wide, width, height * 4 / 3)
    tall = round(wide * 3 / 4)
    left = int(np.clip((x0 + x1 - wide) / 2, 0, width - wide))
    top = int(np.clip((y0 + y1 - tall) / 2, 0, height - tall))
    return frame[top:top + max(1, tall), left:left + max(1, round(wide))]


def picture(image: np.ndarray, words: str, width: int) -> Picture:
    """An RGB image (H, W, 3) as an embedded JPEG, resized to a width in pixels."""
    size = width, max(1, round(image.shape[0] * width / image.shape[1]))
    larger = size[0] > image.shape[1]
    image = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC if larger else cv2.INTER_AREA)
    data = base64.b64encode(style.jpeg(image)).decode()
    return Picture(f"data:image/jpeg;base64,{data}", words, size)
