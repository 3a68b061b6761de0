"""Annotated video: picture, heat map, boxes with reasons, running score strip, events.

Reads an iterator of RGB frames and arrays of the same length; writes one H.264 MP4 that plays in any browser
(yuv420p, index at the front), at the frames' own size and rate. One frame is held at a time, so memory does not grow
with the video. A hole in the frame numbers stays a hole in time: the last picture stands still, darkened, for as long,
so frame n of the output always lies (n - first number) / fps seconds from its start.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pixelplay.data.decoding import import_av
from pixelplay.errors import PixelPlayError
from pixelplay.files import atomic_path
from pixelplay.visual import style
from pixelplay.visual.events import Event, Threshold

FONT = cv2.FONT_HERSHEY_SIMPLEX
ACTOR_ALARM, ACTOR_NOTE = 3.0, 2.0
"""Deviations above normal from which an actor is called unusual, and from which its number is shown."""
ALARM_GROUND = (150, 66, 0)  # vermillion, dark enough for a white curve on it


@dataclasses.dataclass(frozen=True)
class Box:
    """One actor of one frame: xyxy in pixels of the frame, calibrated score, reason in words."""

    xyxy: tuple[float, float, float, float]
    score: float
    words: str = ""


def annotate_video(frames: Iterable[np.ndarray], scores: np.ndarray, out_path: Path | str, *, fps: float,
                   numbers: np.ndarray | None = None, threshold: Threshold | None = None,
                   boxes: Callable[[int], Sequence[Box]] | None = None,
                   heat: Callable[[int], np.ndarray | None] | None = None, events: Sequence[Event] = (),
                   labels: np.ndarray | None = None, quality: int = 23) -> Path:
    """Write the annotated video of one video.

    Args:
        frames: N uint8 RGB frames (H, W, 3) in order; odd sizes gain one repeated row or column.
        scores: (N,) final scores.
        fps: frames a second of the source.
        numbers: (N,) increasing frame numbers; 0 .. N-1 when None.
        threshold: of the final score, drawn on the strip.
        boxes: row -> the boxes of that frame.
        heat: row -> (h, w) float in [0, 1] of any size, 0 = nothing to see; or None.
        events: those of this video, for the banner and the marks on the strip.
        labels: (N,) bool ground truth, drawn as a yellow line on the strip where known.
        quality: x264's constant rate factor; lower is better and larger.
    Raises:
        PixelPlayError: no frames, fewer or more frames than scores, or frames of different sizes.
    """
    out_path = Path(out_path)
    scores = np.asarray(scores, dtype=np.float64)
    numbers = np.arange(len(scores)) if numbers is None else np.asarray(numbers, dtype=np.int64)
    stream_in = iter(frames)
    first = next(stream_in, None)
    if first is None or len(scores) == 0:
        raise PixelPlayError(f"{out_path.name}: there are no frames to annotate",
                             mend="check that the video belongs to the run whose scores were given")
    height, width = first.shape[:2]
    strip = Strip(width, height, numbers, scores, threshold, events, labels)
    rate = Fraction(fps).limit_denominator(1001)
    with atomic_path(out_path) as part, import_av().open(str(part), "w", format="mp4",
                                                options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": str(quality), "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
        stream.codec_context.time_base = 1 / rate
        # one key frame a second: a click on the timeline then shows its frame at once
        stream.codec_context.gop_size = max(1, round(fps))
        count, frame_before = 0, first
        for row, frame in enumerate(itertools.chain((first,), stream_in)):
            count += 1
            if count > len(scores):
                break
            if frame.shape[:2] != (height, width):
                raise PixelPlayError(f"{out_path.name}: frame {numbers[row]} is {frame.shape[1]}x{frame.shape[0]}",
                                     expected=f"{width}x{height} like the first frame")
            for missing in range(int(numbers[row - 1]) + 1 if row else int(numbers[0]), int(numbers[row])):
                blank = draw_missing(frame_before, missing)
                container.mux(stream.encode(yuv_picture(blank, missing - int(numbers[0]), rate)))
            drawn = draw_frame(frame, row, strip, fps, boxes(row) if boxes else (),
                               heat(row) if heat else None)
            frame_before = drawn
            container.mux(stream.encode(yuv_picture(drawn, int(numbers[row] - numbers[0]), rate)))
        container.mux(stream.encode())
        if count != len(scores):
            raise PixelPlayError(f"{out_path.name}: {count}{'+' if count > len(scores) else ''} frames but "
                                 f"{len(scores)} scores", expected="one score for each frame",
                                 mend="score this video again, or name the folder that holds its scores")
    return out_path


def yuv_picture(image: np.ndarray, place: int, rate: Fraction) -> Any:
    """An (H, W, 3) image as frame number `place`, grown to even sides as yuv420p wants."""
    height, width = image.shape[:2]
    if width % 2 or height % 2:
        image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    picture = import_av().VideoFrame.from_ndarray(image, format="rgb24")
    picture.pts, picture.time_base = place, 1 / rate
    return picture


def draw_missing(before: np.ndarray, number: int) -> np.ndarray:
    """What is shown where a frame number is missing: the last picture, darkened, saying so."""
    drawn = before // 3
    size = text_size(drawn.shape[0])
    put_text(drawn, f"no frame {number}", (4, 4), size, (255, 255, 255), (0, 0, 0))
    return drawn


def draw_frame(frame: np.ndarray, row: int, strip: Strip | None, fps: float,
               boxes: Sequence[Box] = (), heat: np.ndarray | None = None) -> np.ndarray:
    """One annotated frame: a new (H, W, 3) uint8 array; without a strip only heat and boxes."""
    drawn = np.ascontiguousarray(frame).copy()
    if heat is not None:
        drawn = overlay_heat(drawn, heat)
    size = text_size(drawn.shape[0])
    draw_boxes(drawn, boxes, size)
    if strip is None:
        return drawn
    strip.draw(drawn, row)
    event = strip.event_at(row)
    text = f"frame {strip.numbers[row]}  {(strip.numbers[row] - strip.numbers[0]) / fps:.1f} s  " \
           f"score {strip.scores[row]:.2f}"
    put_text(drawn, text, (4, 4), size, (255, 255, 255), (0, 0, 0))
    if event is not None:
        number, of = event
        cv2.rectangle(drawn, (0, 0), (drawn.shape[1] - 1, drawn.shape[0] - 1), style.rgb(style.VERMILLION),
                      max(2, drawn.shape[0] // 120))
        words = strip.events[number].reason.split(" (")[0]
        put_text(drawn, f"EVENT {number + 1} of {of}" + (f": {words}" if words else ""),
                 (4, 8 + line_height(size)), size, (0, 0, 0), style.rgb(style.ORANGE))
    return drawn


class Strip:
    """The running score strip over the bottom of the picture: what was in full colour, what comes dimmed.

    Both pictures of the curve are drawn once; a frame costs one blend.
    """

    def __init__(self, width: int, height: int, numbers: np.ndarray, scores: np.ndarray,
                 threshold: Threshold | None, events: Sequence[Event] = (), labels: np.ndarray | None = None):
        self.numbers, self.scores = numbers, scores
        self.events = sorted(events, key=lambda e: e.first_frame)
        self.width, self.height = width, min(height, max(24, round(0.14 * height)))
        low = min(float(scores.min()), 0.0)
        top = max(float(scores.max()), threshold.high * 1.15 if threshold else low, low + 1e-6)
        self._x = (numbers - numbers[0]) / max(int(numbers[-1] - numbers[0]), 1) * (width - 1)
        y = (self.height - 4) - (scores - low) / (top - low) * (self.height - 8)
        self.past = self._curve(y, events, labels, (255, 255, 255))
        self.future = self._curve(y, events, labels, (140, 140, 140))
        if threshold is not None:
            level = round((self.height - 4) - (threshold.high - low) / (top - low) * (self.height - 8))
            for x in range(0, width, 8):
                for image in (self.past, self.future):
                    cv2.line(image, (x, level), (x + 3, level), style.rgb(style.YELLOW), 1)

    def _curve(self, y: np.ndarray, events: Sequence[Event], labels: np.ndarray | None, ink) -> np.ndarray:
        image = np.zeros((self.height, self.width, 3), np.uint8)
        span = max(int(self.numbers[-1] - self.numbers[0]), 1)
        for event in events:
            a, b = ((f - self.numbers[0]) / span * (self.width - 1) for f in (event.first_frame, event.last_frame))
            cv2.rectangle(image, (int(a), 0), (int(np.ceil(b)), self.height), ALARM_GROUND, -1)
        if labels is not None:
            for a, b in style.spans(self.numbers, np.asarray(labels, bool)):
                a, b = ((f - self.numbers[0]) / span * (self.width - 1) for f in (a, b))
                cv2.rectangle(image, (int(a), self.height - 3), (int(np.ceil(b)), self.height),
                              style.rgb(style.YELLOW), -1)
        x, broken = style.in_runs(self.numbers, y)
        x = (x - self.numbers[0]) / span * (self.width - 1)
        cuts = np.flatnonzero(np.isnan(x))
        for part in np.split(np.stack([x, broken], 1), cuts):
            points = part[~np.isnan(part[:, 0])]
            cv2.polylines(image, [np.round(points * 8).astype(np.int32)], False, ink, 1, cv2.LINE_AA, 3)
        return image

    def draw(self, frame: np.ndarray, row: int) -> None:
        """Blend the strip into the bottom of `frame` with the cursor at `row`; in place."""
        cursor = round(float(self._x[row]))
        image = np.concatenate([self.past[:, :cursor], self.future[:, cursor:]], axis=1)
        place = frame[frame.shape[0] - self.height:]
        cv2.addWeighted(place, 0.35, image, 0.8, 0, dst=place)
        cv2.line(place, (cursor, 0), (cursor, self.height), (255, 255, 255), 1)

    def event_at(self, row: int) -> tuple[int, int] | None:
        """(index of the event the row lies in, number of events), or None."""
        for i, event in enumerate(self.events):
            if event.first_frame <= self.numbers[row] <= event.last_frame:
                return i, len(self.events)
        return None


def overlay_heat(frame: np.ndarray, heat: np.ndarray, strength: float = 0.6) -> np.ndarray:
    """Blend a heat map (h, w) in [0, 1] over a frame: the hotter, the less of the frame is left. New array."""
    full = cv2.resize(np.clip(np.nan_to_num(heat), 0, 1).astype(np.float32), (frame.shape[1], frame.shape[0]),
                      interpolation=cv2.INTER_LINEAR)
    if full.max() <= 0.02:
        return frame
    colour = cv2.applyColorMap((full * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    share = (full * strength)[..., None]
    return (frame * (1 - share) + colour * share).astype(np.uint8)


def draw_boxes(frame: np.ndarray, boxes: Sequence[Box], size: float) -> None:
    """Draw boxes coloured by score; in place. Where it is worth a note, the number stands beside the box, with the
    reason in words for the loudest alone; no label covers another one."""
    taken: list[tuple[int, int, int, int]] = []
    # quiet ones first, so that a loud one is never hidden under them
    for box in sorted(boxes, key=lambda b: b.score):
        colour, alarm = style.rgb(style.alarm_colour(box.score, ACTOR_NOTE, ACTOR_ALARM)), box.score >= ACTOR_ALARM
        x0, y0, x1, y1 = (round(float(v)) for v in box.xyxy)
        cv2.rectangle(frame, (x0, y0), (x1, y1), (0, 0, 0), 3 if alarm else 2)
        cv2.rectangle(frame, (x0, y0), (x1, y1), colour, 2 if alarm else 1)
    for i, box in enumerate(sorted(boxes, key=lambda b: -b.score)):
        if box.score < ACTOR_NOTE:
            break
        colour = style.rgb(style.alarm_colour(box.score, ACTOR_NOTE, ACTOR_ALARM))
        words = f" {box.words}" if i == 0 and box.score >= ACTOR_ALARM and box.words else ""
        label(frame, f"{box.score:.1f}{words}", box, size, colour, taken)


def label(frame: np.ndarray, text: str, box: Box, size: float, ground, taken: list[tuple[int, int, int, int]]) -> None:
    """Write a label above a box, below it or further up, where no other label is; in place. `taken` grows by it."""
    width, height = text_width(text, size), line_height(size)
    x0, y0, _, y1 = (round(float(v)) for v in box.xyxy)
    x = int(np.clip(x0, 0, max(0, frame.shape[1] - width)))
    places = [y0 - height - 2, y1 + 2]
    places += [y for k in range(1, 5) for y in (places[0] - k * height, places[1] + k * height)]
    inside = [y for y in places if 0 <= y <= frame.shape[0] - height] or [max(0, y0)]

    def hidden(y: int) -> bool:
        return any(x < right and left < x + width and y < low and top < y + height for left, top, right, low in taken)

    y = next((y for y in inside if not hidden(y)), inside[0])
    taken.append((x, y, x + width, y + height))
    put_text(frame, text, (x, y), size, (0, 0, 0), ground)


def text_width(text: str, size: float) -> int:
    """Pixels a line of text takes with its ground."""
    return cv2.getTextSize(text, FONT, size, 1)[0][0] + 6


def text_size(height: int) -> float:
    """Font scale for a frame of `height` pixels."""
    return float(np.clip(height / 800, 0.33, 1.1))


def line_height(size: float) -> int:
    """Pixels one line of text takes."""
    return round(26 * size) + 4


def put_text(frame: np.ndarray, text: str, corner: tuple[int, int], size: float, ink, ground) -> None:
    """Write a line of ASCII on a filled ground, moved so that it stays inside the frame; in place."""
    text = text.encode("ascii", "replace").decode()
    (width, height), _ = cv2.getTextSize(text, FONT, size, 1)
    while width + 6 > frame.shape[1] and len(text) > 4:
        text = text[:-4].rstrip(". ") + ".."
        (width, height), _ = cv2.getTextSize(text, FONT, size, 1)
    x = int(np.clip(corner[0], 0, max(0, frame.shape[1] - width - 6)))
    y = int(np.clip(corner[1], 0, max(0, frame.shape[0] - line_height(size))))
    cv2.rectangle(frame, (x, y), (x + width + 5, y + line_height(size) - 1), ground, -1)
    cv2.putText(frame, text, (x + 3, y + height + (line_height(size) - height) // 2), FONT, size, ink, 1, cv2.LINE_AA)
