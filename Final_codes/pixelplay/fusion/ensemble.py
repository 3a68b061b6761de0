"""Fusion: score files of several models -> final scores, and the table that explains them.

Reads the score files of a folder (or the given ones) and the test frames; makes `Merged`. All files are checked before
any is merged; `stage.py` writes the result.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import rankdata

from pixelplay.calibration import is_constant
from pixelplay.errors import PixelPlayError
from pixelplay.fusion.recipe import Frames, Fused, Recipe
from pixelplay.fusion.scores import ScoreFile, read_scores

log = logging.getLogger(__name__)

FAMILIES = {"two_stream": "_two_stream", "quad": "_quad_ensemble"}
"""Family -> suffix of its submission's name; the submission of all models has none."""

Quality = Callable[[Sequence[str], np.ndarray], Mapping[str, float]]
"""(ids, scores) -> metric name -> value, if labels are known."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of the ensemble's table.

    Attributes:
        correlation: mean Spearman correlation with the other members; None for a single member.
        without_correlation: Spearman correlation of the final scores with and without this member.
        without_shift: mean absolute rank change of a frame without this member, in % of the frames.
        alone, without: metrics of this member and of the ensemble without it, if labels are known.
    """

    model: str
    family: str
    weight: float
    calibration: str
    correlation: float | None
    without_correlation: float | None
    without_shift: float | None
    smoke: bool = False
    alone: dict[str, float] = dataclasses.field(default_factory=dict)
    without: dict[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Merged:
    """A final score: the suffix of its file ('' = all models), (N,) values in `Frames` order, and its table."""

    ending: str
    values: np.ndarray
    rows: list[Row]


def find_files(places: Sequence[Path], *, parts: bool = False, leave_out: Sequence[Path] = ()) -> list[Path]:
    """The score CSVs in folders, and files, sorted by name within each place.

    Args:
        parts: also search the sub-folder parts/ of each folder.
        leave_out: paths that are not members (the sample, the outputs).
    Raises:
        PixelPlayError: a place that does not exist, no CSV at all, or two files with the same name.
    """
    skip = {Path(p).resolve() for p in leave_out}
    found: list[Path] = []
    for place in map(Path, places):
        if place.is_dir():
            inside = sorted(place.glob("*.csv")) + (sorted((place / "parts").glob("*.csv")) if parts else [])
            found += [p for p in inside if not p.name.endswith(".train.csv") and not p.name.startswith(".")
                      and p.name != "sample_submission.csv" and p.resolve() not in skip]
        elif place.exists():
            found.append(place)
        else:
            raise PixelPlayError(f"{place} does not exist", expected="a folder of score files, or score files",
                                 hint="run the models first (python Final_codes/run_all.py), or name --scores")
    if not found:
        raise PixelPlayError(f"no score files in {', '.join(map(str, places))}", expected="one CSV file per model",
                             hint="run the models first (python Final_codes/run_all.py), or name --scores")
    stems: dict[str, Path] = {}
    for path in found:
        if path.stem in stems:
            raise PixelPlayError(f"two score files are called {path.stem}: {stems[path.stem]} and {path}",
                                 expected="a different name for each model", hint="rename one of them")
        stems[path.stem] = path
    return found


def keep_models(files: Sequence[Path], names: Sequence[str] | None) -> list[Path]:
    """Keep the files of the named models; None = all. Raises PixelPlayError for a name without a file."""
    if not names:
        return list(files)
    stems = {p.stem: p for p in files}
    absent = [n for n in names if n not in stems]
    if absent:
        raise PixelPlayError(f"no score file for {', '.join(absent)}", expected="some of " + ", ".join(stems))
    return [stems[n] for n in dict.fromkeys(names)]


def read_members(chosen: Mapping[str, Path], frames: Frames, *, allow_smoke: bool = False) -> dict[str, ScoreFile]:
    """Read and check every member; scores are in the order of `frames`.

    Raises:
        PixelPlayError: a file that breaks the contract, or one of a smoke run unless `allow_smoke`.
    """
    members = {}
    for name, path in chosen.items():
        file = read_scores(path, frames.ids, any_order=True)
        if file.about.get("smoke") and not allow_smoke:
            raise PixelPlayError(f"{path} comes from a smoke run", expected="scores of a trained model",
                                 hint="run the model in the lite or full profile")
        members[name] = file
    prints = {m: f.about["data_fingerprint"] for m, f in members.items() if f.about.get("data_fingerprint")}
    for name, mark in prints.items():
        first = next(iter(prints))
        if mark != prints[first]:
            log.warning("%s was scored on other input (or other repair) than %s", name, first)
    return members


def merge_all(members: Mapping[str, ScoreFile], frames: Frames, recipe: Recipe, *,
              weights: Callable[[Mapping[str, ScoreFile]], Mapping[str, float]] | None = None,
              quality: Quality | None = None) -> list[Merged]:
    """Apply a recipe to each family of models and then to all of them.

    Args:
        weights: members -> weights, for recipes without fixed weights; None = the recipe's own.
        quality: metrics if labels are known; they enter the table only, never a score.
    Returns:
        The final scores; the last one is that of all models.
    Raises:
        PixelPlayError: weights for a recipe with fixed weights, or a final score that is constant.
    """
    if weights is not None and recipe.fixed:
        raise PixelPlayError(f"recipe {recipe.name} has weights of its own", hint="leave --weights out")
    groups = {"": dict(members)}
    if recipe.families:
        groups = {end: {m: f for m, f in members.items() if f.about.get("family") == family}
                  for family, end in FAMILIES.items()} | groups
    out = []
    for end, group in groups.items():
        if not group:
            continue
        fused = recipe.fuse(group, frames, weights(group) if weights is not None else None)
        if len(frames) > 1 and is_constant(fused.values):
            raise PixelPlayError(f"recipe {recipe.name} gives every frame the score {fused.values[0]}",
                                 expected="scores that differ between frames")
        out.append(Merged(end, fused.values, table(fused, group, frames, quality)))
    return out


def table(fused: Fused, members: Mapping[str, ScoreFile], frames: Frames, quality: Quality | None = None) -> list[Row]:
    """Weight, calibration, correlation and leave-one-out effect of each member."""
    names = list(fused.processed)
    ranks = {m: rankdata(fused.processed[m]) for m in names}
    final = rankdata(fused.values)
    rows = []
    for name in names:
        others = {m: fused.weights[m] for m in names if m != name}
        correlation = float(np.mean([spearman(ranks[name], ranks[m]) for m in others])) if others else None
        agree = shift = None
        without: dict[str, float] = {}
        if others and sum(others.values()) > 0:
            rest = fused.merge(others)
            agree = spearman(final, rankdata(rest))
            shift = float(100 * np.abs(final - rankdata(rest)).mean() / len(final))
            without = dict(quality(frames.ids, rest)) if quality else {}
        about: dict[str, Any] = members[name].about
        rows.append(Row(name, about.get("family", "other"), float(fused.weights[name]), fused.calibration[name],
                        correlation, agree, shift, bool(about.get("smoke")),
                        dict(quality(frames.ids, fused.processed[name])) if quality else {}, without))
    return rows


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson correlation of two (N,) rank columns; 0 if one is constant."""
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum() / size) if size > 0 else 0.0
