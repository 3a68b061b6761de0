"""CSV parsing: tables of strings and their numbers, diagnosis of malformed score files, and their conversion.

Parsing is strict: anything that is not a table, or not a number, is an error that names the file. Given the expected
Ids, `diagnose` describes the problem and, for convertible files, gives the (ids, values) of a valid score file. Files
are converted only by `mend`, never silently.
"""

from __future__ import annotations

import dataclasses
import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pixelplay.data.ids import Ids, canonical_id, frame_id, split_id
from pixelplay.errors import PixelPlayError

GOOD_HEADERS = (["Id", "Predicted"], ["ID", "Predicted"])
VALUE_NAMES = ("predicted", "prediction", "predictions", "anomaly_score", "anomalyscore", "score", "scores")
VIDEO_NAMES, FRAME_NAMES = ("video_id", "video", "clip", "folder"), ("frame_id", "frame", "frame_number")
LARGEST = 1e30
"""Largest valid magnitude: squares of larger numbers overflow, and no model gives such scores."""
ROWS_AT_ONCE = 1 << 17
"""Rows of a large table that are parsed together."""
COMMAND = "python Final_codes/ensemble.py --mend {path} --output MENDED.csv"


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """Diagnosis of a file.

    Attributes:
        problem, hint: in words, for the error message.
        conversion: 'none' (valid), 'convert' (exact, by name), 'order' (by row order, only on request) or 'never'.
        ids, values: the converted file; None if it cannot be converted.
    """

    problem: str
    hint: str
    conversion: str
    ids: np.ndarray | None = None
    values: np.ndarray | None = None


def diagnose(table: pd.DataFrame, expected_ids: Ids | None, path: object = "this file") -> Diagnosis:
    """Describe why a table of strings is not a score file on `expected_ids` (None: any well-formed Ids)."""
    ids, values, faults = _columns(table)
    if ids is None:
        return Diagnosis(faults[0], "the columns cannot be identified: write the header Id,Predicted", "never")
    found, id_fault = _by_name(ids, frozenset(expected_ids) if expected_ids is not None else frozenset())
    if id_fault:
        faults.append(id_fault)
    if expected_ids is None:
        if not faults:
            return Diagnosis("", "", "none", ids, values)
        return Diagnosis("; ".join(faults), COMMAND.format(path=path), "convert", found, values)
    expected = pd.Index(np.asarray(expected_ids, dtype=object))
    index = pd.Index(found)
    known = int(expected.isin(index).sum())
    missing, repeated = len(expected) - known, int(index.duplicated().sum())
    unknown = int((~index.isin(expected)).sum())
    if not missing and not unknown and not repeated:
        if not faults:
            return Diagnosis("", "", "none", ids, values)
        return Diagnosis("; ".join([*faults, f"all {known} Ids are known once converted"]),
                         f"repairable, nothing is lost: {COMMAND.format(path=path)}", "convert", found, values)
    faults += _rows_in_words(index, expected, known, missing, unknown, repeated)
    if missing and len(index) == len(expected) and not repeated and _same_counts(index, expected):
        return Diagnosis("; ".join(faults),
                         "score every frame under its own number, never renumber. If you are sure that the rows are "
                         f"the right frames in the right order: {COMMAND.format(path=path)} --by-order", "order", found,
                         values)
    return Diagnosis("; ".join(faults), _no_mend(missing, repeated, unknown), "never", found, values)


def mend(table: pd.DataFrame, expected_ids: Sequence[str] | None, path: object, *,
         by_order: bool = False) -> tuple[np.ndarray, np.ndarray, str]:
    """Convert a table to (ids, values (N,) float64, description of the conversion).

    Args:
        by_order: trust the order of the rows within each video if the Ids are renumbered but each video has exactly its
            number of rows.
    Raises:
        PixelPlayError: the file cannot be converted, or only by order and `by_order` is not set.
    """
    found = diagnose(table, expected_ids, path)
    if found.conversion == "never" or (found.conversion == "order" and not by_order):
        raise PixelPlayError(f"{path}: {found.problem}", expected="Ids that identify the frames",
                             hint=found.hint)
    ids, values = found.ids, as_numbers(found.values, found.ids, str(path))
    if found.conversion == "order":
        ids = _ids_by_order(pd.Index(ids), expected_ids)
    elif expected_ids is not None:
        position = pd.Index(ids).get_indexer(pd.Index(expected_ids))
        ids, values = np.asarray(expected_ids, dtype=object), values[position]
    return ids, values, found.problem or "nothing was wrong"


def read_strings(path: Path) -> pd.DataFrame:
    """Any CSV as a table of strings. Raises PixelPlayError if it is not a CSV."""
    path, expected = Path(path), "a CSV file in UTF-8 with a header, e.g. Id,Predicted"
    if not path.is_file():
        raise PixelPlayError(f"{path} is missing or no file", expected=expected)
    try:
        # without index_col a row with one cell more than the header would shift every column
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return pd.read_csv(path, dtype=str, keep_default_na=False, index_col=False)
    except pd.errors.ParserWarning:
        raise PixelPlayError(f"{path} has rows with more cells than its header", expected="a name for every column"
                             ) from None
    except OSError as cause:
        raise PixelPlayError(f"{path} cannot be read: {cause.strerror}") from cause
    # ValueError: bytes that are not UTF-8, an empty file, rows of different lengths
    except (ValueError, OverflowError) as cause:
        raise PixelPlayError(f"{path} is not a CSV file: {cause}", expected=expected) from cause


def read_plain(path: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Fast path for valid score files -> (ids (N,) object, values (N,) float64), equal to `read_strings` and
    `as_numbers`; None if anything is unusual, so that those report it.

    Cells are converted a few rows at a time: only the Ids stay in memory as strings.
    """
    ids, values = [], []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            with pd.read_csv(path, dtype=object, na_filter=False, index_col=False, chunksize=ROWS_AT_ONCE) as chunks:
                for rows in chunks:
                    numbers = parse_numbers(rows.iloc[:, -1].to_numpy(object))
                    # NaN fails the comparison
                    if list(rows.columns) not in GOOD_HEADERS or numbers is None or not (abs(numbers) <= LARGEST).all():
                        return None
                    ids.append(rows.iloc[:, 0].to_numpy(object))
                    values.append(numbers)
    except (pd.errors.ParserWarning, OSError, ValueError, OverflowError):
        return None
    return (np.concatenate(ids), np.concatenate(values)) if ids else None


def as_numbers(texts: np.ndarray, ids: np.ndarray, source: str) -> np.ndarray:
    """(N,) strings -> (N,) float64, exactly.

    Raises:
        PixelPlayError: a cell that is not a number in ASCII digits without separators, or beyond `LARGEST`; names the
            first. Infinity and NaN are accepted here.
    """
    values = parse_numbers(texts)
    if values is None:
        at = next(i for i in range(len(texts)) if parse_numbers(texts[i:i + 1]) is None)
    elif (large := np.isfinite(values) & (np.abs(values) > LARGEST)).any():
        at = int(np.argmax(large))
    else:
        return values
    raise PixelPlayError(f"{source}: score of Id {ids[at]} is {str(texts[at])[:80]!r}",
                         expected=f"a plain number in every row, of magnitude up to {LARGEST:g}",
                         hint="fill the cell with the model's score of that frame")


def parse_numbers(texts: Sequence[str]) -> np.ndarray | None:
    """(N,) strings -> (N,) float64, exactly; None if one is not a number.

    Rejects 1_000 and digits of other alphabets, which Python would accept.
    """
    joined = "".join(map(str, texts))
    if not joined.isascii() or "_" in joined:
        return None
    try:
        return np.asarray(texts, dtype=np.float64)
    except ValueError:
        return None


def _columns(table: pd.DataFrame) -> tuple[np.ndarray | None, np.ndarray | None, list[str]]:
    """(ids, values, faults) of a table, columns identified by name."""
    names = list(table.columns)
    if names in GOOD_HEADERS:
        return table.iloc[:, 0].to_numpy(object), table.iloc[:, 1].to_numpy(object), []
    low = {str(n).strip().lower(): n for n in names}
    value = next((low[v] for v in VALUE_NAMES if v in low), None)
    video, frame = (next((low[v] for v in wanted if v in low), None) for wanted in (VIDEO_NAMES, FRAME_NAMES))
    header = f"wrong header {','.join(map(str, names))}"
    if value is not None and video is not None and frame is not None:
        ids = (table[video].astype(str) + "_" + table[frame].astype(str)).to_numpy(object)
        fault = f"{header}: long format (convertible), video and frame in columns of their own"
        return ids, table[value].to_numpy(object), [fault]
    if value is None or "id" not in low:
        return None, None, [header]
    faults = []
    extra = [n for n in names if n not in (low["id"], value)]
    if extra:
        same = [n for n in extra if (table[n] == table[value]).all()]
        faults.append(f"{header}: extra column {', '.join(map(str, extra))}"
                      + (f" (equal to {value})" if same == extra else ""))
    if str(value) != "Predicted":
        faults.append(f"{header}: the score column is called {value}, not Predicted")
    if not faults:
        faults.append(header)
    return table[low["id"]].to_numpy(object), table[value].to_numpy(object), faults


def _by_name(ids: np.ndarray, known: frozenset[str]) -> tuple[np.ndarray, str]:
    """Ids in the form video_frame, and what was unusual about them ('' = nothing)."""
    out, fault = [], ""
    for text in map(str, ids):
        if text in known:
            out.append(text)
            continue
        try:
            plain = canonical_id(text)
        except ValueError:
            out.append(text)
            continue
        named = re.fullmatch(r"(.+?)[_/](?:frame|img|image)[_-]?(\d+)", text)
        if named:
            plain = frame_id(named.group(1), int(named.group(2)))
        if plain != text and not fault:
            kind = "frame file names instead of frame numbers" if named else "zero padding"
            fault = f"Ids with {kind} ({text} for {plain})"
        out.append(plain)
    return np.array(out, dtype=object), fault


def _rows_in_words(index: pd.Index, expected: pd.Index, known: int, missing: int, unknown: int,
                   repeated: int) -> list[str]:
    first = ", ".join(map(str, expected[~expected.isin(index)][:3]))
    words = []
    if repeated:
        words.append(f"{repeated} repeated Ids (first: {index[index.duplicated()][0]})")
    renumbered = _renumbered(index, expected) if missing else []
    if len(index) == len(expected) and missing and not repeated:
        where = f" in {len(renumbered)} videos" if renumbered else ""
        words.append(f"{len(index)} rows, the right count, but WRONG Ids{where}")
    elif len(index) != len(expected):
        words.append(f"{len(index)} rows instead of {len(expected)}")
    if renumbered:
        a, b = renumbered[0]
        words.append(f"the frames were renumbered (first {a} where {b} is expected)")
    words.append(f"{known} Ids known, {missing} missing" + (f" (first: {first})" if missing else "")
                 + (f", {unknown} unknown" if unknown else ""))
    return words


def _no_mend(missing: int, repeated: int, unknown: int) -> str:
    if missing:
        return "not repairable by name: score every frame again under its own number"
    return "remove the " + " and the ".join([*(["repeated"] if repeated else []), *(["unknown"] if unknown else [])]) \
        + " rows"


def _split(index: pd.Index) -> pd.DataFrame | None:
    """Columns video, frame; None if an Id has no frame number."""
    try:
        pairs = [split_id(i) for i in index]
    except ValueError:
        return None
    return pd.DataFrame(pairs, columns=["video", "frame"])


def _same_counts(index: pd.Index, expected: pd.Index) -> bool:
    a, b = _split(index), _split(expected)
    if a is None or b is None:
        return False
    return a["video"].value_counts().to_dict() == b["video"].value_counts().to_dict()


def _renumbered(index: pd.Index, expected: pd.Index) -> list[tuple[str, str]]:
    """(first found Id, first expected Id) of the videos with consecutive numbers where the expected ones have gaps."""
    a, b = _split(index), _split(expected)
    if a is None or b is None:
        return []
    out = []
    for video, rows in b.groupby("video", sort=False)["frame"]:
        found = a.loc[a["video"] == video, "frame"]
        # if all numbers are expected ones, rows are missing and nothing was renumbered
        if len(found) and (np.diff(found) == 1).all() and not set(found) <= set(rows):
            at = next((i for i, (x, y) in enumerate(zip(found, rows)) if x != y), 0)
            out.append((frame_id(video, found.iloc[at]), frame_id(video, rows.iloc[at])))
    return out


def _ids_by_order(index: pd.Index, expected_ids: Sequence[str]) -> np.ndarray:
    """Give the k-th row of a video the video's k-th expected Id."""
    found, expected = _split(index), _split(pd.Index(expected_ids))
    wanted = {v: iter(rows.sort_values()) for v, rows in expected.groupby("video")["frame"]}
    order = np.lexsort((found["frame"].to_numpy(), found["video"].to_numpy()))
    ids = np.empty(len(index), dtype=object)
    for row in order:
        video = found["video"].iat[row]
        ids[row] = frame_id(video, next(wanted[video]))
    return ids
