"""Shared by experiments: finished runs by name, result rows in CSV files, and a figure of intervals."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from pixelplay.data.manifest import Manifest
from pixelplay.errors import PixelPlayError
from pixelplay.evaluation.figures import COLOURS, GREY
from pixelplay.evaluation.labels import read_labels
from pixelplay.evaluation.report import METRICS, Scored, evaluate
from pixelplay.fusion.recipe import Frames

EXTRACTION = "01_frame_extraction"


def named(runs: Sequence[str]) -> dict[str, Path]:
    """['ped2=outputs/ped2', 'outputs'] -> {'ped2': Path, 'outputs': Path}. Raises PixelPlayError for other paths."""
    found = {}
    for text in runs:
        name, _, path = text.rpartition("=")
        if not (Path(path) / EXTRACTION / "manifest.csv").exists():
            raise PixelPlayError(f"{path} is no finished run", expected="an output folder of run_all.py",
                                 hint="name runs like --runs ped2=outputs/ped2; make demo leaves one in outputs")
        found[name or Path(path).name] = Path(path)
    return found


def test_frames(output: Path) -> Frames:
    """The test frames of a run, with their reliabilities."""
    test = Manifest.load(output / EXTRACTION).split("test")
    return Frames.of_ids(test["Id"].tolist(), dict(zip(test["Id"], test["reliability"].astype(float))))


def measured(data: str, output: Path, scores: dict, metrics: Sequence[str] = ("ap", "micro_auc", "macro_auc"),
             group: str = "") -> list[dict]:
    """Rows (data, group, what, metric, value, low, high in percent) of {name: (N,) scores}; empty without labels."""
    labels = Manifest.load(output / EXTRACTION).labels
    if labels is None:
        return []
    frames = test_frames(output)
    found = evaluate([Scored(n, frames.ids, v) for n, v in scores.items()], read_labels(labels), known_ids=frames.ids)
    base = f"{data} ({found.labels['positives']} of {found.labels['frames']} frames anomalous)"
    return [{"data": base, "group": group, "what": name, "metric": METRICS[m], "value": f"{100 * row[m].value:.2f}",
             "low": f"{100 * row[m].low:.2f}", "high": f"{100 * row[m].high:.2f}"}
            for name, row in found.rows.items() for m in metrics]


def write_rows(path: Path, rows: Sequence[dict], keep: str = "") -> list[dict]:
    """Write rows as CSV. With `keep`, rows of the present file with another value in that column stay.

    Returns:
        all rows of the file.
    """
    kept = []
    if keep and path.exists():
        now = {r[keep] for r in rows}
        with path.open(newline="") as stream:
            kept = [r for r in csv.DictReader(stream) if r[keep] not in now]
    with path.open("w", newline="") as stream:
        table = csv.DictWriter(stream, fieldnames=list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows([*kept, *rows])
    return [*kept, *rows]


def dots(rows: Sequence[dict], metrics: Sequence[str] = ("AP", "micro AUC"), title: str = "") -> Figure:
    """One panel per dataset: a dot with its 95 % interval for each row of `measured`, one colour per metric."""
    datasets = list(dict.fromkeys(r["data"] for r in rows))
    names = {d: list(dict.fromkeys(r["what"] for r in rows if r["data"] == d)) for d in datasets}
    figure = Figure(figsize=(7.5, 0.9 + sum(0.75 + 0.27 * len(n) for n in names.values())), dpi=110,
                    layout="constrained", facecolor="white")
    panels = figure.subplots(len(datasets), 1, squeeze=False,
                             gridspec_kw={"height_ratios": [len(names[d]) + 1 for d in datasets]})[:, 0]
    for axes, data in zip(panels, datasets):
        for k, metric in enumerate(metrics):
            here = {r["what"]: r for r in rows if r["data"] == data and r["metric"] == metric}
            for y, name in enumerate(names[data]):
                if name in here:
                    value, low, high = (float(here[name][c]) for c in ("value", "low", "high"))
                    at, colour = y + 0.16 * (k - (len(metrics) - 1) / 2), COLOURS[1 + k]
                    axes.plot([low, high], [at, at], color=colour, linewidth=1)
                    axes.plot(value, at, "o", color=colour, markersize=5, label=metric if y == 0 else None)
        axes.set_yticks(range(len(names[data])), names[data], fontsize=8)
        axes.invert_yaxis()
        axes.grid(axis="x", color=GREY, alpha=0.25, linewidth=0.6)
        axes.set_title(data, fontsize=9, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(fontsize=8, loc="lower left")
    panels[-1].set_xlabel("%, with 95 % intervals by drawing videos", fontsize=9)
    if title:
        figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    return figure
