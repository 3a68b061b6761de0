"""Synthetic anomalies in normal footage, to evaluate weights and smoothing without labels.

Reads anomaly-free `Footage`; makes `Injected`: footage in which some actors move or look wrong, with labels. Actors are
the moving foreground of the footage itself: cut out, changed and pasted over the video's own background:
    speed_up  an actor runs 2.5 times as fast          flip   an actor is upside down
    reverse   an actor walks backwards                 scale  an actor is 1.6 times as large
    freeze    an actor stops abruptly                  paste  a patch of another place flies through
    gesture   an actor's upper body swings to and fro while it moves on

As many events are cut out and pasted back unchanged (`untouched`, labelled normal), so that a model gains nothing by
detecting the editing. Every edit concerns one actor, unlike the sped-up windows that some autoencoders are trained on,
so no model is tested on its own augmentation.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from pixelplay.box_ops import box_iou
from pixelplay.config import config_hash
from pixelplay.data.footage import Footage, segments
from pixelplay.data.subsample import spread
from pixelplay.errors import PixelPlayError

KINDS = ("speed_up", "reverse", "freeze", "flip", "scale", "paste", "gesture")
UNTOUCHED = "untouched"
SPEED, SCALE = 2.5, 1.6
SWING, PERIOD = 0.4, 8
"""How far the head of a gesturing actor swings to either side, in widths of the actor, and in how many frames."""
SHORTEST, LONGEST = 16, 40
"""Frames of an event."""
FOREGROUND = 24
"""Grey levels between a pixel and the background that make it foreground."""
BACKGROUND_FRAMES = 25
VERSION = 3
"""Of the edits: raise it when the same events change other pixels, so that kept scores are made again."""
STEADY = 1.25
"""Most that an actor's height may change from a frame to the next."""


@dataclasses.dataclass(frozen=True)
class Event:
    """One edit over n consecutive frames. Boxes are xyxy as shares of the frame's width and height.

    Attributes:
        kind: one of `KINDS`, or `UNTOUCHED`.
        targets: (n,) positions of the edited frames.
        sources: (n,) positions of the frames the content is cut from.
        cut, put: (n, 4) boxes of the content in its source and in the target.
        erase: (n, 4) boxes filled with background first, or None.
    """

    kind: str
    targets: np.ndarray
    sources: np.ndarray
    cut: np.ndarray
    put: np.ndarray
    erase: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class Injected:
    """Footage with synthetic anomalies.

    Attributes:
        footage: as many frames as the normal one; working-size pixels in memory, full-size frames edited on the fly.
        labels: (N,) uint8, 1 = anomalous.
        kinds: (N,) object, the kind of the event a frame belongs to, '' for none.
    """

    footage: Footage
    labels: np.ndarray
    kinds: np.ndarray
    events: list[Event]


def inject(footage: Footage, generator: np.random.Generator, *, kinds: Sequence[str] = KINDS,
           share: float = 0.3) -> Injected:
    """Put synthetic anomalies into normal footage.

    Args:
        footage: anomaly-free, with people or vehicles that move for at least `SHORTEST` frames.
        share: of the frames that become anomalous, as far as there are actors for it; as many again get an
            untouched edit.
    Raises:
        PixelPlayError: unknown kind, or no actor moves long enough.
    """
    unknown = set(kinds) - set(KINDS)
    if unknown:
        raise PixelPlayError(f"there is no synthetic anomaly {', '.join(sorted(unknown))}", expected=", ".join(KINDS))
    backgrounds = {v: _median(footage, v) for v in footage.video_names()}
    tracks = actor_tracks(footage, backgrounds)
    if not tracks:
        raise PixelPlayError(f"nothing moves for {SHORTEST} frames in {footage.name} footage of {len(footage)} frames",
                             expected="training videos with people or vehicles",
                             hint="use --weights prior for this dataset")
    events = _plan(footage, tracks, generator, kinds, share)
    pixels = footage.batch(np.arange(len(footage)))
    labels, names = np.zeros(len(footage), np.uint8), np.full(len(footage), "", dtype=object)
    for event in events:
        source = footage.batch(event.sources)
        for k, target in enumerate(event.targets):
            where = backgrounds[footage.videos[target]], backgrounds[footage.videos[event.sources[k]]]
            pixels[target] = edit(pixels[target], source[k], *where, event, k)
        labels[event.targets] = event.kind != UNTOUCHED
        names[event.targets] = event.kind
    made = footage.with_pixels(
        pixels, name=f"{footage.name}-synthetic", rows=np.arange(len(footage)),
        fingerprint=config_hash(
            VERSION, footage.fingerprint, [(e.kind, e.targets.tolist(), e.put.tolist()) for e in events]),
        open_stream=lambda rows: _stream(footage, events, rows))
    return Injected(made, labels, names, events)


def actor_tracks(footage: Footage, backgrounds: dict[str, np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Moving things: [(positions (n,), boxes (n, 4) as shares), ...], each at least `SHORTEST` frames long."""
    h, w = footage.size
    done: list[tuple[list[int], list[np.ndarray]]] = []
    for piece in segments(footage.videos, footage.frames):
        alive: list[tuple[list[int], list[np.ndarray]]] = []
        for position in range(piece.start, piece.stop):
            boxes = _moving_boxes(footage.batch(np.array([position]))[0], backgrounds[footage.videos[position]])
            free, still = list(range(len(boxes))), []
            for track in alive:
                best = max(free, key=lambda b: _overlap(boxes[b], track[1][-1]), default=None)
                if best is not None and _same(boxes[best], track[1][-1]):
                    track[0].append(position)
                    track[1].append(boxes[best])
                    free.remove(best)
                    still.append(track)
                else:
                    done.append(track)
            alive = still + [([position], [boxes[b]]) for b in free]
        done += alive
    unit = np.array([w, h, w, h], dtype=np.float64)
    return [(np.array(p), _steady(np.stack(b)) / unit) for p, b in done if len(p) >= SHORTEST]


def edit(frame: np.ndarray, source: np.ndarray, background: np.ndarray, source_background: np.ndarray, event: Event,
         k: int) -> np.ndarray:
    """The k-th frame of an event: erase, then put the content in. All images (H, W, 3) uint8 of one size."""
    out = frame.astype(np.float32)
    if event.erase is not None:
        _blend(out, background.astype(np.float32), event.erase[k], None)
    y0, y1, x0, x1 = _pixels(event.cut[k], source.shape)
    content = source[y0:y1, x0:x1].astype(np.float32)
    if event.kind == "paste":
        alpha = _oval(content.shape[:2])
    else:
        far = np.abs(content - source_background[y0:y1, x0:x1]).max(axis=2)
        hole = max(3, min(content.shape[:2]) // 5)
        whole = cv2.morphologyEx((far > FOREGROUND / 2).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((hole, hole)))
        alpha = cv2.GaussianBlur(cv2.dilate(whole, np.ones((3, 3))).astype(np.float32), (0, 0), 1.0)
    if event.kind == "flip":
        content, alpha = content[::-1], alpha[::-1]
    elif event.kind == "gesture":
        content, alpha = _swung(content, k), _swung(alpha, k)
    _blend(out, content, event.put[k], alpha)
    return np.clip(np.rint(out), 0, 255).astype(np.uint8)


def _plan(footage: Footage, tracks: list[tuple[np.ndarray, np.ndarray]], generator: np.random.Generator,
          kinds: Sequence[str], share: float) -> list[Event]:
    """Events that share no frame: kinds in turn, an untouched one after each, tracks in random order."""
    used = np.zeros(len(footage), dtype=bool)
    wanted, anomalous, turn = share * len(footage), 0, 0
    events: list[Event] = []
    for index in generator.permutation(len(tracks)):
        positions, boxes = tracks[int(index)]
        start = 0
        while start + SHORTEST <= len(positions):
            kind = kinds[turn // 2 % len(kinds)] if turn % 2 == 0 else UNTOUCHED
            length = int(generator.integers(SHORTEST, LONGEST + 1) * (SPEED if kind == "speed_up" else 1))
            length = min(length, len(positions) - start)
            part = slice(start, start + length)
            if used[positions[part]].any():
                start += SHORTEST
                continue
            event = _event(kind, positions[part], boxes[part], footage, generator)
            start += length
            if event is None:
                continue
            events.append(event)
            used[event.targets] = True
            turn += 1
            anomalous += len(event.targets) * (kind != UNTOUCHED)
            if anomalous >= wanted and turn % 2 == 0:
                return events
    return events


def _event(kind: str, positions: np.ndarray, boxes: np.ndarray, footage: Footage,
           generator: np.random.Generator) -> Event | None:
    n = len(positions)
    if kind == "paste":
        return _paste(positions, footage, generator)
    if kind == "speed_up":
        n = int((n - 1) / SPEED) + 1
        if n < SHORTEST // 2:
            return None
        order = np.rint(np.arange(n) * SPEED).astype(np.int64)
    elif kind == "reverse":
        order = np.arange(n)[::-1]
    elif kind == "freeze":
        order = np.zeros(n, dtype=np.int64)
    else:
        order = np.arange(n)
    moved = float(np.hypot(*(_centre(boxes[0]) - _centre(boxes[-1]))))
    if kind in ("reverse", "freeze", "speed_up") and moved < 0.5 * float(boxes[0, 2] - boxes[0, 0]):
        return None  # an actor that hardly moves looks the same backwards, frozen and fast
    if kind == "gesture":
        room = SWING * (boxes[:, 2] - boxes[:, 0])
        boxes = boxes + np.stack([-room, 0 * room, room, 0 * room], axis=1)
    put = boxes[order]
    if kind == "scale":
        centre, low = (put[:, 0] + put[:, 2]) / 2, put[:, 3]
        width, height = SCALE * (put[:, 2] - put[:, 0]), SCALE * (put[:, 3] - put[:, 1])
        put = np.stack([centre - width / 2, low - height, centre + width / 2, low], axis=1)
    return Event(kind, positions[:n], positions[order], boxes[order], put, boxes[:n])


def _paste(positions: np.ndarray, footage: Footage, generator: np.random.Generator) -> Event:
    """A piece of another place on a straight line through the frame."""
    n, (h, w) = len(positions), footage.size
    high = generator.uniform(0.06, 0.14)
    wide = high * h / w * generator.uniform(0.7, 1.4)
    start = generator.uniform((0.1, 0.2), (0.9 - wide, 0.8 - high))
    angle, speed = generator.uniform(0, 2 * np.pi), generator.uniform(0.006, 0.02)
    step = speed * np.array([np.cos(angle), np.sin(angle)])
    # it bounces off the borders, so that it stays in sight
    corner = np.abs(start + np.arange(n)[:, None] * step)
    limit = np.array([1 - wide, 1 - high])
    corner = limit - np.abs(limit - np.mod(corner, 2 * limit))
    side = np.array([wide, high])
    put = np.concatenate([corner, corner + side], axis=1)
    place = generator.uniform((0, 0), (1 - wide, 1 - high))
    cut = np.tile(np.concatenate([place, place + side]), (n, 1))
    source = np.full(n, int(generator.integers(len(footage))))
    return Event("paste", positions, source, cut, put, None)


def _stream(footage: Footage, events: list[Event], rows: np.ndarray) -> Iterator[np.ndarray]:
    """Full-size frames of positions `rows` (sorted), edited; sources of an event are decoded when it begins."""
    rows = np.asarray(rows, dtype=np.int64)
    event_of = {int(t): (e, k) for e in events for k, t in enumerate(e.targets)}
    backgrounds: dict[str, np.ndarray] = {}
    current: Event | None = None
    sources: dict[int, np.ndarray] = {}

    def background(video: str) -> np.ndarray:
        if video not in backgrounds:
            at = _spread(footage, video)
            backgrounds[video] = np.median(np.stack(list(footage.open_stream(footage.rows[at]))), axis=0)
        return backgrounds[video]

    for row, frame in zip(rows.tolist(), footage.open_stream(footage.rows[rows])):
        event, k = event_of.get(row, (None, 0))
        if event is None:
            yield frame
            continue
        if event is not current:
            at = np.unique(event.sources)
            current, sources = event, dict(zip(at.tolist(), footage.open_stream(footage.rows[at])))
        source = int(event.sources[k])
        where = background(footage.videos[row]), background(footage.videos[source])
        yield edit(frame, sources[source], *where, event, k)


def _spread(footage: Footage, video: str) -> np.ndarray:
    at = np.flatnonzero(footage.videos == video)
    return spread(at, BACKGROUND_FRAMES, rounded=True)


def _median(footage: Footage, video: str) -> np.ndarray:
    return np.median(footage.batch(_spread(footage, video)), axis=0)


def _moving_boxes(frame: np.ndarray, background: np.ndarray) -> list[np.ndarray]:
    """Boxes xyxy in pixels of what differs from the background, between 0.1 and 10 % of the frame, with a margin."""
    h, w = frame.shape[:2]
    far = cv2.absdiff(frame, background.astype(np.uint8)).max(axis=2)
    mask = cv2.morphologyEx((far > FOREGROUND).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3)))
    # people are taller than wide, and a bright shirt before bright ground cuts them in two
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((max(5, h // 16), 5)))
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    boxes = []
    for x, y, bw, bh, area in stats[1:]:
        # what touches the border enters or leaves: its path is cut off
        inside = x > 1 and y > 1 and x + bw < w - 1 and y + bh < h - 1
        if inside and area >= 0.001 * h * w and bw * bh <= 0.1 * h * w:
            margin = 2 + 0.05 * max(bw, bh)
            boxes.append(np.array([max(x - margin, 0), max(y - margin, 0), min(x + bw + margin, w),
                                   min(y + bh + margin, h)]))
    return boxes


def _steady(boxes: np.ndarray) -> np.ndarray:
    """Boxes (n, 4) averaged over five frames, so that the cut does not jitter."""
    padded = np.concatenate([boxes[:1].repeat(2, 0), boxes, boxes[-1:].repeat(2, 0)])
    return np.stack([padded[k:k + len(boxes)] for k in range(5)]).mean(axis=0)


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float(box_iou(a[None], b[None])[0, 0])


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two boxes of neighbouring frames show the same actor, complete in both."""
    (wide, high), (wider, higher) = a[2:] - a[:2], b[2:] - b[:2]
    return _overlap(a, b) > 0.3 and max(high / higher, higher / high) < STEADY and max(wide / wider, wider / wide) < 1.5


def _centre(box: np.ndarray) -> np.ndarray:
    return (box[:2] + box[2:]) / 2


def _pixels(box: np.ndarray, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """(y0, y1, x0, x1) of a box in shares, at least one pixel, inside the frame."""
    h, w = shape[:2]
    x0, y0 = (int(np.clip(round(v * s), 0, s - 1)) for v, s in zip(box[:2], (w, h)))
    x1, y1 = (int(np.clip(round(v * s), low + 1, s)) for v, s, low in zip(box[2:], (w, h), (x0, y0)))
    return y0, y1, x0, x1


def _blend(out: np.ndarray, content: np.ndarray, box: np.ndarray, alpha: np.ndarray | None) -> None:
    """Blend content into out (H, W, 3) at a box, in place; a box over the border is cut off with its content.

    Where `alpha` is None, `content` is a whole frame of which the box is taken, with a soft edge.
    """
    h, w = out.shape[:2]
    if alpha is None:
        y0, y1, x0, x1 = _pixels(box, out.shape)
        soft = _soft_edge((y1 - y0, x1 - x0))[..., None]
        out[y0:y1, x0:x1] += soft * (content[y0:y1, x0:x1] - out[y0:y1, x0:x1])
        return
    x0, y0, x1, y1 = (round(float(v) * side) for v, side in zip(box, (w, h, w, h)))
    wide, high = max(1, x1 - x0), max(1, y1 - y0)
    content = cv2.resize(np.ascontiguousarray(content), (wide, high), interpolation=cv2.INTER_LINEAR)
    alpha = cv2.resize(np.ascontiguousarray(alpha), (wide, high), interpolation=cv2.INTER_LINEAR)[..., None]
    top, left, bottom, right = max(y0, 0), max(x0, 0), min(y0 + high, h), min(x0 + wide, w)
    if bottom <= top or right <= left:
        return
    inside = slice(top - y0, bottom - y0), slice(left - x0, right - x0)
    part = out[top:bottom, left:right]
    part += alpha[inside] * (content[inside] - part)


def _swung(image: np.ndarray, k: int) -> np.ndarray:
    """The k-th picture of a gesture: (h, w, ...) float32 bent sideways, most at the top, not at all below the hips."""
    h, w = image.shape[:2]
    y, x = np.mgrid[:h, :w].astype(np.float32)
    reach = SWING / (1 + 2 * SWING) * w * np.sin(2 * np.pi * k / PERIOD)  # the box has room for it at both sides
    bent = x - np.float32(reach) * np.clip(1 - 2 * y / h, 0, 1)
    return cv2.remap(np.ascontiguousarray(image), bent, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _soft_edge(size: tuple[int, int]) -> np.ndarray:
    """(h, w) float32: 1 inside, falling over two pixels towards the edge."""
    rows, columns = (np.minimum(np.arange(n) + 1, np.arange(n)[::-1] + 1) for n in size)
    return (np.clip(np.minimum(rows[:, None], columns[None]), 0, 3) / 3).astype(np.float32)


def _oval(size: tuple[int, int]) -> np.ndarray:
    """(h, w) float32: an ellipse with a soft edge."""
    y, x = (np.linspace(-1, 1, n) if n > 1 else np.zeros(1) for n in size)
    return np.clip(4 * (1 - np.hypot(y[:, None], x[None])), 0, 1).astype(np.float32)
