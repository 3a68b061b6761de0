"""The report's words and tables.

Reads a `RunFolder`; makes sentences and `Table`s. Numbers come from the run's own files; nothing is computed here
but counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pixelplay.visual.report_page import Table
from pixelplay.visual.run_folder import RunFolder
from pixelplay.visual.style import model_title

METRICS = (("ap", "average precision"), ("micro_auc", "micro AUC"), ("macro_auc", "macro AUC"), ("rbdc", "RBDC"),
           ("tbdc", "TBDC"))
SUBMISSIONS = {"submission": "all together", "submission_two_stream": "two-stream memory",
               "submission_quad_ensemble": "quad ensemble", "frame_difference": "baseline: frame difference"}


def lead_and_tiles(run: RunFolder) -> tuple[str, list[tuple[str, str]]]:
    """The outcome in one sentence, and the numbers for the first glance."""
    videos, events = run.videos(), run.events
    tiles = [("test videos", f"{len(videos):,}"), ("test frames", f"{len(run.test):,}"), ("events", f"{len(events):,}")]
    row = run.metrics.get("rows", {}).get("submission")
    if row:
        tiles += [(name, f"{100 * row[key]:.1f} %") for key, name in METRICS[:2] if row.get(key) is not None]
    if run.final is None:
        return "No model has scored these videos yet.", tiles
    if not events:
        return f"Nothing unusual was found in {len(videos)} videos ({len(run.test):,} frames).", tiles
    loud = len({e.video for e in events})
    first = events[0]
    start = next(int(t.frames[0]) for t in run.tracks if t.video == first.video)
    return (f"{len(events)} event{'s' if len(events) > 1 else ''} in {loud} of {len(videos)} videos. The loudest is in "
            f"video {first.video} at {(first.peak_frame - start) / run.fps:.1f} s: "
            f"{first.reason or 'highest score'}."), tiles


def metric_tables(run: RunFolder) -> list[Table]:
    """Models and submissions: weight, seconds and, where labels are known, metrics with their intervals."""
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
        rows.append([SUBMISSIONS.get(name, model_title(name)), *(_cell(row, key) for key, _ in metrics),
                     f"{run.weights[name]:.2f}" if name in run.weights else "",
                     f"{about['seconds']:.1f}" if "seconds" in about else ""])
        if name == "submission":
            strong.append(i)
    words = "Models and what was made of them"
    if metrics:
        words += "; metrics in %, with 95 % intervals over videos, positive = anomalous"
        about = run.metrics.get("labels", {})
        if about:
            words += (f"; labels: {about['version']}, {about['positives']:,} anomalous of {about['frames']:,} frames "
                      f"({100 * about['base_rate']:.1f} %, the average precision of a constant score)")
    return [Table(words, header, rows, strong)]


def _cell(row: Mapping[str, Any], key: str) -> str:
    """'98.5 (97.1 to 99.2)' in percent; '' where the metric is not known."""
    if row.get(key) is None:
        return ""
    low, high = row.get(f"{key}_low"), row.get(f"{key}_high")
    return f"{100 * row[key]:.1f}" + (f" ({100 * low:.1f} to {100 * high:.1f})" if None not in (low, high) else "")


def quality_tables(run: RunFolder) -> list[Table]:
    """Flags of both splits, and of each test video with its missing numbers and unreliable frames."""
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
    """Settings, hashes, versions and hardware of the run and of each model, as the run recorded them."""
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
