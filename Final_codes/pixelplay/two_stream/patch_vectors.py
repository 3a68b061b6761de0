"""Spatial and temporal patch vectors of actors, after VideoPatchCore (Ahn et al., ACCV 2024, arXiv 2409.16225).

Reads full-size frames and boxes; takes each actor's box out of a short clip around its frame, and makes of the clip's
feature maps (channels averaged into groups) 7 x 7 spatial vectors, the mean plus the maximum over time, and one
temporal vector for every step between two frames. Makes `VectorBank`s of the training vectors; an actor scores as its
strangest vector. As in the paper temporal vectors are averaged over the box where they are memorised and their
maximum is taken where they are compared.

Differs from the paper: each layer is L2-normalised at every place before the layers are joined, the clip lies around
every evaluated frame (the paper cuts videos into clips and drops the rest), and the coreset is of all videos together.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch.nn import functional as F

from pixelplay.data.footage import Footage, segments
from pixelplay.two_stream.backbones import Backbone
from pixelplay.two_stream.coreset import coreset_size, greedy_coreset
from pixelplay.two_stream.features import Crop, cached_table, digest, features_key
from pixelplay.two_stream.memory import nearest

PARTS = ("spatial", "temporal")
SIDE, GRID = 28, 7
ACTORS_AT_ONCE = 8
CHUNK = 64
"""Actors whose crops are in memory together: 64 clips of 4 are 39 MB."""


@dataclasses.dataclass(frozen=True)
class PatchVectors:
    """Vectors of M actors; D = channel groups, T = frames of a clip.

    Attributes:
        spatial: (M, 49, D) float16.
        temporal: (M, 2, T - 1, D) float16: averaged over the box, and its maximum.
    """

    spatial: np.ndarray
    temporal: np.ndarray

    def memorised(self, part: str) -> np.ndarray:
        """(M, vectors, D) what a bank is made of."""
        return self.spatial if part == "spatial" else self.temporal[:, 0]

    def compared(self, part: str) -> np.ndarray:
        """(M, vectors, D) what is compared with a bank."""
        return self.spatial if part == "spatial" else self.temporal[:, 1]


def clip_positions(footage: Footage, clip: int, tolerance: int) -> np.ndarray:
    """(N, clip) positions of the clip around every frame, inside its segment; a shorter segment repeats its ends."""
    around = np.arange(len(footage))[:, None] + np.arange(clip)[None] - clip // 2
    for part in segments(footage.videos, footage.frames, tolerance):
        rows = around[part]
        # the whole clip moves inside before its ends are repeated
        rows += np.maximum(part.start - rows[:, :1], 0)
        rows -= np.maximum(rows[:, -1:] - (part.stop - 1), 0)
        np.clip(rows, part.start, part.stop - 1, out=rows)
    return around


@torch.inference_mode()
def describe(maps: list[torch.Tensor], clip: int, groups: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Feature maps of n clips, [(n * clip, C, h, w)] a layer -> spatial (n, 49, groups), temporal (n, 2, clip - 1,
    groups)."""
    layers = [F.normalize(F.adaptive_avg_pool2d(F.avg_pool2d(m, 3, 1, 1), SIDE), dim=1) for m in maps]
    joined = torch.cat(layers, 1).flatten(2).transpose(1, 2)
    grouped = F.adaptive_avg_pool1d(joined, groups).transpose(1, 2).reshape(-1, clip, groups, SIDE, SIDE)
    over_time = grouped.mean(1) + grouped.amax(1)
    spatial = F.avg_pool2d(over_time, SIDE // GRID).flatten(2).transpose(1, 2)
    steps = grouped[:, 1:] - grouped[:, :-1]
    return spatial, torch.stack([steps.mean((3, 4)), steps.amax((3, 4))], 1)


def patch_vectors(footage: Footage, frame_of: np.ndarray, boxes: np.ndarray, crop: Crop, backbone: Backbone,
                  folder, *, clip: int = 4, groups: int = 32, tolerance: int = 1, parameters: object = None
                  ) -> PatchVectors:
    """Vectors of every actor, computed once (see `features.cached_table`).

    Args:
        frame_of: (M,) position of each actor's frame, ascending; boxes: (M, 4) xyxy in full-size pixels.
        crop: cuts an actor out of a frame; parameters: whatever changes what it does.
        clip: frames; groups: averages of neighbouring channels that make a vector.
        tolerance: largest step of the frame number that is not a gap.
    """
    frame_of, boxes = np.asarray(frame_of, np.int64), np.asarray(boxes, np.float32)
    around = clip_positions(footage, clip, tolerance)[frame_of]
    width = (GRID * GRID + 2 * (clip - 1)) * groups

    def produce(start: int, stop: int) -> np.ndarray:
        wanted = around[start:stop]
        crops: dict[tuple[int, int], np.ndarray] = {}
        for position, frame in footage.full_frames(np.unique(wanted)):
            for actor, slot in zip(*np.nonzero(wanted == position)):
                crops[actor, slot] = crop(frame, boxes[start + actor])
        out = np.empty((stop - start, width), np.float32)
        for first in range(0, stop - start, ACTORS_AT_ONCE):
            rows = range(first, min(first + ACTORS_AT_ONCE, stop - start))
            pictures = [crops[actor, slot] for actor in rows for slot in range(clip)]
            parts = describe(backbone.maps(backbone.prepare(pictures)), clip, groups)
            out[first:first + len(rows)] = torch.cat([p.flatten(1) for p in parts], 1).cpu().numpy()
        return out

    key = features_key(footage, backbone, kind="patches", crop=parameters, clip=clip, groups=groups,
                       boxes=digest(boxes) + digest(around))
    table = cached_table(folder, f"{footage.name}-patches-{backbone.name}", key, len(boxes), width, produce,
                         chunk=CHUNK)
    split = GRID * GRID * groups
    return PatchVectors(np.asarray(table[:, :split]).reshape(-1, GRID * GRID, groups),
                        np.asarray(table[:, split:]).reshape(-1, 2, clip - 1, groups))


@dataclasses.dataclass(frozen=True)
class VectorBank:
    """Vectors of training actors.

    Attributes:
        vectors: (K, D) float32; actors: (K,) the training actor each comes from.
    """

    vectors: np.ndarray
    actors: np.ndarray

    @classmethod
    def fit(cls, vectors: np.ndarray, size_ratio: float, floor: int, generator: torch.Generator) -> VectorBank:
        """Coreset of (M, vectors, D)."""
        flat = np.asarray(vectors, np.float32).reshape(-1, vectors.shape[-1])
        if len(flat) == 0:
            return cls(flat, np.zeros(0, np.int64))
        core = greedy_coreset(flat, coreset_size(len(flat), size_ratio, floor), generator=generator)
        picks = np.sort(core.indices)
        return cls(flat[picks], picks // vectors.shape[1])

    def score(self, vectors: np.ndarray, fold: np.ndarray, actor_fold: np.ndarray) -> np.ndarray:
        """The largest distance of an actor's vectors to the bank without the picks of its own fold.

        Args:
            vectors: (M, vectors, D); fold: (M,) their actors'; actor_fold: those of the training actors.
        Returns:
            (M,) float64, NaN where nothing is left to compare with.
        """
        out = np.full(len(vectors), np.nan)
        for f in np.unique(fold):
            bank, mine = self.vectors[actor_fold[self.actors] != f], np.flatnonzero(fold == f)
            if len(bank):
                flat = np.asarray(vectors[mine], np.float32).reshape(-1, vectors.shape[-1])
                out[mine] = nearest(flat, bank)[0][:, 0].reshape(len(mine), -1).max(1)
        return out
