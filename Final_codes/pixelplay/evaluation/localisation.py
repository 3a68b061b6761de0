"""Localisation: RBDC and TBDC of score maps or scored boxes against ground-truth regions.

Reads (N, h, w) maps in manifest order or a table of boxes, and a folder of pixel masks or a table of boxes with tracks;
makes both criteria with intervals. Masks have no tracks: components are linked between frames by overlap, so results
are comparable only with results on tracks made in this way. Maps are compared with regions as sets of cells (a box is
the cells it covers by half), boxes as boxes (a mask becomes the bounding box of each component).
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from pixelplay.data.ids import frame_id, natural_key, split_id
from pixelplay.errors import PixelPlayError
from pixelplay.evaluation.bootstrap import DRAWS, Interval, intervals_of
from pixelplay.evaluation.boxes import HEADERS, BoxTable, bounds, rasterise, read_boxes
from pixelplay.evaluation.labels import Labels, first_number
from pixelplay.evaluation.masks import find_masks, iterate_masks, mask_videos, read_video_masks
from pixelplay.evaluation.metrics import by_video
from pixelplay.evaluation.regions import (
    Boxes,
    Counts,
    Truth,
    count_boxes,
    count_maps,
    criteria,
    link_masks,
    thresholds_of,
)

log = logging.getLogger(__name__)

SAMPLED = 2_000_000
"""Evenly spaced map cells from which thresholds are computed."""
MOST_THRESHOLDS = 1000
"""For boxes; with fewer distinct scores the curve is exact."""


@dataclasses.dataclass(frozen=True)
class _Video:
    """Scored frames of one video: their rows, and frame number -> position among them."""

    name: str
    rows: np.ndarray
    at: dict[int, int]


def read_regions(path: Path) -> Path | BoxTable:
    """Ground-truth regions: a CSV of boxes with tracks, or the folder of pixel masks at, below or beside a path.

    Raises:
        PixelPlayError: there are neither.
    """
    path = Path(path)
    if path.is_file() and path.suffix.lower() == ".csv" and "track" in path.open(encoding="utf-8").readline().lower():
        return read_boxes(path, "track")
    masks = find_masks(path) if path.exists() else None
    if masks is None:
        raise PixelPlayError(f"no regions at {path}", expected="mask folders, N_label.mat or .npy masks, or a CSV of "
                             f"boxes ({HEADERS['track']})")
    return masks


def read_detections(path: Path) -> np.ndarray | BoxTable:
    """Score maps (.npy) or scored boxes (.csv) of a model. Raises PixelPlayError for anything else."""
    path = Path(path)
    if not path.is_file():
        raise PixelPlayError(f"detections {path} do not exist", expected="score maps (.npy) or scored boxes (.csv)")
    if path.suffix.lower() == ".csv":
        return read_boxes(path, "score")
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as cause:
        raise PixelPlayError(f"{path} cannot be read: {cause}",
                             expected="score maps (.npy) or scored boxes (.csv)") from cause


def frames_of_masks(masks: Path) -> list[str]:
    """Ids of all frames in a folder of masks, in manifest order; counted from 0 if the files have no frame numbers."""
    found = {name: [n for n, _ in images] for name, images, _ in iterate_masks(masks)}
    return [frame_id(v, n) for v in sorted(found, key=natural_key) for n in sorted(found[v])]


def region_intervals(found: np.ndarray | BoxTable, ids: Sequence[str], truth: Path | BoxTable, *,
                     size: tuple[int, int] | None = None, known: Sequence[str] | None = None, partial: bool = False,
                     draws: int = DRAWS, seed: int = 0, source: str = "maps") -> tuple[dict[str, Interval], str]:
    """({'rbdc', 'tbdc'} with 95 % intervals, the ground truth in words); see `region_counts`."""
    counts = region_counts(found, ids, truth, size=size, known=known, partial=partial, source=source)
    kind = (f"boxes with tracks ({truth.source})" if isinstance(truth, BoxTable)
            else f"components of pixel masks, linked to tracks by overlap ({truth})")
    words = (f"{kind}: {sum(c.all_regions for c in counts)} regions of {sum(c.all_tracks for c in counts)} tracks in "
             f"{sum(c.frames for c in counts)} frames of {len(counts)} videos")
    return intervals_of(len(counts), lambda w: criteria(counts, w), draws=draws, seed=seed), words


def region_counts(found: np.ndarray | BoxTable, ids: Sequence[str], truth: Path | BoxTable, *,
                  size: tuple[int, int] | None = None, known: Sequence[str] | None = None, partial: bool = False,
                  source: str = "maps") -> list[Counts]:
    """One `Counts` per video, in the order of the Ids.

    Args:
        found: (N, h, w) raw score maps in the order of `ids`, or scored boxes; higher = more anomalous.
        ids: the scored frames, contiguous by video; false positives are counted per scored frame.
        truth: folder of pixel masks (see `masks.iterate_masks`), or boxes with tracks; a frame without a box is normal.
        size: (H, W) of the original frames; required for maps against boxes.
        known: every test Id of the manifest; regions at frames outside it are ignored.
        partial: evaluate the scored frames even if others have labels or detections.
    Raises:
        PixelPlayError: a different number of maps and frames, non-finite maps, frames without a mask, boxes at frames
            without a score, or an unknown frame size.
    """
    videos = _videos(ids)
    if isinstance(found, BoxTable):
        inside = _inside(found, videos, None, partial, "detected boxes")
        thresholds = _box_thresholds(inside.values)
        truths = _as_boxes(truth, ids, videos, size, known, partial)
        return [count_boxes(_boxes(inside, v), boxes, tracks, len(v.at), thresholds) for v, boxes, tracks in truths]
    if found.ndim != 3 or len(found) != len(ids):
        raise PixelPlayError(f"{source}: maps {found.shape} for {len(ids)} frames", expected="one map per frame",
                             hint="run the model again")
    sampled = np.asarray(found[::max(1, int(np.ceil(found.size / SAMPLED)))], dtype=np.float32)
    if not np.isfinite(sampled).all():
        raise PixelPlayError(f"{source}: a map holds a value that is not finite", hint="run the model again")
    truths = _as_cells(truth, ids, videos, found.shape[1:], size, known, partial)
    thresholds = thresholds_of(sampled)
    return [count_maps(found[v.rows[0]:v.rows[-1] + 1], Truth(regions, len(v.at)), thresholds) for v, regions in truths]


def _videos(ids: Sequence[str]) -> list[_Video]:
    pairs = [split_id(i) for i in ids]
    groups = by_video(np.array([v for v, _ in pairs], dtype=object))
    return [_Video(str(name), rows, {pairs[row][1]: k for k, row in enumerate(rows)}) for name, rows in groups.items()]


def _inside(table: BoxTable, videos: Sequence[_Video], known: Sequence[str] | None, partial: bool,
            what: str) -> BoxTable:
    """The boxes at scored frames. Raises PixelPlayError naming three of the others, unless they may be ignored."""
    lookup = {v.name: v.at for v in videos}
    keep = np.array([f in lookup.get(v, ()) for v, f in zip(table.videos, table.frames)], dtype=bool)
    outside = [frame_id(v, f) for v, f in zip(table.videos[~keep], table.frames[~keep])]
    lost = list(dict.fromkeys(i for i in outside if known is None or i in set(known)))
    if lost and not partial:
        raise PixelPlayError(f"{table.source}: {what} at {len(lost)} frames that are not scored (first: "
                             f"{', '.join(lost[:3])})", expected="frames of the scores, under their own numbers",
                             hint="score every frame, or give --partial to evaluate the scored frames alone")
    if outside:
        log.warning("%s: %d %s are at frames that are not evaluated", table.source, len(outside), what)
    return table.select(keep)


def _boxes(table: BoxTable, video: _Video) -> Boxes:
    mine = table.videos == video.name
    return Boxes(np.array([video.at[f] for f in table.frames[mine]], dtype=np.int64), table.xyxy[mine],
                 table.values[mine])


def _box_thresholds(scores: np.ndarray) -> np.ndarray:
    """Descending thresholds: every distinct score, or `MOST_THRESHOLDS` ranks of them."""
    values = np.unique(scores)[::-1]
    if not len(values):
        return np.zeros(1)
    return values[np.unique(np.linspace(0, len(values) - 1, min(len(values), MOST_THRESHOLDS)).round().astype(int))]


def _as_boxes(truth: Path | BoxTable, ids: Sequence[str], videos: Sequence[_Video], size: tuple[int, int] | None,
              known: Sequence[str] | None, partial: bool) -> Iterator[tuple[_Video, Boxes, np.ndarray]]:
    """(video, its regions as boxes, (G,) their tracks)."""
    if isinstance(truth, BoxTable):
        table = _inside(truth, videos, known, partial, "regions")
        for video in videos:
            mine = _boxes(table, video)
            yield video, dataclasses.replace(mine, scores=np.zeros(len(mine.scores))), mine.scores
        return
    for video, masks in _masks(truth, ids, videos):
        linked = link_masks(masks)
        rows = [(k, track, bounds(mask)) for k, regions in linked.items() for track, mask in regions]
        xyxy = np.array([b for *_, b in rows], dtype=np.float64).reshape(-1, 4)
        if size is not None and masks and masks[0][1].shape != tuple(size):
            xyxy *= np.array([size[1], size[0]] * 2) / np.array(masks[0][1].shape[::-1] * 2)
        yield (video, Boxes(np.array([k for k, *_ in rows], dtype=np.int64), xyxy, np.zeros(len(rows))),
               np.array([t for _, t, _ in rows], dtype=np.int64))


def _as_cells(truth: Path | BoxTable, ids: Sequence[str], videos: Sequence[_Video], cells: tuple[int, int],
              size: tuple[int, int] | None, known: Sequence[str] | None, partial: bool
              ) -> Iterator[tuple[_Video, dict[int, list[tuple[int, np.ndarray]]]]]:
    """(video, position -> [(track, (h, w) bool region), ...])."""
    if not isinstance(truth, BoxTable):
        for video, masks in _masks(truth, ids, videos):
            yield video, link_masks(masks, size=cells)
        return
    if size is None:
        raise PixelPlayError(f"{truth.source} gives regions in pixels of frames whose size is not known",
                             expected="the frame size, to lay them over score maps",
                             hint="give --manifest FOLDER of stage 01, or --frame-size WIDTHxHEIGHT")
    table = _inside(truth, videos, known, partial, "regions")
    for video in videos:
        mine, regions = _boxes(table, video), {}
        for k, box, track in zip(mine.frames.tolist(), mine.xyxy, mine.scores.tolist()):
            try:
                regions.setdefault(k, []).append((track, rasterise(box, size, cells)))
            except ValueError as cause:
                frame = next(f for f, at in video.at.items() if at == k)
                raise PixelPlayError(f"{truth.source}: {cause}, at {frame_id(video.name, frame)}",
                                     hint="check the frame size and the order x0,y0,x1,y1") from cause
        yield video, regions


def _masks(folder: Path, ids: Sequence[str], videos: Sequence[_Video]
           ) -> Iterator[tuple[_Video, list[tuple[int, np.ndarray]]]]:
    """(video, [(position, (H, W) bool mask) of every scored frame]), in the order of the videos.

    Raises:
        PixelPlayError: frames without a mask; names three.
    """
    pairs = [split_id(i) for i in ids]
    base = first_number([v for v, _ in pairs], [f for _, f in pairs])
    names = [v.name for v in videos]
    match = Labels("", str(folder), dict.fromkeys(mask_videos(folder))).match(names, names)
    for video in videos:
        images, indexed = read_video_masks(folder, match[video.name])
        table = {number + (base if indexed else 0): image for number, image in images}
        absent = [frame_id(video.name, f) for f in video.at if f not in table]
        if absent:
            raise PixelPlayError(f"{folder}: no mask for {len(absent)} frames (first: {', '.join(absent[:3])})",
                                 expected="one mask per frame")
        yield video, [(k, table[f]) for f, k in video.at.items()]
