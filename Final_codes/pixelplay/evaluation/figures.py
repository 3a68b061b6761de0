"""Figures of an evaluation: ROC, precision-recall, per-video bars.

Reads an `Evaluation`; makes matplotlib `Figure`s without global state. Colours of Okabe and Ito (2008).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pixelplay.evaluation.bootstrap import Interval, draw_videos
from pixelplay.evaluation.metrics import Ranking, by_video
from pixelplay.evaluation.report import Evaluation, cell
from pixelplay.files import atomic_path

COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#8C510A")
GREY = "#767676"
STYLES = ("-", "--", ":")
BAND_DRAWS = 200
GRID = np.linspace(0.0, 1.0, 201)


def roc_figure(found: Evaluation, names: list[str] | None = None) -> Figure:
    """Pooled ROC curves; the band of the first is its 95 % bootstrap interval."""
    figure, axes = _axes("false alarms / normal frames", "detected / anomalous frames",
                         "ROC, all frames pooled (micro)")
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":", label="chance: 50")
    for k, name in enumerate(names or list(found.values)):
        false, true = Ranking.of(found.truth, found.values[name]).counts()
        axes.plot(false / max(false[-1], 1), true / max(true[-1], 1), label=_legend(found, name, "micro_auc"),
                  **_line(k))
        if k == 0:
            _band(axes, found, name, _roc_on_grid)
    axes.legend(fontsize=7, loc="lower right", title="micro AUC [95 %]", title_fontsize=7)
    return figure


def pr_figure(found: Evaluation, names: list[str] | None = None) -> Figure:
    """Pooled precision-recall curves, with the base rate: the AP of a constant score."""
    figure, axes = _axes("recall: detected / anomalous frames", "precision: anomalous / alarmed frames",
                         "Precision and recall, all frames pooled")
    rate = found.labels["base_rate"]
    axes.axhline(rate, color=GREY, linewidth=1, linestyle=":", label=f"base rate: {100 * rate:.0f}")
    for k, name in enumerate(names or list(found.values)):
        recall, precision = _pr(*Ranking.of(found.truth, found.values[name]).counts())
        axes.step(recall, precision, where="pre", label=_legend(found, name, "ap"), **_line(k))
        if k == 0:
            _band(axes, found, name, _pr_on_grid)
    low = min(rate, *(_pr(*Ranking.of(found.truth, v).counts())[1][1:].min() for v in found.values.values()))
    axes.set_ylim(max(0.0, low - 0.05), 1.01)
    axes.legend(fontsize=7, loc="best", title="AP [95 %]", title_fontsize=7)
    return figure


def videos_figure(found: Evaluation, names: list[str] | None = None) -> Figure:
    """AUC of each video as bars; for a video of one class, its share of anomalous frames as text."""
    names = names or list(found.values)
    first = found.videos[names[0]]
    figure = Figure(figsize=(max(6.0, 0.32 * len(first) * (1 + 0.35 * len(names)) + 2), 3.6), dpi=110,
                    layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    width = 0.84 / len(names)
    at = np.arange(len(first))
    for k, name in enumerate(names):
        axes.bar(at - 0.42 + (k + 0.5) * width, 100 * found.videos[name]["auc"].fillna(0), width,
                 color=COLOURS[k % len(COLOURS)], label=f"{name}: {whole(found.rows[name]['macro_auc'])}")
    for x, row in zip(at, first.itertuples()):
        if not np.isfinite(row.auc):
            word = "all anomalous" if row.positives else "all normal"
            axes.text(x, 2, word, rotation=90, ha="center", va="bottom", fontsize=7, color=GREY)
    axes.axhline(50, color=GREY, linewidth=1, linestyle=":")
    axes.set_xticks(at, [f"{r.video}\n{r.positives}\nof {r.frames}" for r in first.itertuples()], fontsize=7)
    axes.set_ylim(0, 101)
    _tidy(axes, "video (anomalous of all frames)", "ROC-AUC of the video, %", "Each video on its own")
    figure.legend(*axes.get_legend_handles_labels(), fontsize=7, title="macro AUC [95 %]", title_fontsize=7,
                  loc="outside right upper")
    return figure


def write_figures(found: Evaluation, folder: Path) -> list[Path]:
    """Write roc.png, pr.png and videos.png; returns their paths."""
    paths = []
    for name, draw in (("roc", roc_figure), ("pr", pr_figure), ("videos", videos_figure)):
        with atomic_path(Path(folder) / f"{name}.png") as part:
            # no software version in the metadata: equal figures are equal files
            draw(found).savefig(part, format="png", metadata={"Software": None})
        paths.append(Path(folder) / f"{name}.png")
    return paths


def _axes(x: str, y: str, title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(5.6, 4.6), dpi=110, layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.01)
    _tidy(axes, x, y, title)
    return figure, axes


def _tidy(axes: Axes, x: str, y: str, title: str) -> None:
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)
    axes.set_title(title, fontsize=10, loc="left")
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _line(k: int) -> dict:
    return {"color": COLOURS[k % len(COLOURS)], "linestyle": STYLES[k // len(COLOURS) % len(STYLES)],
            "linewidth": 2.0 if k == 0 else 1.3}


def _legend(found: Evaluation, name: str, metric: str) -> str:
    return f"{name}: {whole(found.rows[name][metric])}"


def whole(interval: Interval | None) -> str:
    """'77 [50, 97]': short enough for a legend; more digits mean nothing with few videos."""
    return cell(interval, 0)


def _pr(false: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(recall, precision) from cumulative counts; at recall 0 the precision of the highest scores."""
    alarmed = np.maximum(false + true, 1e-12)
    precision = true / alarmed
    precision[0] = precision[1]
    return true / max(true[-1], 1e-12), precision


def _roc_on_grid(false: np.ndarray, true: np.ndarray) -> np.ndarray:
    return np.interp(GRID, false / max(false[-1], 1e-12), true / max(true[-1], 1e-12))


def _pr_on_grid(false: np.ndarray, true: np.ndarray) -> np.ndarray:
    recall, precision = _pr(false, true)
    return precision[np.minimum(np.searchsorted(recall, GRID), len(recall) - 1)]


def _band(axes: Axes, found: Evaluation, name: str, curve) -> None:
    """Shade the pointwise 95 % band of the bootstrap curves."""
    groups = list(by_video(found.video_names).values())
    if len(groups) < 2 or found.draws == 0:
        return
    which = np.empty(len(found.truth), dtype=np.int64)
    for k, at in enumerate(groups):
        which[at] = k
    ranking = Ranking.of(found.truth, found.values[name])
    curves = [curve(*ranking.counts(row[which])) for row in draw_videos(len(groups), BAND_DRAWS)]
    low, high = np.quantile(curves, [0.025, 0.975], axis=0)
    axes.fill_between(GRID, low, high, color=COLOURS[0], alpha=0.12, linewidth=0,
                      label=f"{name}: 95 % of resampled sets of videos")
