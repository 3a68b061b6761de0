"""Region-based and track-based detection criteria (RBDC, TBDC).

Ramachandra & Jones, "Street Scene", WACV 2020. A ground-truth region is detected if a detected region overlaps it with
IoU >= 0.1; a track is detected if at least a tenth of its regions are; a detected region without such an overlap in its
frame is a false positive. Each criterion is the area under detection rate against false positives per frame, from 0 to
1.

Reads ground-truth regions with track numbers, and score maps or scored boxes; makes `Counts` per video, and from them
both areas. Counts add up over videos, as the bootstrap over videos requires.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from pixelplay.box_ops import box_iou

IOU = 0.1
TRACK_SHARE = 0.1
MAX_FPR = 1.0


@dataclasses.dataclass(frozen=True)
class Counts:
    """Counts of one video at each of T thresholds, the strictest first.

    Attributes:
        false: (T,) false-positive regions.
        regions, tracks: (T,) detected ground-truth regions and tracks.
        frames, all_regions, all_tracks: totals.
    """

    false: np.ndarray
    regions: np.ndarray
    tracks: np.ndarray
    frames: int
    all_regions: int
    all_tracks: int


@dataclasses.dataclass(frozen=True)
class Truth:
    """Ground truth of one video.

    Attributes:
        masks: frame position -> [(track, (h, w) bool region), ...]; normal frames may be absent.
        frames: number of scored frames.
    """

    masks: Mapping[int, Sequence[tuple[int, np.ndarray]]]
    frames: int


def count_maps(maps: np.ndarray, truth: Truth, thresholds: np.ndarray) -> Counts:
    """Counts from (F, h, w) score maps: detected regions are the 8-connected components at or above a threshold.

    Args:
        thresholds: (T,) descending.
    Raises:
        ValueError: maps and masks differ in size or number.
    """
    if len(maps) != truth.frames:
        raise ValueError(f"{len(maps)} maps for {truth.frames} frames")
    total = len(thresholds)
    false = np.zeros(total)
    hits: dict[int, list[np.ndarray]] = {}
    for position in range(truth.frames):
        wanted = truth.masks.get(position, ())
        image = np.asarray(maps[position], dtype=np.float32)
        for _, mask in wanted:
            if mask.shape != image.shape:
                raise ValueError(f"map {image.shape} and mask {mask.shape} differ in size")
        found = np.zeros((total, len(wanted)), dtype=bool)
        previous, before = -1, None
        for k, threshold in enumerate(thresholds):
            above = image >= threshold
            area = int(above.sum())
            if area != previous:
                before = _components(above, [m for _, m in wanted])
                previous = area
            false[k] += before[0]
            found[k] = before[1]
        for i, (track, _) in enumerate(wanted):
            hits.setdefault(track, []).append(found[:, i])
    return _counts(false, hits, truth.frames, total)


def _components(above: np.ndarray, wanted: Sequence[np.ndarray]) -> tuple[int, np.ndarray]:
    """(number of false-positive components, which wanted regions are hit) in one thresholded map."""
    number, label, stats, _ = cv2.connectedComponentsWithStats(above.astype(np.uint8), connectivity=8)
    good = np.zeros(number, dtype=bool)
    hit = np.zeros(len(wanted), dtype=bool)
    for i, mask in enumerate(wanted):
        shared = np.bincount(label[mask], minlength=number)
        union = stats[:, cv2.CC_STAT_AREA] + int(mask.sum()) - shared
        enough = shared >= IOU * union
        enough[0] = False  # the background
        good |= enough
        hit[i] = enough.any()
    return int(number - 1 - good[1:].sum()), hit


@dataclasses.dataclass(frozen=True)
class Boxes:
    """Scored boxes of one video.

    Attributes:
        frames: (B,) frame positions.
        xyxy: (B, 4) corners in pixels.
        scores: (B,) higher = more anomalous.
    """

    frames: np.ndarray
    xyxy: np.ndarray
    scores: np.ndarray


def count_boxes(found: Boxes, truth: Boxes, tracks: np.ndarray, frames: int, thresholds: np.ndarray) -> Counts:
    """Counts from scored boxes against ground-truth boxes.

    Args:
        found: detections of the video.
        truth: ground-truth boxes of the video; their scores are ignored.
        tracks: (G,) track number of each ground-truth box.
        frames: number of scored frames of the video.
        thresholds: (T,) descending; a detection counts at thresholds up to its score.
    """
    false = np.zeros(len(thresholds))
    hits: dict[int, list[np.ndarray]] = {}
    good = np.zeros(len(found.scores), dtype=bool)
    for box, frame, track in zip(np.asarray(truth.xyxy, dtype=np.float64), truth.frames, tracks):
        at = np.flatnonzero(np.asarray(found.frames) == frame)
        enough = at[box_iou(np.asarray(found.xyxy, dtype=np.float64)[at], box[None])[:, 0] >= IOU]
        good[enough] = True
        best = found.scores[enough].max() if len(enough) else -np.inf
        hits.setdefault(int(track), []).append(best >= thresholds)
    wrong = np.sort(np.asarray(found.scores, dtype=np.float64)[~good])
    false += len(wrong) - np.searchsorted(wrong, thresholds, side="left")
    return _counts(false, hits, frames, len(thresholds))


def _counts(false: np.ndarray, hits: Mapping[int, Sequence[np.ndarray]], frames: int, total: int) -> Counts:
    regions, tracks = np.zeros(total), np.zeros(total)
    for found in hits.values():
        detected = np.sum(found, axis=0)
        regions += detected
        # at least one region, because a tenth of a short track is less than one
        tracks += detected >= max(1.0, TRACK_SHARE * len(found))
    return Counts(false, regions, tracks, frames, sum(map(len, hits.values())), len(hits))


def criteria(counts: Sequence[Counts], weights: np.ndarray | None = None) -> dict[str, float]:
    """{'rbdc', 'tbdc'} over videos, each with its weight; NaN if no region is anomalous."""
    w = np.ones(len(counts)) if weights is None else np.asarray(weights, dtype=np.float64)
    frames = sum(k * c.frames for k, c in zip(w, counts))
    if not frames:
        return {"rbdc": float("nan"), "tbdc": float("nan")}
    fpr = sum(k * c.false for k, c in zip(w, counts)) / frames
    out = {}
    for name, part, whole in (("rbdc", "regions", "all_regions"), ("tbdc", "tracks", "all_tracks")):
        size = sum(k * getattr(c, whole) for k, c in zip(w, counts))
        rate = sum(k * getattr(c, part) for k, c in zip(w, counts)) / size if size else None
        out[name] = area(fpr, rate) if rate is not None else float("nan")
    return out


def area(fpr: np.ndarray, rate: np.ndarray) -> float:
    """Area under the best detection rate at each false-positive rate up to `MAX_FPR`, as a share of `MAX_FPR`.

    Components of maps merge as the threshold falls, so neither rate is monotone: the curve is the running maximum. It
    is linear between points, starts at (0, 0), and is constant after the last point.
    """
    order = np.lexsort((rate, fpr))
    x, y = fpr[order], np.maximum.accumulate(rate[order])
    last = np.append(x[1:] != x[:-1], True)
    x, y = x[last], y[last]
    if x[0] > 0:
        x, y = np.append(0.0, x), np.append(0.0, y)
    end = float(np.interp(MAX_FPR, x, y))
    inside = x < MAX_FPR
    x, y = np.append(x[inside], MAX_FPR), np.append(y[inside], end)
    return float((np.diff(x) * (y[1:] + y[:-1])).sum() / (2 * MAX_FPR))


def thresholds_of(values: np.ndarray, count: int = 100) -> np.ndarray:
    """Up to `count` descending thresholds, at evenly spaced ranks of the scores, denser at the top.

    One false positive per frame is reached while few pixels are above the threshold, so half of the thresholds lie in
    the top percent.
    """
    values = np.asarray(values, dtype=np.float32).ravel()
    top = 1 - np.geomspace(1e-6, 1e-2, count // 2)
    rest = 1 - np.geomspace(1e-2, 1.0, count - count // 2 + 1)[1:]
    return np.unique(np.quantile(values, np.clip(np.concatenate([top, rest]), 0, 1)))[::-1].astype(np.float64)


def link_masks(masks: Sequence[tuple[int, np.ndarray]], size: tuple[int, int] | None = None
               ) -> dict[int, list[tuple[int, np.ndarray]]]:
    """Regions and tracks from the mask images of one video, which have no track numbers.

    A region is an 8-connected component. It continues the track of the component in the previous frame with which it
    shares most pixels (each track continues once), or starts a new track.

    Args:
        masks: [(frame position, (H, W) bool), ...] in temporal order.
        size: (h, w) to resize the masks to, e.g. that of the score maps; a region keeps at least one pixel.
    Returns:
        position -> [(track, (h, w) bool), ...]; tracks are numbered from 0.
    """
    out: dict[int, list[tuple[int, np.ndarray]]] = {}
    track, before, last = 0, [], None
    for position, mask in masks:
        number, label = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
        now = [label == k for k in range(1, number)]
        names = _continue(now, before if last is not None and position == last + 1 else [])
        for i, name in enumerate(names):
            if name is None:
                names[i], track = track, track + 1
        before, last = list(zip(names, now)), position
        if now:
            out[position] = [(int(n), _resized(m, size)) for n, m in before]
    return out


def _continue(now: Sequence[np.ndarray], before: Sequence[tuple[int, np.ndarray]]) -> list[int | None]:
    """Track of each current region, by most shared pixels; each track is used once."""
    pairs = sorted(((int((m & old).sum()), i, name) for i, m in enumerate(now) for name, old in before),
                   key=lambda p: (-p[0], p[1], p[2]))
    names: list[int | None] = [None] * len(now)
    used = set()
    for shared, i, name in pairs:
        if shared and names[i] is None and name not in used:
            names[i] = name
            used.add(name)
    return names


def _resized(mask: np.ndarray, size: tuple[int, int] | None) -> np.ndarray:
    if size is None or mask.shape == tuple(size):
        return mask
    share = cv2.resize(mask.astype(np.float32), (size[1], size[0]), interpolation=cv2.INTER_AREA)
    # a threshold of 0.5 would remove a region smaller than a cell
    return share >= min(0.5, float(share.max()))
