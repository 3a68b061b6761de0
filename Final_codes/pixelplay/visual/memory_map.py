"""Figures of a memory bank: its coverage in two dimensions, and covering radius against size.

Reads feature matrices (N, D) and coreset picks; makes Figures.
"""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from pixelplay.visual import style


def project(train: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
    """Principal component analysis of the training features, applied to all matrices.

    Returns:
        One (n, 2) float array for `train` and for each of `others`.
    """
    train = np.asarray(train, dtype=np.float64)
    centre = train.mean(axis=0)
    # a (D, D) matrix instead of (N, N): a long video has more frames than a feature has dimensions
    _, axes = np.linalg.eigh((train - centre).T @ (train - centre))
    axes = axes.T[::-1]
    # the sign of a component is arbitrary: fix it, so that figures are reproducible
    axes = axes * np.where(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)] < 0, -1.0, 1.0)[:, None]
    basis = np.zeros((2, train.shape[1]))
    basis[:min(2, len(axes))] = axes[:2]
    return [(np.asarray(x, dtype=np.float64) - centre) @ basis.T for x in (train, *others)]


MOST_POINTS = 5000
"""Largest number of grey dots; more would not change the figure."""


def memory_map(train: np.ndarray, picks: np.ndarray, test: np.ndarray, *, test_scores: np.ndarray | None = None,
               title: str = "Memory bank") -> Figure:
    """Training features, picks and test features on the first two principal components of the training set.

    Args:
        train: (N, D); picks: (M,) indices into it; test: (K, D).
        test_scores: (K,) calibrated scores to colour the test features by.
    """
    flat_train, flat_test = project(train, test)
    shown = np.linspace(0, len(train) - 1, min(len(train), MOST_POINTS)).round().astype(int)
    figure = style.new_figure(7.2, 5.2)
    axes = figure.subplots()
    axes.scatter(*flat_train[shown].T, s=7, color="#c4c4c4", lw=0, zorder=1,
                 label=f"training features ({len(train):,})")
    if test_scores is None:
        axes.scatter(*flat_test.T, s=9, color=style.SKY, alpha=0.7, lw=0, zorder=2,
                     label=f"test features ({len(test):,})")
    else:
        order = np.argsort(test_scores, kind="stable")
        points = axes.scatter(*flat_test[order].T, s=12, c=np.asarray(test_scores)[order], cmap="viridis", lw=0,
                              zorder=2,
                              label=f"test features ({len(test):,})")
        bar = figure.colorbar(points, ax=axes, shrink=0.85)
        bar.set_label("rarity of the test feature (3 = one normal frame in 1,000)", fontsize=8)
        bar.ax.tick_params(labelsize=8)
    axes.scatter(*flat_train[picks].T, s=34, marker="o", facecolors="none", edgecolors=style.BLACK, lw=1.1,
                 label=f"in the bank ({len(picks):,})", zorder=3)
    style.tidy(axes, "first principal component (feature units)", "second principal component (feature units)", title)
    figure.legend(loc="outside lower left", ncols=3, fontsize=8, frameon=False)
    return figure


def covering_radii(features: np.ndarray, picks: np.ndarray) -> np.ndarray:
    """Covering radius after each pick.

    Args:
        features: (N, D); picks: (M,) indices in order of picking.
    Returns:
        (M,) float64, non-increasing, in feature units.
    """
    features = np.asarray(features, dtype=np.float32)
    squares = (features.astype(np.float64) ** 2).sum(axis=1)
    nearest = np.full(len(features), np.inf)
    radii = np.empty(len(picks))
    for i, pick in enumerate(picks):
        nearest = np.minimum(nearest, squares + squares[pick] - 2.0 * (features @ features[pick]))
        nearest[pick] = 0.0
        radii[i] = np.sqrt(max(float(nearest.max()), 0.0))
    return radii


def radius_curve(radii: np.ndarray, *, chosen: int | None = None, title: str = "Covering radius") -> Figure:
    """Covering radius against the number of picks; `chosen` marks the current size."""
    figure = style.new_figure(5.6, 3.4)
    axes = figure.subplots()
    axes.plot(np.arange(1, len(radii) + 1), radii, color=style.BLUE, lw=1.8)
    if chosen is not None and 1 <= chosen <= len(radii):
        axes.plot([chosen], [radii[chosen - 1]], "o", color=style.VERMILLION, ms=7)
        axes.annotate(f"{chosen} picks: {radii[chosen - 1]:.3g}", (chosen, radii[chosen - 1]), xytext=(8, 8),
                      textcoords="offset points", fontsize=9)
    if len(radii) > 20:
        axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    return_axes = style.tidy(axes, "picks in the bank", "covering radius (feature units)", title)
    return_axes.grid(alpha=0.3)
    return figure
