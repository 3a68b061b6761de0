"""The scorer of the autoencoders: error maps -> one raw score per frame.

Reads `Clips` and a network; makes `Scores`. A network measures motion and appearance errors of each target frame. Each
error map is averaged over overlapping patches and divided by the typical training error near that place. The score of a
place is their weighted sum, and the score of a frame the maximum over places (Nguyen and Meunier, ICCV 2019): a
frame-wide mean would hide a small person, and unnormalised errors would rank whoever is closest to the camera first. A
product of both errors would hide places where only one is high, such as a gesture on the spot. The scores of several
windows on a frame are averaged; windows with unreliable frames weigh less.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pixelplay.arrays import new_array, read_array, scratch_array
from pixelplay.autoencoders.windows import Clip, Clips
from pixelplay.data.footage import Footage
from pixelplay.model import Scores
from pixelplay.progress import tqdm

log = logging.getLogger(__name__)

Errors = Callable[[Clip], Tensor]
"""B windows -> (B, F, M, h, w) non-negative error maps of F target frames: motion, then appearance."""

REFERENCE_HEIGHT = 192
"""Height at which the patch has the size of the setting; it scales with the height of the map."""
LOCATION_WINDOWS = 400
"""Training windows on which location errors are measured, evenly spaced; every second one also serves the levels."""
NEAR = (0.08, 0.4)
"""Standard deviation, in shares of height and width, of the neighbourhood over which typical errors are averaged:
speeds and sizes change with the row (perspective), and no place is visited often enough by itself."""
LEVEL_WINDOWS = LOCATION_WINDOWS // 2
"""Training windows on which the levels of a scene are measured, at most."""
LOCATION_FLOOR = 0.1
"""Share of the mean over all places that is added to the typical error of every place."""
LEAST_WEIGHT = 1e-3
"""Weight of a window with an unreliable frame: a frame covered only by such windows still gets a score."""
APPEARANCE = 0.5
"""Weight of the relative appearance error compared with motion (chosen in Experiments/E16)."""


def patch_means(maps: Tensor, patch: int) -> Tensor:
    """(..., h, w) error maps -> (..., P, Q) means of square patches at half-patch strides.

    Args:
        patch: side in pixels at a map height of 192; at least 2 pixels at the map's own height.
    """
    side = max(2, round(patch * maps.shape[-2] / REFERENCE_HEIGHT / 2) * 2)
    side = min(side, *maps.shape[-2:])
    found = F.avg_pool2d(maps.float().flatten(0, -3)[:, None], side, max(1, side // 2), ceil_mode=True,
                         count_include_pad=False)[:, 0]
    return found.unflatten(0, maps.shape[:-2])


def place_scores(patches: Tensor) -> Tensor:
    """(B, F, M, P, Q) relative patch errors -> (B, F, P, Q) scores of places."""
    return patches[:, :, 0] + APPEARANCE * patches[:, :, 1:].sum(2)


def frame_scores(patches: Tensor) -> Tensor:
    """(B, F, M, P, Q) relative patch errors -> (B, F): maximum over places."""
    return place_scores(patches).flatten(2).amax(2)


@torch.no_grad()
def usual_errors(errors: Errors, clips: Clips, patch: int, *, batch: int = 32) -> tuple[Tensor, Tensor]:
    """Typical errors and scores on training windows.

    Returns:
        location (F, M, P, Q) float32: typical error near a place, per target frame and measure: sum(e^2) / sum(e), the
        error-weighted mean error. A plain mean is near zero where nobody walks; dividing by it would flag every visit.
        level (F,) float32: mean score of each target frame. After division by it, target frames of different scales
        can replace each other where not all of them cover a frame, as at the start of a video.
    """
    first, second, kept = 0.0, 0.0, []
    for clip, picks in clips.batches(batch=batch, limit=LOCATION_WINDOWS):
        use = torch.as_tensor(clips.windows.weight[picks], device=clips.device).clamp_min(LEAST_WEIGHT)
        found = patch_means(errors(clip), patch)
        first = first + torch.einsum("b,bfmpq->fmpq", use, found)
        second = second + torch.einsum("b,bfmpq->fmpq", use, found ** 2)
        kept.append(found[::2])
    size = nearby(second) / nearby(first).clamp_min(1e-20)
    location = (size + LOCATION_FLOOR * size.mean(dim=(-2, -1), keepdim=True)).clamp_min(1e-12)
    level = frame_scores(torch.cat(kept) / location).float().mean(dim=0).clamp_min(1e-12)
    return location.cpu(), level.cpu()


@torch.no_grad()
def usual_scores(errors: Errors, clips: Clips, patch: int, location: Tensor, picks: np.ndarray, *, batch: int = 32
                 ) -> Tensor:
    """Levels of one scene, (F,) float32 as from `usual_errors`, from its training windows.

    Args:
        location: (F, M, P, Q) from `usual_errors` on all scenes: measured per scene, it ranked frames worse.
        picks: positions of the scene's windows, at least one.
    """
    found = [frame_scores(patch_means(errors(clip), patch) / location.to(clips.device)).float()
             for clip, _ in clips.batches(batch=batch, picks=picks, limit=LEVEL_WINDOWS)]
    return torch.cat(found).mean(dim=0).clamp_min(1e-12).cpu()


@torch.no_grad()
def raised_errors(errors: Errors, clips: Clips, target_frames: tuple[int, ...], wanted: np.ndarray, location: Tensor,
                  levels: Tensor, patch: int, ceiling: float, *, batch: int = 32) -> Tensor:
    """Raise typical errors until the wanted frames score at most `ceiling` in every window.

    They are raised where these frames have errors and one place around, because nobody repeats the same steps exactly.

    Args:
        wanted: (N,) bool.
        location: (F, M, P, Q) from `usual_errors`; levels: (N, F), those of every frame's scene.
        ceiling: > 0, in units of a frame's score.
    Returns:
        (F, M, P, Q) the raised location.
    """
    levels, factor = levels.to(location.device), torch.ones_like(location[:, 0])
    judged = wanted[clips.windows.rows[:, list(target_frames)]]
    for clip, picks in clips.batches(batch=batch, picks=np.flatnonzero(judged.any(axis=1))):
        level = levels[torch.as_tensor(clips.windows.anchors[picks], device=levels.device)]
        counts = torch.as_tensor(judged[picks], device=levels.device)
        scores = place_scores(patch_means(errors(clip), patch) / location)
        factor = torch.maximum(factor, (scores * (counts / level / ceiling)[..., None, None]).amax(0))
    return location * F.max_pool2d(factor, 3, 1, 1)[:, None]


def nearby(x: Tensor) -> Tensor:
    """(..., P, Q) -> the same, each place a Gaussian mean of its neighbourhood (`NEAR`), normalised at the edges."""
    for axis, share in zip((-2, -1), NEAR):
        count = x.shape[axis]
        place = torch.arange(count, device=x.device, dtype=x.dtype)
        kernel = torch.exp(-0.5 * ((place[:, None] - place) / (share * count)) ** 2)
        kernel = kernel / kernel.sum(1, keepdim=True)
        x = torch.movedim(torch.movedim(x, axis, -1) @ kernel.T, -1, axis)
    return x


def window_scores(errors: Errors, clip: Clip, location: Tensor, patch: int) -> tuple[Tensor, Tensor]:
    """B windows -> (B, F) scores and (B, F, P, Q) local scores of their target frames; arguments as in
    `score_footage`."""
    patches = patch_means(errors(clip), patch) / location
    return frame_scores(patches), place_scores(patches)


@torch.no_grad()
def score_footage(errors: Errors, clips: Clips, target_frames: tuple[int, ...], location: Tensor, patch: int, *,
                  levels: Tensor | None = None, weights: tuple[float, ...] | None = None, maps: Path | None = None,
                  batch: int = 32, title: str = "score") -> Scores:
    """Raw score of every frame of a `Footage`.

    Args:
        errors: the network's error maps.
        target_frames: (F,) index of each target frame in its window.
        location: (F, M, P, Q) from `usual_errors`.
        levels: (F,) from `usual_errors`, or (N, F), those of every frame's scene; None = ones.
        weights: (F,) weight of each target frame in a frame's average; None = equal.
        maps: file (.npy, float16 (N, P, Q)) for the local scores averaged over windows, in units of the typical score
            of a training frame; None = not kept.
    Returns:
        Scores, positive; `filled` marks frames that no complete window covers (they take the nearest score of their
        video, or that of a padded window in a video without a complete one).
    """
    count, windows = len(clips.footage), clips.windows
    location = location.to(clips.device)
    share = np.ones(len(target_frames)) if weights is None else np.asarray(weights, np.float64)
    known = np.ones(len(target_frames)) if levels is None else levels.double().cpu().numpy()
    known = np.broadcast_to(known, (count, len(target_frames)))
    sums, total = np.zeros(count), np.zeros(count)
    with contextlib.ExitStack() as stack:
        grid = None
        if maps is not None and count:
            # on disk, because memory must not grow with the length of the footage
            grid = scratch_array((count, *location.shape[-2:]), np.float32, maps.parent)
        bar = stack.enter_context(tqdm(total=len(clips), desc=title, unit="frame", leave=False))
        for clip, picks in clips.batches(batch=batch):
            values, local = window_scores(errors, clip, location, patch)
            level = known[windows.anchors[picks]]
            values = values.double().cpu().numpy() / level
            use = np.maximum(windows.weight[picks], LEAST_WEIGHT).astype(np.float64)
            rows = windows.rows[picks][:, list(target_frames)]
            use = use[:, None] * share
            np.add.at(sums, rows, values * use)
            np.add.at(total, rows, use)
            if grid is not None:
                factor = torch.as_tensor(use / level, dtype=torch.float32, device=local.device)
                flat = local * factor[:, :, None, None]
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
            with new_array(maps, grid.shape, np.float16) as kept:
                for i in range(0, count, 256):
                    take = source[i:i + 256]
                    kept[i:i + 256] = np.clip(grid[take] / total[take, None, None], 0, 6e4)
            kept = read_array(maps, mapped=True)
    padded = np.zeros(count, bool)
    padded[windows.rows[windows.padded][:, list(target_frames)].ravel()] = True
    return Scores(values[source], ~covered | padded, maps=kept)


def nearest_covered(footage: Footage, covered: np.ndarray) -> np.ndarray:
    """(N,) row whose score each frame takes: its own if covered, else that of the nearest covered frame of its video
    by frame number (the earlier on a tie)."""
    source = np.arange(len(footage))
    for name in footage.video_names():
        rows = np.flatnonzero(footage.videos == name)
        good = rows[covered[rows]]
        for row in rows[~covered[rows]]:
            source[row] = good[np.argmin(np.abs(footage.frames[good] - footage.frames[row]))]
    return source
