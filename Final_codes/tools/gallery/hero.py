"""The animation at the top of the README: an annotated event beside its report card.

Reads a finished run; writes an animated WebP that loops seamlessly.
"""

from __future__ import annotations

import logging
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw

from pixelplay.files import atomic_path
from pixelplay.fusion.events import Event
from pixelplay.visual import style
from pixelplay.visual.actors import crop
from pixelplay.visual.annotate import _font, draw_frame
from pixelplay.visual.overlays import heat_function
from pixelplay.visual.people import ACTOR_NOTE
from pixelplay.visual.run_folder import RunFolder
from pixelplay.visual.run_video import frames_as_filmed
from pixelplay.visual.showcase import best_actor
from pixelplay.visual.verdict import judge

log = logging.getLogger(__name__)

SCENE, CARD = (496, 279), (304, 279)
"""Width and height of the scene and of the card, in pixels: 800 in total."""
EVERY = 2
"""Every n-th frame is shown, for the duration of n frames."""
LEAD, TAIL, FADE = 1.0, 0.6, 6
"""Seconds before and after the event, and number of frames over which the end fades into the beginning."""
MOST_SECONDS = 4.5
MOST_BYTES = 1_500_000
INK, SOFT, PAPER, LINE = (28, 28, 30), (104, 104, 110), (255, 255, 255), (218, 218, 222)


def write_hero(run: RunFolder, path: Path) -> bool:
    """Write the animation of the top-scoring event that is not a false alarm; False if there is none, or no actor in
    it is known."""
    false_alarms = judge(run).false_alarms
    found = next((e for e in run.events if e not in false_alarms and highest_actor(run, e) is not None), None)
    if found is None:
        log.info("no hero: no event whose actor is known")
        return False
    pictures = draw(run, found)
    for quality in (72, 60, 48, 36, 24):
        with atomic_path(path) as part:
            pictures[0].save(part, "WEBP", save_all=True, append_images=pictures[1:], loop=0, quality=quality,
                             duration=round(1000 * EVERY / run.fps), method=4)
        if path.stat().st_size <= MOST_BYTES:
            return True
    return True


def highest_actor(run: RunFolder, event: Event) -> tuple[int, int] | None:
    """(test row, box) of the event's best actor with a known nearest training actor."""
    return best_actor(run, _rows(run, event, 0.0, 0.0), heat_function(run), peak=event.peak_row, compared=True)


def _rows(run: RunFolder, event: Event, lead: float, tail: float) -> list[int]:
    """Test rows of an event, with a number of seconds before and after it."""
    numbers, videos = run.test["frame"].to_numpy(), run.test["video"].to_numpy(object)
    inside = ((videos == event.video) & (numbers >= event.first_frame - lead * run.fps)
              & (numbers <= event.last_frame + tail * run.fps))
    return np.flatnonzero(inside).tolist()


def draw(run: RunFolder, event: Event) -> list[Image.Image]:
    """The frames in order; the last ones fade into the first."""
    rows = _rows(run, event, LEAD, TAIL)[: round(MOST_SECONDS * run.fps)][::EVERY]
    row, b = highest_actor(run, event)
    filmed = frames_as_filmed(run)
    frames = dict(filmed.full_frames(sorted({*rows, row})))
    box = run.people.boxes(row)[b]
    card = Card(run, event, rows, crop(frames[row], box.xyxy), run.nearest_normal(row, b)[0])
    out = []
    for place, r in enumerate(rows):
        unusual = [b for b in run.people.boxes(r) if b.score >= ACTOR_NOTE]
        drawn = draw_frame(frames[r], unusual, words=False)
        scene = Image.fromarray(cv2.resize(drawn, SCENE, interpolation=cv2.INTER_AREA))
        whole = Image.new("RGB", (SCENE[0] + CARD[0], SCENE[1]), PAPER)
        whole.paste(scene, (0, 0))
        whole.paste(card.at(place), (SCENE[0], 0))
        out.append(whole)
    fade = min(FADE, len(out) // 3)
    for k in range(fade):
        out[len(out) - fade + k] = Image.blend(out[len(out) - fade + k], out[k], (k + 1) / (fade + 1))
    return out[fade:]


class Card:
    """The event's card in the report, with the score curve up to a frame."""

    def __init__(self, run: RunFolder, event: Event, rows: list[int], actor: np.ndarray, nearest: np.ndarray):
        self.scores, self.high = run.final[rows], run.threshold.high
        self.numbers = run.test["frame"].to_numpy()[rows]
        anomaly = judge(run).anomaly_of(event)
        self.inside = (self.numbers >= event.first_frame) & (self.numbers <= event.last_frame)
        self.ground = Image.new("RGB", CARD, PAPER)
        pen = ImageDraw.Draw(self.ground)
        pen.line([(0, 0), (0, CARD[1])], fill=LINE)
        words = "found" if anomaly else "event"
        pen.rounded_rectangle([14, 12, 14 + 14 + int(_font(12).getlength(words)), 32], 9, fill=(0, 110, 80))
        pen.text((21, 22), words, font=_font(12), fill=PAPER, anchor="lm")
        pen.text((CARD[0] - 14, 22), f"peak {event.peak_score:.1f}", font=_font(15), fill=INK, anchor="rm")
        reason = event.reason.split(" (")[0]
        title = anomaly.kind.capitalize() if anomaly and anomaly.kind else f"Video {event.video}"
        pen.text((14, 50), title, font=_font(17), fill=INK, anchor="lm")
        pen.text((14, 70), fitted(reason, 11, CARD[0] - 28), font=_font(11), fill=SOFT, anchor="lm")
        for x, words, image in ((14, "this actor", actor), (158, "nearest in training", nearest)):
            self.ground.paste(Image.fromarray(image).resize((92, 92), Image.Resampling.LANCZOS), (x, 84))
            pen.text((x, 186), words, font=_font(11), fill=SOFT, anchor="lm")

    def at(self, place: int) -> Image.Image:
        """The card for one frame of the animation."""
        out = self.ground.copy()
        pen = ImageDraw.Draw(out)
        left, right, top, bottom = 14, CARD[0] - 14, 202, CARD[1] - 12
        highest = max(float(self.scores.max()), self.high) * 1.05
        lowest = min(0.0, float(self.scores.min()))

        def point(i: int) -> tuple[float, float]:
            return (left + (right - left) * i / max(1, len(self.scores) - 1),
                    bottom - (bottom - top) * (float(self.scores[i]) - lowest) / (highest - lowest))

        marked = np.flatnonzero(self.inside)
        if len(marked):
            pen.rectangle([point(int(marked[0]))[0], top, point(int(marked[-1]))[0], bottom], fill=(253, 232, 214))
        line = bottom - (bottom - top) * (self.high - lowest) / (highest - lowest)
        for x in range(left, right, 8):
            pen.line([(x, line), (min(x + 4, right), line)], fill=SOFT)
        pen.line([point(i) for i in range(len(self.scores))], fill=LINE, width=2)
        if place:
            pen.line([point(i) for i in range(place + 1)], fill=INK, width=3, joint="curve")
        x, y = point(place)
        colour = style.rgb(style.VERMILLION) if self.inside[place] else INK
        pen.ellipse([x - 5, y - 5, x + 5, y + 5], fill=colour)
        return out


def fitted(text: str, size: int, width: int) -> str:
    """A line of text, truncated to a width in pixels."""
    while _font(size).getlength(text) > width and len(text) > 2:
        text = text[:-2].rstrip(" .…") + "…"
    return text
