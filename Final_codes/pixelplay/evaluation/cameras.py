"""Metrics of many cameras: of each, of all frames pooled (micro), and the mean over cameras (macro).

Reads one submission per camera and the labels of all; makes the `metrics.json` of `pixelplay cameras`. A camera's
scores are in the unit of its own normal footage, so pooled metrics show whether one threshold serves all cameras.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pixelplay.evaluation.bootstrap import DRAWS
from pixelplay.evaluation.labels import Labels
from pixelplay.evaluation.report import Scored, evaluate, plain, rows_as_json

METRICS = ("ap", "micro_auc", "macro_auc")


def evaluate_cameras(scored: Mapping[str, Scored], labels: Labels, known_ids: Sequence[str], *, draws: int = DRAWS
                     ) -> dict[str, Any]:
    """Evaluate the cameras of one test set.

    Args:
        scored: camera -> scores of its test frames; at least one.
        labels: of all test frames.
        known_ids: every test Id, including those of cameras that failed.
        draws: see `evaluate`.
    Returns:
        `cameras`: camera -> metrics with intervals, frames, positives; `micro`: the same, pooled over all frames;
        `macro`: metric -> mean over the cameras on which it is defined, None if there is none, and `cameras`: their
        number by metric. An undefined metric (one class only) is None.
    Raises:
        PixelPlayError: scored frames without a label.
    """
    pooled = Scored("all", np.concatenate([s.ids for s in scored.values()]),
                    np.concatenate([s.values for s in scored.values()]))
    rows = {name: _row(one, labels, known_ids, draws) for name, one in scored.items()}
    found = {metric: [row[metric] for row in rows.values() if row[metric] is not None] for metric in METRICS}
    return {"cameras": rows, "micro": _row(pooled, labels, known_ids, draws), "labels": labels.source, "macro": {
        **{metric: float(np.mean(values)) if values else None for metric, values in found.items()},
        "cameras": {metric: len(values) for metric, values in found.items()}}}


def _row(one: Scored, labels: Labels, known_ids: Sequence[str], draws: int) -> dict[str, Any]:
    found = evaluate([one], labels, known_ids=known_ids, partial=True, draws=draws)
    metrics = rows_as_json({"": {m: found.rows[one.name][m] for m in METRICS}})[""]
    return plain(metrics | {key: found.labels[key] for key in ("frames", "positives", "videos")})
