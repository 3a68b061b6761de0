"""Actors as boxes: those that the local memory found in each test frame, one box per person, linked over time.

Reads a model's actors (`two_stream.actor_files`); makes boxes by row, with reasons, short tracks and nearest training
actors. Background subtraction often finds heads, feet and wheels separately: parts in one column within the height of a
person are merged. For display only; scores are not affected.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from pixelplay.box_ops import box_iou
from pixelplay.fusion.calibrated import unit
from pixelplay.fusion.scores import ScoreFile
from pixelplay.model import Model

OVERLAP = 0.4
"""Smallest IoU of the same actor in neighbouring frames."""
REACH = 12
"""Frame numbers over which an appearance score is kept and a lost actor is waited for."""
HOLD = 5
"""Frames to either side over which the maximum score of an actor is shown, so that its box does not blink."""
TRACE = 25
"""Length of the trace drawn behind an actor, in frames."""
ACTOR_NOTE, ACTOR_ALARM = 2.0, 3.0
"""Rarities from which an actor is drawn, and from which its reason is printed: one normal frame in 100, one in 1000."""
BINS = 12
"""Bands of image rows for the height of a person."""


@dataclasses.dataclass(frozen=True)
class Box:
    """One actor in one frame.

    Attributes:
        xyxy: in pixels of the frame.
        score: rarity, see `actor_rarity`.
        words: reason, or ''.
        track: number of the actor within its video, from 1; 0 = never unusual.
        trace: past positions of its centre, oldest first, in pixels.
    """

    xyxy: tuple[float, float, float, float]
    score: float
    words: str = ""
    track: int = 0
    trace: tuple[tuple[float, float], ...] = ()


ActorRarity = Callable[[Mapping[str, np.ndarray]], np.ndarray]


def actor_rarity(model: Model, scores: ScoreFile) -> ActorRarity:
    """Rarity of actors: function from part -> (M,) partial scores to (M,) rarities.

    An actor's rarity is that of a frame with this actor alone, among held-out training frames; 2 = one normal frame in
    100. The unit is that of the final score.

    Raises:
        ValueError: the score file has no held-out training scores.
    """
    known = unit(scores)
    return lambda parts: known(model.actor_scores(parts))


class People:
    """Actors of the test frames.

    Args:
        found: arrays of `actor_arrays`.
        rarity: of actors, from their partial scores.
        ids, videos, frames: (N,) of the test frames, in manifest order.
    """

    def __init__(self, found: Mapping[str, np.ndarray], rarity: ActorRarity, ids: Sequence[str], videos: np.ndarray,
                 frames: np.ndarray):
        row_of = {i: r for r, i in enumerate(ids)}
        known = np.array([row_of.get(str(i), -1) for i in found["Id"]], dtype=np.int64)
        keep = np.flatnonzero(known >= 0)
        keep = keep[np.argsort(known[keep], kind="stable")]
        parts = {name: np.asarray(found[name])[keep] for name in ("boxes", "reason", "nearest")}
        videos, frames = np.asarray(videos), np.asarray(frames)
        self.rows, self.starts = known[keep], np.searchsorted(known[keep], np.arange(len(ids) + 1))
        self.boxes_xyxy, self._nearest = parts["boxes"].astype(np.float64), parts["nearest"].astype(np.int64)
        self.words = [str(w) for w in parts["reason"]]
        judged = {name.removesuffix("_z"): np.asarray(z)[keep].astype(np.float64) for name, z in found.items()
                  if name.endswith("_z")}
        self.scores = rarity({name: self._carry(z, videos, frames) for name, z in judged.items()})
        self._merge()
        self._follow(videos, frames)
        self._train_ids = [str(i) for i in found["train_Id"]]
        self._train_boxes = np.asarray(found["train_boxes"], dtype=np.float64)

    def boxes(self, row: int) -> list[Box]:
        """Boxes of a test frame."""
        return [Box(tuple(self.boxes_xyxy[a].tolist()), float(self.scores[a]), self.words[a], self.tracks[a],
                    self._trace(a)) for a in self._of(row)]

    def nearest(self, row: int, box: int) -> tuple[str, np.ndarray] | None:
        """(Id of its frame, (4,) xyxy) of the nearest training actor of a box; None if unknown."""
        entry = self._nearest[self._of(row)[box]]
        return (self._train_ids[entry], self._train_boxes[entry]) if entry >= 0 else None

    def words_near(self, row: int, reach: int = 5) -> str:
        """Reason of the top-scoring actor within `reach` rows; '' if there is none."""
        actors = [a for a in range(self.starts[max(0, row - reach)], self.starts[min(row + reach + 1,
                  len(self.starts) - 1)]) if self.words[a]]
        return self.words[max(actors, key=lambda a: self.scores[a])] if actors else ""

    # ---- inside -------------------------------------------------------------------------------------------

    def _of(self, row: int) -> range:
        return range(self.starts[row], self.starts[row + 1])

    def _carry(self, part: np.ndarray, videos: np.ndarray, frames: np.ndarray) -> np.ndarray:
        """Fill the frames between measurements (NaN): a box keeps the value of the box it overlaps in the previous
        frame."""
        out, age = part.copy(), np.zeros(len(part), dtype=np.int64)
        for row in range(1, len(self.starts) - 1):
            step = int(frames[row] - frames[row - 1])
            before = [a for a in self._of(row - 1) if np.isfinite(out[a]) and age[a] + step <= REACH]
            if videos[row] != videos[row - 1] or not before:
                continue
            for a in self._of(row):
                if not np.isfinite(out[a]):
                    shared = box_iou(self.boxes_xyxy[a:a + 1], self.boxes_xyxy[before])[0]
                    b = before[int(np.argmax(shared))]
                    if shared.max() >= OVERLAP:
                        out[a], age[a] = out[b], age[b] + step
                        self._nearest[a] = self._nearest[b] if self._nearest[a] < 0 else self._nearest[a]
        return out

    def _merge(self) -> None:
        """Merge the parts of a person: union of the boxes, score of the top-scoring part."""
        height = person_heights(self.boxes_xyxy)
        boxes, scores, words, nearest, rows = [], [], [], [], []
        for row in range(len(self.starts) - 1):
            for group in persons(self.boxes_xyxy[self.starts[row]:self.starts[row + 1]], height):
                parts = sorted((self.starts[row] + group).tolist(), key=lambda a: -self.scores[a])
                known = [a for a in parts if self._nearest[a] >= 0]
                boxes.append(union(self.boxes_xyxy[parts]))
                scores.append(self.scores[parts[0]])
                words.append(next((self.words[a] for a in parts if self.words[a]), ""))
                nearest.append(self._nearest[known[0]] if known else -1)
                rows.append(row)
        self.rows = np.array(rows, dtype=np.int64)
        self.starts = np.searchsorted(self.rows, np.arange(len(self.starts)))
        self.boxes_xyxy, self.scores = np.array(boxes).reshape(-1, 4), np.array(scores, dtype=np.float64)
        self.words, self._nearest = words, np.array(nearest, dtype=np.int64)

    def _follow(self, videos: np.ndarray, frames: np.ndarray) -> None:
        """Number the actors of each video, hold their highest score for a moment, and give each track the reason of
        its peak, so that one actor shows one speed."""
        self.tracks, members = [0] * len(self.rows), []
        self._earlier = np.full(len(self.rows), -1, dtype=np.int64)
        open_tracks: list[list[int]] = []
        for row in range(len(self.starts) - 1):
            if row and videos[row] != videos[row - 1]:
                open_tracks = []
            open_tracks = [t for t in open_tracks if frames[row] - frames[self.rows[t[-1]]] <= REACH]
            pairs = sorted(((likeness(self.boxes_xyxy[t[-1]], self.boxes_xyxy[a]), k, a)
                            for k, t in enumerate(open_tracks) for a in self._of(row)), reverse=True)
            taken: set[int] = set()
            for like, k, a in pairs:
                if like > 0 and a not in taken and self.rows[open_tracks[k][-1]] != row:
                    self._earlier[a] = open_tracks[k][-1]
                    open_tracks[k].append(a)
                    taken.add(a)
            for a in self._of(row):
                if a not in taken:
                    open_tracks.append([a])
                    members.append(open_tracks[-1])
        own, number = self.scores.copy(), {}
        for track in members:
            with_reason = [a for a in track if self.words[a]]
            best = max(with_reason, key=lambda a: own[a]) if with_reason else None
            video = videos[self.rows[track[0]]]
            drawn = max(own[a] for a in track) >= ACTOR_NOTE  # only actors that are drawn get a number
            number[video] = number.get(video, 0) + drawn
            for place, a in enumerate(track):
                self.scores[a] = max(own[b] for b in track[max(0, place - HOLD):place + HOLD + 1])
                self.words[a] = self.words[best] if best is not None else ""
                self.tracks[a] = number[video] if drawn else 0

    def _trace(self, actor: int) -> tuple[tuple[float, float], ...]:
        points: list[tuple[float, float]] = []
        while actor >= 0 and len(points) < TRACE:
            x0, y0, x1, y1 = self.boxes_xyxy[actor]
            points.append((float(x0 + x1) / 2, float(y0 + y1) / 2))
            actor = int(self._earlier[actor])
        # smooth the jitter of the boxes
        return tuple(tuple(np.mean(points[max(0, i - HOLD):i + HOLD + 1], axis=0).tolist())
                     for i in range(len(points) - 1, -1, -1))


def person_heights(boxes: np.ndarray) -> np.ndarray:
    """(BINS, 2): bottom edge in pixels, and height of a person standing there, the 80th percentile of the heights of
    the boxes (M, 4) near it."""
    if len(boxes) == 0:
        return np.zeros((0, 2))
    bottom, tall = boxes[:, 3], boxes[:, 3] - boxes[:, 1]
    order = np.argsort(bottom, kind="stable")
    return np.array([(np.median(bottom[part]), np.quantile(tall[part], 0.8))
                     for part in np.array_split(order, min(BINS, len(order)))])


def persons(boxes: np.ndarray, height: np.ndarray) -> list[np.ndarray]:
    """Groups of boxes (k, 4) in one frame that are parts of one actor, as positions; every box is in one group.

    Two groups are merged if one contains the other, or if they are in the same column within the height of a person.
    """
    groups = [np.array([i]) for i in range(len(boxes))]
    joined = True
    while joined:
        joined = False
        for i in range(len(groups)):
            for j in range(i + 1, len(groups)):
                if _one_person(union(boxes[groups[i]]), union(boxes[groups[j]]), height):
                    groups[i] = np.concatenate([groups[i], groups.pop(j)])
                    joined = True
                    break
            if joined:
                break
    return groups


def _one_person(a: np.ndarray, b: np.ndarray, height: np.ndarray) -> bool:
    width, tall = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    narrow, wide = sorted((a[2] - a[0], b[2] - b[0]))
    if width < 0.5 * narrow:
        return False
    if tall > 0 and width * tall >= 0.6 * min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1])):
        return True
    both = union(np.stack([a, b]))
    person = float(np.interp(both[3], height[:, 0], height[:, 1]))
    # a rider is taller than a walker: allow more height if the parts touch
    most = (1.7 if tall > 0 else 1.25) * person
    return -tall <= 0.3 * person and both[3] - both[1] <= most and both[2] - both[0] <= 1.4 * wide


def union(boxes: np.ndarray) -> np.ndarray:
    """(4,) bounding box xyxy of (k, 4) boxes."""
    return np.concatenate([boxes[:, :2].min(0), boxes[:, 2:].max(0)])


def likeness(a: np.ndarray, b: np.ndarray) -> float:
    """Similarity of two boxes in different frames: 1 for equal boxes, 0 if they are more than half a box apart. IoU
    alone would lose actors that move further than their own size."""
    away = np.hypot((a[0] + a[2] - b[0] - b[2]) / 2, (a[3] - b[3] + a[1] - b[1]) / 2)
    size = np.sqrt(max((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]), 1.0))
    return float(max(0.0, 1.0 - away / size))
