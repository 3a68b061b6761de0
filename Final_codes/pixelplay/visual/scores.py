"""Figures of score distributions, metrics and the agreement of models.

Reads calibrated scores of several models (arrays in the same order); makes Figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import rankdata

from pixelplay.fusion.ensemble import spearman
from pixelplay.registry import model_title
from pixelplay.visual import style


def score_histograms(test: Mapping[str, np.ndarray], *, train: Mapping[str, np.ndarray] | None = None,
                     labels: np.ndarray | None = None) -> Figure:
    """One histogram per model: held-out training frames against test frames, split by label if known.

    Args:
        test: name -> (N,) calibrated scores; train: name -> (M,) the same for held-out training frames.
        labels: (N,) bool, True = anomalous.
    """
    train = train or {}
    figure, grid = style.panels(len(test), 3, (3.7, 2.3), 0.5)
    for axes, (name, values) in zip(grid.ravel(), test.items()):
        groups = []
        if name in train:
            groups.append((np.asarray(train[name]), style.GREY, "training, held out"))
        if labels is None:
            groups.append((np.asarray(values), style.VERMILLION, "test"))
        else:
            groups += [(np.asarray(values)[~labels], style.BLUE, "test, normal"),
                       (np.asarray(values)[labels], style.VERMILLION, "test, anomalous")]
        groups = [g for g in groups if len(g[0])]
        everything = np.concatenate([g[0] for g in groups]) if groups else np.zeros(1)
        edges = np.linspace(everything.min(), everything.max() + 1e-9, 41)
        for data, colour, label in groups:
            axes.hist(data, edges, density=True, histtype="stepfilled", alpha=0.25, color=colour)
            axes.hist(data, edges, density=True, histtype="step", lw=1.4, color=colour, label=label)
        style.tidy(axes, x="rarity among normal frames", y="density", title=model_title(name))
    if len(test):
        handles, names = grid.ravel()[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper left", ncols=3, fontsize=8, frameon=False)
    return figure


def metric_intervals(rows: Mapping[str, Mapping[str, Any]], metrics: Sequence[tuple[str, str]], *,
                     base_rate: float | None = None) -> Figure:
    """Points with 95 % intervals, one panel per metric and one line per row.

    Args:
        rows: name -> {metric, metric_low, metric_high: values in [0, 1]}, drawn from top to bottom.
        metrics: (key, title) pairs.
        base_rate: share of anomalous frames: the average precision of a constant score.
    """
    figure = style.new_figure(3.4 * len(metrics) + 1.2, 0.9 + 0.3 * len(rows))
    grid = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    height = np.arange(len(rows))[::-1]
    for axes, (key, title) in zip(grid, metrics):
        chance = base_rate if key == "ap" else 0.5
        if chance is not None:
            axes.axvline(100 * chance, color=style.GREY, lw=1, ls=":")
        for y, row in zip(height, rows.values()):
            if row.get(key) is None:
                continue
            low, high = row.get(f"{key}_low"), row.get(f"{key}_high")
            if low is None or high is None:
                low = high = row[key]
            axes.plot([100 * low, 100 * high], [y, y], color=style.SKY, lw=4, solid_capstyle="butt", zorder=1)
            axes.plot(100 * row[key], y, "o", color=style.BLACK, ms=5, zorder=2)
            axes.annotate(f"{100 * row[key]:.1f}", (100 * row[key], y), xytext=(0, 5), textcoords="offset points",
                          ha="center", fontsize=7)
        style.tidy(axes, x=f"{title}, %", title="dotted: a constant score" if key == metrics[0][0] else "")
        axes.set_ylim(-0.6, len(rows) - 0.1)
        axes.grid(axis="x", alpha=0.3)
    grid[0].set_yticks(height, list(rows), fontsize=9)
    return figure


def rank_correlation(scores: Mapping[str, np.ndarray]) -> np.ndarray:
    """Spearman's rank correlation of every pair: (K, K); 0 if the scores of a model are all equal."""
    ranks = [rankdata(v) for v in scores.values()]
    return np.array([[spearman(a, b) for b in ranks] for a in ranks]).reshape(len(ranks), len(ranks))


def correlation_matrix(scores: Mapping[str, np.ndarray]) -> Figure:
    """Rank correlation between models: an ensemble gains from good members that disagree."""
    names = list(scores)
    values = rank_correlation(scores)
    figure = style.new_figure(1.6 + 0.75 * max(len(names), 2), 1.2 + 0.65 * max(len(names), 2))
    axes = figure.subplots()
    image = axes.imshow(values, vmin=0, vmax=1, cmap="Blues")
    for i in range(len(names)):
        for j in range(len(names)):
            axes.text(j, i, f"{round(values[i, j], 2) + 0.0:.2f}", ha="center", va="center", fontsize=9,
                      color="white" if values[i, j] > 0.6 else "black")
    titles = [model_title(n) for n in names]
    axes.set_xticks(range(len(names)), titles, rotation=30, ha="right", fontsize=8)
    axes.set_yticks(range(len(names)), titles, fontsize=8)
    axes.set_title("How alike the models rank the test frames (1 = the same)", fontsize=10, loc="left")
    bar = figure.colorbar(image, ax=axes, shrink=0.8)
    bar.set_label("Spearman's rho", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    return figure
