"""Recipes: named rules that fuse the scores of several models.

Reads score files on the same frames; makes `Fused`. A new recipe is one file in `recipes/` and a line in `RECIPES`.
"""

from __future__ import annotations

import dataclasses
import importlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from pixelplay.data.ids import canonical_id, natural_key, split_id
from pixelplay.data.manifest import Manifest
from pixelplay.errors import PixelPlayError, did_you_mean
from pixelplay.fusion.scores import ScoreFile

RECIPES = {
    "default": "pixelplay.fusion.recipes.default",
    "causal": "pixelplay.fusion.recipes.causal",
    "reference-quad": "pixelplay.fusion.recipes.reference_quad",
    "reference-two-stream": "pixelplay.fusion.recipes.reference_two_stream",
}


@dataclasses.dataclass(frozen=True)
class Frames:
    """Test frames in manifest order: natural order of videos, ascending frame numbers.

    Attributes:
        ids, videos: (N,) object arrays.
        frames: (N,) int64 frame numbers.
        reliability: (N,) float64 in [0, 1], from the manifest; 1 without one.
    """

    ids: np.ndarray
    videos: np.ndarray
    frames: np.ndarray
    reliability: np.ndarray

    @classmethod
    def of_ids(cls, ids: Sequence[str], reliability: Mapping[str, float] | None = None) -> Frames:
        """Parse unpadded Ids and sort them into manifest order.

        Raises:
            PixelPlayError: a malformed or repeated Id.
        """
        rows = []
        for i in ids:
            try:
                rows.append((i, *split_id(i)))
            except ValueError as cause:
                raise PixelPlayError(str(cause), expected="Ids like 1_939: video, underscore, frame number") from cause
        rows.sort(key=lambda r: (natural_key(r[1]), r[2]))
        for a, b in itertools.pairwise(rows):
            if a[1:] == b[1:]:
                raise PixelPlayError(f"Id {canonical_id(b[0])} appears more than once", expected="each Id exactly once")
        trust = reliability or {}
        return cls(np.array([r[0] for r in rows], dtype=object), np.array([r[1] for r in rows], dtype=object),
                   np.array([r[2] for r in rows], dtype=np.int64),
                   np.array([trust.get(r[0], 1.0) for r in rows], dtype=np.float64))

    @classmethod
    def of_stage(cls, folder: Path, ids: Sequence[str] | None = None) -> Frames:
        """The test frames of a finished stage 1, with their reliability; `ids` if they are already known."""
        test = Manifest.load(folder).split("test")
        own = test["Id"].tolist()
        return cls.of_ids(own if ids is None else ids, dict(zip(own, test["reliability"].astype(float))))

    def __len__(self) -> int:
        return len(self.ids)


@dataclasses.dataclass(frozen=True)
class Fused:
    """Result of a recipe for K members.

    Attributes:
        values: (N,) final score, in `Frames` order.
        weights: member -> weight.
        calibration: member -> its calibration in words.
        processed: member -> (N,) terms of the weighted sum.
        merge: {member -> weight} -> (N,) final score; used to leave a member out.
    """

    values: np.ndarray
    weights: dict[str, float]
    calibration: dict[str, str]
    processed: dict[str, np.ndarray]
    merge: Callable[[Mapping[str, float]], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A named fusion rule.

    Attributes:
        name: as given on the command line.
        about: one sentence for the table.
        choose: score CSVs found -> member name -> path, for the members it uses. Raises PixelPlayError if one is
            missing.
        fuse: members, frames, {member -> weight} (None = the recipe's own) -> Fused.
        families: True = applied to each family of models and to all of them; False = one result.
        fixed: True if the weights are part of the rule.
        parts: True if it reads partial scores (the sub-folder parts/) instead of models.
    """

    name: str
    about: str
    choose: Callable[[Sequence[Path]], dict[str, Path]]
    fuse: Callable[[Mapping[str, ScoreFile], Frames, Mapping[str, float] | None], Fused]
    families: bool = False
    fixed: bool = True
    parts: bool = False


def load_recipe(name: str) -> Recipe:
    """The recipe with this name. Raises PixelPlayError for an unknown name."""
    if name not in RECIPES:
        raise PixelPlayError(f"there is no recipe '{name}'", expected="one of " + ", ".join(RECIPES),
                             hint=did_you_mean(name, RECIPES))
    return importlib.import_module(RECIPES[name]).RECIPE


def pick(files: Sequence[Path], wanted: Mapping[str, Sequence[str]], recipe: str) -> dict[str, Path]:
    """For each member, the first of its possible stems that is among `files`.

    Raises:
        PixelPlayError: members without a file; names them and their possible stems.
    """
    by_stem = {p.stem: p for p in reversed(list(files))}
    found = {m: next((by_stem[s] for s in stems if s in by_stem), None) for m, stems in wanted.items()}
    absent = [f"{m} ({' or '.join(s + '.csv' for s in wanted[m])})" for m, p in found.items() if p is None]
    if absent:
        raise PixelPlayError(f"recipe {recipe} needs scores that were not found: {', '.join(absent)}",
                             expected="one file for each member",
                             hint="run these models first, or give --scores the folder that holds their files")
    return {m: p for m, p in found.items() if p is not None}
