"""One scorer for the four autoencoders: error maps in, one raw score a frame out.

Reads `Clips` and a network; makes `Scores`. A map is averaged over overlapping patches, divided by the size training
errors have at the same place, and the largest patch counts: a frame-wide mean would drown a small person,
and an unnormalised one would rank a swaying tree first. A frame's score is the mean over all windows that cover it,
windows with unreliable frames counting less.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm.auto import tqdm

from pixelplay.autoencoders.windows import Clips
from pixelplay.data.footage import Footage
from pixelplay.files import atomic_path
from pixelplay.model import Scores

log = logging.getLogger(__name__)

Errors = Callable[[Tensor], Tensor]
"""(B, T, C, H, W) clip -> (B, K, h, w) error maps."""

REFERENCE_HEIGHT = 192
"""Height at which a patch is as large as the setting says; it shrinks and grows with the map's height."""
LOCATION_WINDOWS = 800
"""Training windows the location errors are measured on, evenly spread."""
LEVEL_WINDOWS = 200
LEAST_WEIGHT = 1e-3
"""A frame that only unreliable windows cover still gets their score."""


def patch_means(maps: Tensor, patch: int) -> Tensor:
    """(B, K, h, w) error maps -> (B, K, P, Q) means of square patches at half-patch strides.

    Args:
        patch: side in pixels at a map height of 192; at least 2 pixels at the map's own height.
    """
    side = max(2, round(patch * maps.shape[-2] / REFERENCE_HEIGHT / 2) * 2)
    side = min(side, *maps.shape[-2:])
    return F.avg_pool2d(maps.float(), side, max(1, side // 2), ceil_mode=True, count_include_pad=False)


@torch.no_grad()
def location_errors(errors: Errors, clips: Clips, patch: int, *, batch: int = 32) -> Tensor:
    """(K, P, Q) float32: how large a training error is at a place where there is one, per map.

    It is sum(e^2) / sum(e), the mean error weighted by itself. The plain mean also says how seldom a place is
    walked on, and dividing by that would make every step onto empty ground an anomaly. Smoothed over neighbouring
    places; half of the map's mean is added, so that a place where nothing ever moved does not divide by nothing.
    """
    first, second = 0.0, 0.0
    for clip, picks in clips.batches(batch=batch, limit=LOCATION_WINDOWS):
        use = torch.as_tensor(clips.windows.weight[picks], device=clip.device).clamp_min(LEAST_WEIGHT)
        found = patch_means(errors(clip), patch)
        first = first + torch.einsum("b,bkpq->kpq", use, found)
        second = second + torch.einsum("b,bkpq->kpq", use, found ** 2)
    first, second = (F.avg_pool2d(x[None], 5, 1, 2, count_include_pad=False)[0] for x in (first, second))
    size = second / first.clamp_min(1e-20)
    return (size + 0.5 * size.mean(dim=(1, 2), keepdim=True)).clamp_min(1e-12).cpu()


@torch.no_grad()
def map_levels(errors: Errors, reduce: Callable[[Tensor], Tensor], clips: Clips, location: Tensor, patch: int, *,
               batch: int = 32) -> Tensor:
    """(K,) float32: mean score of each map on training windows. Divided by it, maps of different scales can stand in
    for one another where not all of them reach a frame, as at the start of a video."""
    found = [reduce(patch_means(errors(clip), patch) / location.to(clips.device))
             for clip, _ in clips.batches(batch=batch, limit=LEVEL_WINDOWS)]
    return torch.cat(found).float().mean(dim=0).clamp_min(1e-12).cpu()


@torch.no_grad()
def score_footage(errors: Errors, reduce: Callable[[Tensor], Tensor], clips: Clips, scored: tuple[int, ...],
                  location: Tensor, patch: int, *, local: Callable[[Tensor], Tensor] | None = None,
                  levels: Tensor | None = None,
                  weights: tuple[float, ...] | None = None, maps: Path | None = None, batch: int = 32,
                  title: str = "score") -> Scores:
    """Raw score of every frame of the clips' footage.

    Args:
        errors: the network's error maps.
        reduce: (B, K, P, Q) normalised patch means -> (B, K) positive scores.
        scored: for each map, the window frame it is charged to.
        location: (K, P, Q) from `location_errors`.
        local: (B, K, P, Q) normalised patch means -> the same shape on the scale of `reduce`, for the kept maps; as
            they are when None.
        levels: (K,) from `map_levels`; ones when None.
        weights: of each map in a frame's average; equal when None.
        maps: file (.npy, float16 (N, P, Q)) for the local scores averaged over windows, in units of the usual score of
            a training frame; None = not kept.
    Returns:
        Scores, positive; `filled` marks frames no complete window reached (they take the nearest score of their
        video, or that of a padded window in a video shorter than a window).
    """
    count, windows = len(clips.footage), clips.windows
    location = location.to(clips.device)
    share = np.ones(len(scored)) if weights is None else np.asarray(weights, np.float64)
    level = 1.0 if levels is None else levels.double().cpu().numpy()
    sums, total = np.zeros(count), np.zeros(count)
    with contextlib.ExitStack() as stack:
        grid = None
        if maps is not None and count:
            maps.parent.mkdir(parents=True, exist_ok=True)
            scratch = stack.enter_context(tempfile.TemporaryFile(dir=maps.parent))
            # on disk: the memory a run needs must not grow with the length of the footage
            grid = np.memmap(scratch, np.float32, "w+", shape=(count, *location.shape[-2:]))
        bar = stack.enter_context(tqdm(total=len(clips), desc=title, unit="frame", leave=False))
        for clip, picks in clips.batches(batch=batch):
            patches = patch_means(errors(clip), patch) / location
            values = reduce(patches).double().cpu().numpy() / level
            use = np.maximum(windows.weight[picks], LEAST_WEIGHT).astype(np.float64)
            rows = windows.rows[picks][:, list(scored)]
            use = use[:, None] * share
            np.add.at(sums, rows, values * use)
            np.add.at(total, rows, use)
            if grid is not None:
                factor = torch.as_tensor(use / level, dtype=torch.float32, device=patches.device)
                flat = (patches if local is None else local(patches)) * factor[:, :, None, None]
                first, last = rows.min(), rows.max() + 1
                part = torch.zeros(last - first, *location.shape[-2:], device=flat.device)
                part.index_add_(0, torch.as_tensor((rows - first).ravel(), device=flat.device), flat.flatten(0, 1))
                grid[first:last] += part.cpu().numpy()
            bar.update(len(picks))
        covered = total > 0
        values = np.divide(sums, total, out=np.zeros(count), where=covered)
        source = nearest_covered(clips.footage, covered)
        kept = None
        if grid is not None:
            with atomic_path(maps) as part:
                kept = np.lib.format.open_memmap(part, "w+", np.float16, grid.shape)
                for i in range(0, count, 256):
                    take = source[i:i + 256]
                    kept[i:i + 256] = np.clip(grid[take] / total[take, None, None], 0, 6e4)
                kept.flush()
            kept = np.load(maps, mmap_mode="r")
    padded = np.zeros(count, bool)
    padded[windows.rows[windows.padded][:, list(scored)].ravel()] = True
    return Scores(values[source], ~covered | padded, maps=kept)


def nearest_covered(footage: Footage, covered: np.ndarray) -> np.ndarray:
    """(N,) row whose score each frame takes: its own where it is covered, else the nearest covered frame of its video
    by frame number (the earlier at a tie)."""
    source = np.arange(len(footage))
    for name in footage.video_names():
        rows = np.flatnonzero(footage.videos == name)
        good = rows[covered[rows]]
        for row in rows[~covered[rows]]:
            source[row] = good[np.argmin(np.abs(footage.frames[good] - footage.frames[row]))]
    return source
