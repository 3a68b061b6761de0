"""Texts and tables of the report.

Reads a `RunFolder`; makes sentences and `Table`s from the numbers in the run's files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pixelplay.evaluation.report import cell, interval_of
from pixelplay.registry import model_title
from pixelplay.visual.report_page import Table
from pixelplay.visual.run_folder import RunFolder

SUBMISSIONS = {"submission": "all together", "submission_two_stream": "two-stream memory",
               "submission_quad_ensemble": "quad ensemble", "frame_difference": "baseline: frame difference"}
METRICS = (("ap", "average precision"), ("micro_auc", "micro AUC"), ("macro_auc", "macro AUC"), ("rbdc", "RBDC"),
           ("tbdc", "TBDC"))
TERMS = {
    "average precision": "Area under the precision-recall curve: 100 % if every anomalous frame scores above every "
                         "normal one. A constant score reaches the share of anomalous frames.",
    "micro AUC": "Probability that an anomalous frame scores above a normal one, over all videos together. A constant "
                 "score reaches 50 %.",
    "macro AUC": "The same within each video, averaged over the videos.",
    "RBDC": "Share of anomalous regions that are detected, at up to one false positive per frame.",
    "TBDC": "Share of anomalies that are detected in a tenth of their frames, at up to one false positive per frame.",
    "95 % interval": "Range of the metric over resamples of the videos: few videos give wide intervals.",
    "weight": "Weight of the model in the final score.",
}
"""Explanations of the terms in the tables."""


def metric_tables(run: RunFolder) -> list[Table]:
    """Models and submissions: weight, seconds and, with labels, metrics with their intervals."""
    rows_of = run.metrics.get("rows", {})
    names = [n for n in ("submission", "submission_two_stream", "submission_quad_ensemble", *run.members,
                         "frame_difference") if n in rows_of or n in run.members]
    if not names:
        return []
    metrics = [(k, title) for k, title in METRICS if any(rows_of.get(n, {}).get(k) is not None for n in names)]
    header = ["", *(title for _, title in metrics), "weight", "seconds"]
    rows, strong = [], []
    for i, name in enumerate(names):
        row = rows_of.get(name, {})
        about = run.members[name].about if name in run.members else {}
        rows.append([SUBMISSIONS.get(name, model_title(name)),
                     *(cell(interval_of(row, key), digits=1) for key, _ in metrics),
                     f"{run.weights[name]:.2f}" if name in run.weights else "-",
                     f"{about['seconds']:.1f}" if "seconds" in about else "-"])
        if name == "submission":
            strong.append(i)
    words = "Models and submissions"
    if metrics:
        words += "; metrics in %, with 95 % intervals over videos"
        about = run.metrics.get("labels", {})
        if about:
            words += (f"; labels: {about['version']}, {about['positives']:,} anomalous of {about['frames']:,} frames "
                      f"({100 * about['base_rate']:.1f} %, the average precision of a constant score)")
    return [Table(words, header, rows, strong)]


def quality_tables(run: RunFolder) -> list[Table]:
    """Flags of both splits, and of each test video with missing numbers and unreliable frames."""
    table = run.manifest.table
    flags = sorted({f for cell in table["flags"].unique() for f in cell.split("|") if f})
    counts = {s: run.manifest.split(s) for s in ("train", "test")}
    rows = [[f, *(f"{int(t['flags'].str.split('|').apply(lambda c, f=f: f in c).sum()):,}" for t in counts.values())]
            for f in flags]
    rows += [["no flag", *(f"{int((t['flags'] == '').sum()):,}" for t in counts.values())],
             ["all frames", *(f"{len(t):,}" for t in counts.values())]]
    tables = [Table("Frames by what was found wrong with them", ["flag", "training", "test"], rows, [len(rows) - 1])]
    by_video = []
    for name, part in run.videos():
        rows_of = run.test.iloc[part]
        numbers = rows_of["frame"].to_numpy()
        missing = int(np.maximum(np.diff(numbers) - 1, 0).sum())
        trust = rows_of["reliability"]
        flagged = int((rows_of["flags"] != "").sum())
        by_video.append([f"video {name}", f"{len(rows_of):,}", f"{missing:,}", f"{flagged:,}",
                         f"{int((trust < 0.5).sum()):,}", f"{trust.mean():.2f}"])
    tables.append(Table("Test videos", ["", "frames", "numbers missing", "flagged", "unreliable", "mean reliability"],
                        by_video))
    return tables


def config_sections(run: RunFolder) -> dict[str, dict[str, Any]]:
    """Settings, hashes, versions and hardware of the run and of each model, as recorded by the run."""
    sections: dict[str, dict[str, Any]] = {}
    receipt = run.receipt
    if receipt:
        sections["Run"] = _flat({k: v for k, v in receipt.items() if k not in ("configs", "seconds", "options")})
        sections["Options"] = _flat(receipt.get("options", {}))
        sections["Seconds"] = {k: f"{v:.1f}" for k, v in receipt.get("seconds", {}).items()}
    sections["Data"] = {"layout": run.manifest.layout, "fingerprint": run.manifest.fingerprint,
                        "frames a second": run.fps}
    for name, file in run.members.items():
        about = {k: v for k, v in file.about.items() if k not in ("filled", "versions")}
        about["filled frames"] = len(file.about.get("filled", {}).get("ids", []))
        sections[f"Model {model_title(name)}"] = _flat(about)
    return {k: v for k, v in sections.items() if v}


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, item in value.items():
        name = f"{prefix}{key}"
        if isinstance(item, Mapping):
            out |= _flat(item, f"{name}.")
        else:
            out[name] = ", ".join(map(str, item)) if isinstance(item, list | tuple) else item
    return out
