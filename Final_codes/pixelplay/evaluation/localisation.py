"""Where a model sees the anomaly: RBDC and TBDC of its score maps against pixel masks.

Reads (N, h, w) maps in manifest order and a folder of masks; makes the two criteria with intervals. Masks know no
tracks: components are linked from frame to frame by overlap, and the numbers compare only with numbers made so.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pixelplay.data.ids import split_id
from pixelplay.errors import PixelPlayError
from pixelplay.evaluation.bootstrap import DRAWS, Interval, intervals_of
from pixelplay.evaluation.labels import first_number, read_labels
from pixelplay.evaluation.masks import iterate_masks
from pixelplay.evaluation.metrics import by_video
from pixelplay.evaluation.regions import Counts, Truth, count_maps, criteria, link_masks, thresholds_of

SAMPLED = 2_000_000
"""Map cells the thresholds are taken from, evenly spread."""


def region_intervals(maps: np.ndarray, ids: Sequence[str], masks: Path, *, draws: int = DRAWS, seed: int = 0,
                     source: str = "maps") -> dict[str, Interval]:
    """{'rbdc', 'tbdc'} with 95 % intervals.

    Args:
        maps: (N, h, w) raw score maps, higher = more anomalous, in the order of `ids`.
        masks: folder of pixel masks (see `masks.iterate_masks`).
    Raises:
        PixelPlayError: another number of maps than of frames, non-finite maps, or frames without a mask.
    """
    if maps.ndim != 3 or len(maps) != len(ids):
        raise PixelPlayError(f"{source}: maps {maps.shape} for {len(ids)} frames", expected="one map a frame",
                             mend="run the model again")
    step = max(1, int(np.ceil(maps.size / SAMPLED)))
    sampled = np.asarray(maps[::step], dtype=np.float32)
    if not np.isfinite(sampled).all():
        raise PixelPlayError(f"{source}: a map holds a value that is not finite", mend="run the model again")
    counts = counts_of(maps, ids, masks, thresholds_of(sampled))
    return intervals_of(len(counts), lambda w: criteria(counts, w), draws=draws, seed=seed)


def counts_of(maps: np.ndarray, ids: Sequence[str], masks: Path, thresholds: np.ndarray) -> list[Counts]:
    """One `Counts` a video, in manifest order."""
    pairs = [split_id(i) for i in ids]
    videos = np.array([v for v, _ in pairs], dtype=object)
    frames = np.array([f for _, f in pairs], dtype=np.int64)
    groups = by_video(videos)
    match = read_labels(masks).match(list(groups), list(groups))
    wanted = {name: video for video, name in match.items()}
    base = first_number(videos, frames)
    out: dict[str, Counts] = {}
    for name, images, indexed in iterate_masks(masks):
        if name not in wanted:
            continue
        at = groups[wanted[name]]
        shift = base if indexed else 0
        table = {number + shift: image for number, image in images}
        absent = [ids[k] for k in at if frames[k] not in table]
        if absent:
            raise PixelPlayError(f"{masks}: no mask for {len(absent)} frames (first: {', '.join(absent[:3])})",
                                 expected="one mask a frame")
        linked, _ = link_masks([(k, table[frames[row]]) for k, row in enumerate(at)], size=maps.shape[1:])
        out[wanted[name]] = count_maps(maps[at[0]:at[-1] + 1], Truth(linked, len(at)), thresholds)
    return [out[v] for v in groups]
