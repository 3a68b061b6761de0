"""Annotated video: unusual actors and places in each frame, the score curve, and the events.

Reads an iterator of RGB frames and arrays of the same length; writes one H.264 MP4 that plays in any browser (yuv420p,
index at the front), at the size and rate of the frames. One frame is held at a time, so memory does not grow with the
video. In a gap of the frame numbers the last picture is held, with a note, so that frame n of the output is always
(n - first number) / fps seconds from its start.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pixelplay.data.decoding import import_av
from pixelplay.errors import PixelPlayError
from pixelplay.files import atomic_path
from pixelplay.fusion.events import Event, Threshold
from pixelplay.visual import style
from pixelplay.visual.people import ACTOR_ALARM, ACTOR_NOTE, Box

WHITE, BLACK = (255, 255, 255), (0, 0, 0)
ALARM_GROUND = (150, 66, 0)  # vermillion, dark enough for a white curve on it
CONTOUR = 0.5
"""Heat at the contour line."""
TINT = 0.3
"""Largest opacity of the heat map."""


def annotate_video(frames: Iterable[np.ndarray], scores: np.ndarray, out_path: Path | str, *, fps: float,
                   numbers: np.ndarray | None = None, threshold: Threshold | None = None,
                   boxes: Callable[[int], Sequence[Box]] | None = None,
                   heat: Callable[[int], np.ndarray | None] | None = None,
                   notes: Callable[[int], str] | None = None, events: Sequence[Event] = (),
                   labels: np.ndarray | None = None, strip: bool = True, quality: int = 23) -> Path:
    """Write the annotated video of one video.

    Args:
        frames: N uint8 RGB frames (H, W, 3) in order; an odd side is padded by repeating its last row or column.
        scores: (N,) final scores.
        fps: frames per second of the source.
        numbers: (N,) increasing frame numbers; None = 0 .. N-1.
        threshold: of the final score, drawn on the strip.
        boxes: row -> boxes of that frame.
        heat: row -> (h, w) float in [0, 1] of any size, 0 = not drawn; or None.
        notes: row -> repairs of that frame, shown in its corner; '' = none.
        events: events of this video, for the banner and the strip.
        labels: (N,) bool ground truth, a yellow line on the strip.
        strip: draw the score curve over the bottom of the picture.
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
                             hint="check that the video belongs to the run whose scores were given")
    height, width = first.shape[:2]
    curve = Strip.of_video(scores, threshold)
    span = (int(numbers[0]), int(numbers[-1]))
    rate = Fraction(fps).limit_denominator(1001)
    with atomic_path(out_path) as part, import_av().open(str(part), "w", format="mp4",
                                                options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": str(quality), "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
        stream.codec_context.time_base = 1 / rate
        # one key frame a second, so that seeking is fast
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
                held = draw_note(frame_before.copy(), f"frame {missing} is missing")
                container.mux(stream.encode(yuv_picture(held, missing - int(numbers[0]), rate)))
            event = event_at(events, int(numbers[row]))
            drawn = draw_frame(frame, boxes(row) if boxes else (), heat(row) if heat else None, words=event is None)
            if strip:
                curve.draw(drawn, numbers, scores, int(numbers[row]), span, events=events, labels=labels)
            draw_state(drawn, f"frame {numbers[row]}   {(numbers[row] - numbers[0]) / fps:.1f} s   score "
                              f"{scores[row]:.1f}", None if event is None else event_words(event))
            # a held picture must not keep the note of its frame
            frame_before = drawn
            note = notes(row) if notes else ""
            shown = draw_note(drawn.copy(), note) if note else drawn
            container.mux(stream.encode(yuv_picture(shown, int(numbers[row] - numbers[0]), rate)))
        container.mux(stream.encode())
        if count != len(scores):
            raise PixelPlayError(f"{out_path.name}: {count}{'+' if count > len(scores) else ''} frames but "
                                 f"{len(scores)} scores", expected="one score for each frame",
                                 hint="score this video again, or name the folder that holds its scores")
    return out_path


def event_at(events: Sequence[Event], number: int) -> Event | None:
    """The event that contains a frame number, or None."""
    return next((e for e in events if e.first_frame <= number <= e.last_frame), None)


def event_words(event: Event) -> str:
    """Caption of an event: its reason without the name of the model."""
    return event.reason.split(" (")[0]


def yuv_picture(image: np.ndarray, place: int, rate: Fraction) -> Any:
    """An (H, W, 3) image as frame number `place`, padded to even sides as yuv420p requires."""
    height, width = image.shape[:2]
    if width % 2 or height % 2:
        image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    picture = import_av().VideoFrame.from_ndarray(image, format="rgb24")
    picture.pts, picture.time_base = place, 1 / rate
    return picture


def draw_frame(frame: np.ndarray, boxes: Sequence[Box] = (), heat: np.ndarray | None = None, *,
               words: bool = True) -> np.ndarray:
    """One annotated frame: a new (H, W, 3) uint8 array. `words`: print the reason of the top-scoring actor."""
    drawn = np.ascontiguousarray(frame).copy()
    if heat is not None:
        drawn = overlay_heat(drawn, heat)
    draw_boxes(drawn, boxes, words=words)
    return drawn


def draw_state(frame: np.ndarray, text: str, event: str | None) -> np.ndarray:
    """Print the current time; during an event, also its caption and a border; in place.

    Args:
        event: caption of the event ('' = no reason); None outside events.
    """
    size = text_size(frame.shape[0])
    if event is not None:
        cv2.rectangle(frame, (0, 0), (frame.shape[1] - 1, frame.shape[0] - 1), style.rgb(style.VERMILLION),
                      max(3, frame.shape[0] // 90))
    put_text(frame, text, (6, 6), size, WHITE, BLACK)
    if event is not None:
        put_text(frame, f"EVENT: {event}" if event else "EVENT", (6, 8 + line_height(size)), size, BLACK,
                 style.rgb(style.ORANGE))
    return frame


def draw_note(frame: np.ndarray, text: str) -> np.ndarray:
    """Print a note into the upper right corner of a frame; in place."""
    size = text_size(frame.shape[0])
    put_text(frame, text, (frame.shape[1] - text_width(text, size) - 6, 6), size, BLACK, (235, 235, 235))
    return frame


@dataclasses.dataclass(frozen=True)
class Strip:
    """The score curve over the bottom of a picture, for a whole video or the last seconds of a stream.

    Attributes:
        low, top: scores at the lower and the upper edge; fixed, so that the curve does not jump.
        threshold: both its lines are drawn, where events begin and where they end.
    """

    low: float
    top: float
    threshold: Threshold | None = None

    @classmethod
    def of_video(cls, scores: np.ndarray, threshold: Threshold | None) -> Strip:
        """Scaled to the scores (N,) of a whole video."""
        if len(scores) == 0:
            return cls(0.0, 1.0, threshold)
        low = min(float(scores.min()), 0.0)
        return cls(low, max(float(scores.max()), threshold.high * 1.15 if threshold else low, low + 1e-6), threshold)

    @classmethod
    def of_stream(cls, threshold: Threshold) -> Strip:
        """Scaled to the threshold, because the scores of a stream are not known in advance."""
        return cls(min(0.0, threshold.low), 4.0 * max(threshold.high, 1e-6), threshold)

    def draw(self, frame: np.ndarray, numbers: np.ndarray, scores: np.ndarray, now: int, span: tuple[int, int], *,
             events: Sequence[Event] = (), labels: np.ndarray | None = None) -> None:
        """Draw into the bottom of a frame; in place.

        Args:
            numbers, scores: (N,) increasing frame numbers and their scores; those after `now` are dimmed.
            span: frame numbers at the left and the right edge.
            events: shaded; labels: (N,) bool, a yellow line.
        """
        height, width = min(frame.shape[0], max(28, round(0.14 * frame.shape[0]))), frame.shape[1]
        place = frame[-height:]
        place[:] = place // 3
        scale = max(width - 1, 1) / max(span[1] - span[0], 1)

        def x(number: float) -> float:
            return (number - span[0]) * scale

        def y(score: np.ndarray) -> np.ndarray:
            return (height - 4) - np.clip((score - self.low) / max(self.top - self.low, 1e-9), 0, 1) * (height - 8)

        for event in events:
            ends = int(x(event.first_frame)), int(np.ceil(x(event.last_frame)))
            cv2.rectangle(place, (ends[0], 0), (ends[1], height), ALARM_GROUND, -1)
        if labels is not None:
            for a, b in style.spans(numbers, np.asarray(labels, bool)):
                cv2.rectangle(place, (int(x(a)), height - 4), (int(np.ceil(x(b))), height), style.rgb(style.YELLOW), -1)
        if self.threshold is not None:
            for score, dash in ((self.threshold.high, 8), (self.threshold.low, 3)):
                level = round(float(y(np.array(score))))
                for left in range(0, width, 2 * dash):
                    cv2.line(place, (left, level), (left + dash - 1, level), style.rgb(style.YELLOW), 1)
        for part, ink in ((numbers >= now, (165, 165, 165)), (numbers <= now, WHITE)):
            if not part.any():
                continue
            columns, heights = style.with_gaps(*style.column_maxima(numbers[part], scores[part], scale),
                                               max_gap=3 + 2 * int(1 / scale))
            for run in np.split(np.stack([x(columns), y(heights)], 1), np.flatnonzero(np.isnan(columns))):
                points = run[~np.isnan(run[:, 0])]
                if len(points):
                    cv2.polylines(place, [np.round(points * 8).astype(np.int32)], False, ink, 2, cv2.LINE_AA, 3)
        cursor = round(x(now))
        cv2.line(place, (cursor, 0), (cursor, height), WHITE, 1)


def overlay_heat(frame: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Draw a heat map (h, w) in [0, 1] as a light tint and a contour that hide nothing."""
    full = cv2.resize(np.clip(np.nan_to_num(heat), 0, 1).astype(np.float32), (frame.shape[1], frame.shape[0]),
                      interpolation=cv2.INTER_CUBIC)
    if full.max() <= 0.02:
        return frame
    share = (np.clip(full, 0, 1) * TINT)[..., None]
    drawn = (frame * (1 - share) + np.array(style.rgb(style.YELLOW)) * share).astype(np.uint8)
    around, _ = cv2.findContours((full >= CONTOUR).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(drawn, around, -1, BLACK, 3, cv2.LINE_AA)
    cv2.drawContours(drawn, around, -1, style.rgb(style.YELLOW), 2, cv2.LINE_AA)
    return drawn


def draw_boxes(frame: np.ndarray, boxes: Sequence[Box], *, words: bool = True) -> None:
    """Draw the unusual actors with number and trace; in place. `words`: print the reason of the top-scoring one.
    Labels do not overlap."""
    size, taken = text_size(frame.shape[0]), []
    shown = sorted((b for b in boxes if b.score >= ACTOR_NOTE), key=lambda b: b.score)
    # the top-scoring one last, so that no other box covers it
    for box in shown:
        colour, thick = _box_colour(box), max(2, frame.shape[0] // 240)
        if len(box.trace) > 1:
            line = [np.round(np.array(box.trace)).astype(np.int32)]
            cv2.polylines(frame, line, False, BLACK, 4, cv2.LINE_AA)
            cv2.polylines(frame, line, False, colour, 2, cv2.LINE_AA)
        (x0, y0), (x1, y1) = ((round(float(v)) for v in box.xyxy[i:i + 2]) for i in (0, 2))
        cv2.rectangle(frame, (x0, y0), (x1, y1), BLACK, thick + 2)
        cv2.rectangle(frame, (x0, y0), (x1, y1), colour, thick)
    for box in shown[::-1]:
        text = f"#{box.track}" if box.track else ""
        if words and box is shown[-1] and box.score >= ACTOR_ALARM and box.words:
            text = f"{text} {box.words}".strip()
        if text:
            label(frame, text, box, size, _box_colour(box), taken)


def _box_colour(box: Box) -> tuple[int, int, int]:
    return style.rgb(style.alarm_colour(box.score, ACTOR_NOTE, ACTOR_ALARM))


def label(frame: np.ndarray, text: str, box: Box, size: int, ground, taken: list[tuple[int, int, int, int]]) -> None:
    """Print a label above a box, below it or further up, where it overlaps no other; in place. `taken` is extended."""
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
    put_text(frame, text, (x, y), size, BLACK, ground)


# ---- text -----------------------------------------------------------------------------------------------------


@functools.lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    # shipped with matplotlib, so it is the same everywhere; OpenCV's fonts lack non-ASCII letters
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans-Bold.ttf"), size)


def text_size(height: int) -> int:
    """Font size in pixels for a frame of `height` pixels."""
    return int(np.clip(round(height / 26), 11, 34))


def line_height(size: int) -> int:
    """Height of a line of text in pixels."""
    return round(1.5 * size)


def text_width(text: str, size: int) -> int:
    """Width of a line of text in pixels, with its background."""
    return int(np.ceil(_font(size).getlength(text))) + size


@functools.lru_cache(maxsize=512)
def _letters(text: str, size: int) -> np.ndarray:
    """(line height, width) float32 in [0, 1]: coverage of each pixel by a line of text."""
    image = Image.new("L", (text_width(text, size), line_height(size)))
    ImageDraw.Draw(image).text((size // 2, line_height(size) // 2), text, font=_font(size), fill=255, anchor="lm")
    return np.asarray(image, np.float32) / 255


def put_text(frame: np.ndarray, text: str, corner: tuple[int, int], size: int, ink, ground) -> None:
    """Print a line of text on a filled background, shifted and shortened to stay inside the frame; in place."""
    while text_width(text, size) > frame.shape[1] and len(text) > 2:
        text = text[:-2].rstrip(" .\u2026") + "\u2026"
    share = _letters(text, size)[:frame.shape[0], :frame.shape[1], None]
    height, width = share.shape[:2]
    x = int(np.clip(corner[0], 0, frame.shape[1] - width))
    y = int(np.clip(corner[1], 0, frame.shape[0] - height))
    frame[y:y + height, x:x + width] = np.array(ground) * (1 - share) + np.array(ink) * share
