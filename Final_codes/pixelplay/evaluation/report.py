"""Evaluation of score files: one row per file, every metric with its interval, on one named version of the labels.

Reads score files (raw, or submissions) and labels; makes an `Evaluation`: a table, JSON, and the data of the figures.
Scores are neither smoothed nor normalised here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pixelplay.data.ids import canonical_id, split_id
from pixelplay.errors import PixelPlayError
from pixelplay.evaluation.bootstrap import DRAWS, Interval, frame_intervals
from pixelplay.evaluation.labels import Labels
from pixelplay.evaluation.metrics import PADDING_RULES, PADDINGS, per_video
from pixelplay.fusion.scores import check, read_table
from pixelplay.tables import text_table

METRICS = {"ap": "AP", "micro_auc": "micro AUC", "macro_auc": "macro AUC", "eer": "EER", "rbdc": "RBDC", "tbdc": "TBDC"}


@dataclasses.dataclass(frozen=True)
class Scored:
    """Named scores of N frames; `ids` unpadded."""

    name: str
    ids: np.ndarray
    values: np.ndarray


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Result of an evaluation.

    Attributes:
        rows: name -> metric -> `Interval`.
        videos: name -> per-video table (see `metrics.per_video`).
        labels: version of the labels, frames, positives, base rate, notes.
        values, truth, video_names: name -> (N,) scores; (N,) labels; (N,) videos, for figures.
        regions: ground truth of RBDC and TBDC in words, '' without them.
    """

    rows: dict[str, dict[str, Interval]]
    videos: dict[str, pd.DataFrame]
    labels: dict[str, Any]
    values: dict[str, np.ndarray]
    truth: np.ndarray
    video_names: np.ndarray
    padding: str
    draws: int
    regions: str = ""

    def as_json(self) -> dict[str, Any]:
        """Plain values: rows (metric -> value, metric_low, metric_high), per-video tables, labels, rules."""
        return plain({"rows": rows_as_json(self.rows), "regions": self.regions,
                      "videos": {n: t.to_dict("records") for n, t in self.videos.items()},
                      "labels": self.labels, "positive_class": "anomalous",
                      "macro_auc_rule": f"{self.padding}: {PADDING_RULES[self.padding]}",
                      "interval": f"95 %, {self.draws} draws of videos with replacement"})

    def table(self) -> str:
        """The table as text, in percent."""
        lines, about = table_lines(self.rows), self.labels
        lines += ["", f"labels: {about['version']}, {about['source']}: {about['positives']} anomalous of "
                      f"{about['frames']} frames ({100 * about['base_rate']:.1f} %, the AP of a constant score), "
                      f"{about['videos']} videos"]
        lines += [f"  note: {n}" for n in about["notes"]]
        lines.append(f"macro AUC: {PADDING_RULES[self.padding]}; positive class: anomalous")
        lines += [f"regions: {self.regions}"] if self.regions else []
        return "\n".join(lines)


def table_lines(rows: Mapping[str, Mapping[str, Interval]]) -> list[str]:
    """Header and one line per row, in percent, for the metrics that occur."""
    metrics = [m for m in METRICS if any(m in r for r in rows.values())]
    return text_table(["scores", *(f"{METRICS[m]} [95 %]" for m in metrics)],
                      [[name, *(cell(row.get(m)) for m in metrics)] for name, row in rows.items()])


def rows_as_json(rows: Mapping[str, Mapping[str, Interval]]) -> dict[str, dict[str, float]]:
    """Name -> metric, metric_low, metric_high -> number."""
    return {name: {f"{metric}{end}": value for metric, i in metrics.items()
                   for end, value in (("", i.value), ("_low", i.low), ("_high", i.high))}
            for name, metrics in rows.items()}


def cell(i: Interval | None, digits: int = 2) -> str:
    """'98.50 [97.10, 99.20]' in percent; a dash if the metric is undefined."""
    if i is None or not np.isfinite(i.value):
        return "-"
    around = f" [{100 * i.low:.{digits}f}, {100 * i.high:.{digits}f}]" if np.isfinite(i.low) else ""
    return f"{100 * i.value:.{digits}f}{around}"


def interval_of(row: Mapping[str, Any], metric: str) -> Interval | None:
    """A metric of a row of `rows_as_json` as an `Interval`; None if the row lacks it."""
    if row.get(metric) is None:
        return None
    low, high = (row.get(f"{metric}{end}") for end in ("_low", "_high"))
    return Interval(row[metric], *(float("nan") if v is None else v for v in (low, high)), draws=0)


def read_scored(path: Path) -> Scored:
    """Read a score file or submission for evaluation; padded Ids are accepted."""
    ids, values = read_table(Path(path))
    check(values, ids, None, str(path))
    try:
        plain = np.array([canonical_id(i) for i in ids], dtype=object)
    except ValueError as cause:
        raise PixelPlayError(f"{path}: {cause}", expected="Ids like 1_939: video, underscore, frame number") from cause
    return Scored(Path(path).stem, plain, values)


def evaluate(scored: Sequence[Scored], labels: Labels, *, known_ids: Sequence[str] | None = None,
             partial: bool = False, padding: str = "exclude", draws: int = DRAWS, seed: int = 0,
             extra: Mapping[str, Mapping[str, Interval]] | None = None, regions: str = "") -> Evaluation:
    """Evaluate score files on the same labels.

    Args:
        scored: at least one; all on the same Ids (in any order), so that metrics are comparable.
        known_ids, partial: see `Labels.align`.
        padding: rule of macro AUC for videos of one class, see `metrics.PADDING_RULES`.
        draws: bootstrap resamples; 0 = no intervals.
        extra: score file name -> further metrics (RBDC, TBDC); a name without scores gets its own row.
        regions: ground truth of the further metrics, in words.
    Raises:
        PixelPlayError: files on different Ids, or labels that do not fit them.
    """
    if not scored:
        raise PixelPlayError("no scores to evaluate", hint="name at least one file after --scores")
    if padding not in PADDINGS:
        raise PixelPlayError(f"there is no padding rule '{padding}'", expected=" or ".join(PADDINGS))
    first = scored[0]
    names = [s.name for s in scored]
    if len(set(names)) < len(names):
        names = [f"{s.name} ({k})" if names.count(s.name) > 1 else s.name for k, s in enumerate(scored, start=1)]
    aligned = labels.align(first.ids, known_ids, partial=partial)
    videos = np.array([split_id(i)[0] for i in first.ids], dtype=object)
    rows, tables, values = {}, {}, {}
    for name, one in zip(names, scored):
        values[name] = _same_ids(first, one)
        rows[name] = frame_intervals(aligned.values, values[name], videos, padding=padding, draws=draws, seed=seed)
        rows[name] |= dict((extra or {}).get(name, {}))
        tables[name] = per_video(aligned.values, values[name], videos)
    rows |= {name: dict(row) for name, row in (extra or {}).items() if name not in rows}
    return Evaluation(rows, tables, aligned.about, values, aligned.values, videos, padding, draws, regions)


def _same_ids(first: Scored, other: Scored) -> np.ndarray:
    """The scores of `other` in the order of `first`. Raises PixelPlayError naming the first three differences."""
    index = pd.Index(other.ids)
    if index.has_duplicates:
        raise PixelPlayError(f"{other.name}: Id {index[index.duplicated()][0]} appears more than once",
                             expected="each Id exactly once")
    at = index.get_indexer(pd.Index(first.ids))
    missing, extra = first.ids[at < 0], index.difference(pd.Index(first.ids), sort=False)
    if len(missing) or len(extra):
        parts = []
        if len(missing):
            parts.append(f"{len(missing)} Ids of {first.name} are missing (first: {', '.join(missing[:3])})")
        if len(extra):
            parts.append(f"{len(extra)} Ids are not in {first.name} (first: {', '.join(extra[:3])})")
        raise PixelPlayError(f"{other.name}: " + "; ".join(parts), expected="the same frames in every score file",
                             hint="evaluate files of the same test set together")
    return other.values[at]


def plain(value: Any) -> Any:
    """Replace NaN by None, which JSON requires, and numpy numbers by Python's, recursively."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value
