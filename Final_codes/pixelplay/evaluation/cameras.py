"""Metrics of many cameras: each by itself, all frames together, and the mean over the cameras.

Reads one submission a camera and the labels of all of them; makes what `metrics.json` of `pixelplay cameras` holds. A
camera's scores are in the unit of its own normal footage, so pooled frames say whether one threshold serves all.
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
        known_ids: every test Id, those of cameras that failed, too.
        draws: see `evaluate`.
    Returns:
        `cameras`: camera -> metrics with intervals, frames, positives; `micro`: the same of all frames together;
        `macro`: metric -> mean over the cameras on which it is defined, None where it is on none, and `cameras` the
        number of these by metric. A metric that is not defined (one class alone) is None.
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
