"""Score files: the interface between models and fusion.

Reads and writes `<model>.csv` (exactly `Id,Predicted`; one row per Id in manifest order; raw finite floats, higher =
more anomalous), `<model>.train.csv` (the same for held-out training frames) and `<model>.json` (provenance). Files are
validated on writing and again on reading, and written atomically. Frames are never dropped by a join.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pixelplay.calibration import is_constant
from pixelplay.data.ids import Ids
from pixelplay.errors import PixelPlayError
from pixelplay.files import check as check_content
from pixelplay.files import read_json, sealed, write_json
from pixelplay.fusion.formats import GOOD_HEADERS, as_numbers, diagnose, read_plain, read_strings

KINDS = ("error", "distance", "zscore", "other")
"""Kind of raw score: 'error' and 'distance' are calibrated in the logarithm, 'zscore' and 'other' are not."""
LARGEST_SIGMA = 10_000
"""Largest sigma, in frames: it bounds the kernel and its memory."""


@dataclasses.dataclass(frozen=True)
class ScoreFile:
    """Scores of one model.

    Attributes:
        name: model name (the file's stem).
        ids: (N,) object array of Ids, in manifest order.
        values: (N,) float64, raw.
        train_ids, train_values: the same for training frames, each scored by a model that did not train on its video;
            None without such a file.
        about: the sidecar JSON ({} without one). Keys used by the ensemble: kind, family, weight, smoke, sigma.
    """

    name: str
    ids: np.ndarray
    values: np.ndarray
    train_ids: np.ndarray | None = None
    train_values: np.ndarray | None = None
    about: dict[str, Any] = dataclasses.field(default_factory=dict)


def check(values: np.ndarray, ids: Ids, expected_ids: Ids | None, source: str) -> None:
    """Raise PixelPlayError unless scores are finite, not constant and exactly on the expected Ids in order."""
    values, ids = np.asarray(values, dtype=np.float64), np.asarray(ids, dtype=object)
    if expected_ids is not None:
        check_ids(ids, expected_ids, source)
    bad = ~np.isfinite(values)
    if bad.any():
        raise PixelPlayError(f"{source}: score of Id {ids[bad][0]} is {values[bad][0]} ({int(bad.sum())} such rows)",
                             expected="finite numbers only", hint="run the model again; see its log for the frame")
    if len(values) > 1 and is_constant(values):
        raise PixelPlayError(f"{source}: every score is {values[0]}", expected="scores that differ between frames",
                             hint="a constant ranks nothing: check that the model was trained")


def check_ids(ids: Ids, expected_ids: Ids, source: str) -> None:
    """Raise PixelPlayError unless `ids` are exactly `expected_ids`, each once, in that order."""
    ids, expected = np.asarray(ids, dtype=object), np.asarray(expected_ids, dtype=object)
    if same_ids(ids, expected):
        return
    index = pd.Index(ids)
    if index.has_duplicates:
        twice = index[index.duplicated()]
        raise PixelPlayError(f"{source}: Id {twice[0]} appears more than once ({len(twice)} repeated rows)",
                             expected="each Id exactly once", hint="remove the repeated rows")
    missing, extra = pd.Index(expected).difference(index, sort=False), index.difference(pd.Index(expected), sort=False)
    if len(missing) or len(extra):
        found = [f"{len(missing)} Ids missing (first: {', '.join(missing[:3])})"] if len(missing) else []
        found += [f"{len(extra)} unknown Ids (first: {', '.join(map(str, extra[:3]))})"] if len(extra) else []
        raise PixelPlayError(f"{source}: " + "; ".join(found), expected=f"exactly the {len(expected)} expected Ids",
                             hint="score every frame under its own number; never renumber")
    if not (ids == expected).all():
        where = int(np.argmax(ids != expected))
        raise PixelPlayError(f"{source}: row {where + 1} is Id {ids[where]}",
                             expected=f"Id {expected[where]} (manifest order)",
                             hint="sort the rows like the manifest or the sample submission")


def same_ids(ids: np.ndarray, expected: np.ndarray) -> bool:
    """Fast check that (N,) distinct Ids are the expected ones in order. False may also mean undecided: `check_ids`
    then decides, and words the error."""
    if len(ids) != len(expected) or not (ids == expected).all():
        return False
    # compares hashes, which strings cache, because a table of all Ids would take more memory
    hashes = np.fromiter(map(hash, ids), np.int64, len(ids))
    hashes.sort()
    return not (hashes[1:] == hashes[:-1]).any()


def write_scores(folder: Path, name: str, ids: Ids, values: np.ndarray, *,
                 train: tuple[Ids, np.ndarray] | None = None, about: dict[str, Any]) -> Path:
    """Validate and write one model's score files; returns the path of `<name>.csv`, written last.

    Raises:
        PixelPlayError: non-finite or constant scores (see `check`); then nothing is written.
    """
    folder = Path(folder)
    check(values, ids, None, f"{name}.csv")
    if train is not None:
        check(train[1], train[0], None, f"{name}.train.csv")
        write_table(folder / f"{name}.train.csv", *train)
    write_json(folder / f"{name}.json", about, seal=True)
    write_table(folder / f"{name}.csv", ids, values)
    return folder / f"{name}.csv"


def write_table(path: Path, ids: Ids, values: np.ndarray) -> None:
    """Write an `Id,Predicted` table atomically, unchecked (see `write_scores`)."""
    with sealed(path) as part:
        # repr of a float64 round-trips exactly
        pd.DataFrame({"Id": list(ids), "Predicted": np.asarray(values, dtype=np.float64)}).to_csv(
            part, index=False, lineterminator="\n")


def read_table(path: Path, expected_ids: Ids | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Read `Id,Predicted` (or `ID,Predicted`) -> (ids (N,) object, values (N,) float64).

    Raises:
        PixelPlayError: wrong header, extra column, padded or malformed Ids, text instead of a number; and, if
            `expected_ids` are given, a missing or unknown Id. The order of the rows is not checked.
    """
    path = Path(path)
    check_content(path)
    plain = read_plain(path)
    if plain is not None and (expected_ids is None or same_ids(plain[0], np.asarray(expected_ids, dtype=object))):
        return plain
    table = read_strings(path)
    found = diagnose(table, expected_ids, path)
    if list(table.columns) not in GOOD_HEADERS or (expected_ids is not None and found.conversion != "none"):
        raise PixelPlayError(f"{path}: {found.problem}",
                             expected="header Id,Predicted" + (f" and exactly the {len(expected_ids)} expected Ids, "
                                                               "unpadded" if expected_ids is not None else ""),
                             hint=found.hint)
    ids = table.iloc[:, 0].to_numpy(object)
    return ids, as_numbers(table["Predicted"].to_numpy(object), ids, str(path))


def read_scores(path: Path, expected_ids: Ids | None = None, *, any_order: bool = False) -> ScoreFile:
    """Read and validate one model's files (see `ScoreFile`).

    Args:
        expected_ids: required test Ids, in this order.
        any_order: accept rows in another order and sort them like `expected_ids`.
    """
    path = Path(path)
    ids, values = read_table(path, expected_ids)
    if any_order and expected_ids is not None:
        values = values[pd.Index(ids).get_indexer(pd.Index(expected_ids))]
        ids = np.asarray(expected_ids, dtype=object)
    check(values, ids, expected_ids, str(path))
    train_path, about_path = path.with_name(f"{path.stem}.train.csv"), path.with_name(f"{path.stem}.json")
    train_ids = train_values = None
    if train_path.exists():
        train_ids, train_values = read_table(train_path)
        check(train_values, train_ids, None, str(train_path))
    about = read_about(about_path) if about_path.exists() else {}
    return ScoreFile(path.stem, ids, values, train_ids, train_values, about)


def read_about(path: Path) -> dict[str, Any]:
    """Sidecar of a score file. Raises PixelPlayError if a key that the ensemble reads has an invalid value."""
    about = read_json(path)
    if not isinstance(about, dict):
        raise PixelPlayError(f"{path} holds no object", expected='{"model": ..., "kind": ..., ...}')
    for key in ("kind", "family", "data_fingerprint"):
        if not isinstance(about.get(key, ""), str):
            raise PixelPlayError(f"{path}: {key} is {about[key]!r}", expected="a name")
    if about.get("kind", "other") not in KINDS:
        raise PixelPlayError(f"{path}: kind is {about['kind']!r}", expected="one of " + ", ".join(KINDS))
    if not isinstance(about.get("smoke", False), bool):
        raise PixelPlayError(f"{path}: smoke is {about['smoke']!r}", expected="true or false")
    for key, most, words in (("sigma", LARGEST_SIGMA, "frames to smooth over"), ("weight", 1, "a share of its family")):
        value = about.get(key, 0)
        # bool is a number in Python; NaN fails the comparison
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= most:
            raise PixelPlayError(f"{path}: {key} is {value!r}", expected=f"{words}, from 0 to {most}")
    return about
