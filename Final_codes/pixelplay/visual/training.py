"""Figure of loss curves.

Reads per-step or per-epoch losses (arrays, or a CSV with a step column); makes a Figure.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pixelplay.errors import PixelPlayError
from pixelplay.files import read_json
from pixelplay.registry import model_title
from pixelplay.visual import style

STYLES = {"train": (style.BLUE, "-", "o"), "held_out": (style.VERMILLION, "--", "s")}


def loss_curves(models: Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray]]]) -> Figure:
    """One panel per model.

    Args:
        models: model -> {curve name -> (step (n,), loss (n,))}; 'train' and 'held_out' have fixed colours.
    """
    figure, grid = style.panels(len(models), 2, (5.4, 2.5), 0.4)
    for axes, (name, curves) in zip(grid.ravel(), models.items()):
        for i, (label, (steps, losses)) in enumerate(curves.items()):
            colour, line, marker = STYLES.get(label, (style.SPARE_COLOURS[i % len(style.SPARE_COLOURS)], "-",
                                                       "^vD"[(i - 2) // len(style.SPARE_COLOURS) % 3]))
            axes.plot(steps, losses, line, color=colour, lw=1.5, marker=marker if len(steps) < 40 else None, ms=3.5,
                      label=label.replace("_", " "))
        values = np.concatenate([np.asarray(v[1], dtype=np.float64) for v in curves.values()] or [np.ones(1)])
        if len(values) and np.all(values > 0) and values.max() > 5 * values.min():
            axes.set_yscale("log")
        style.tidy(axes, x="step", y="loss (mean per pixel)", title=model_title(name))
        axes.grid(alpha=0.3)
        # beside the curves, where it hides none
        axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def find_curve(work: Path, trained: Path) -> dict[str, tuple[np.ndarray, np.ndarray]] | None:
    """The loss curve of a model from its work folder, or from the card of its weights; None if there is neither."""
    if (work / "main" / "curve.csv").exists():
        return read_losses(work / "main" / "curve.csv")
    card = read_json(trained / "card.json") if (trained / "card.json").exists() else {}
    rows = pd.DataFrame(card.get("curve", []))
    return _curves(rows) if "step" in rows.columns else None


def _curves(table: pd.DataFrame) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """train (the total) and held_out first, then the terms of the loss; columns of speed are omitted."""
    table = table.rename(columns={"total": "train"})
    names = [c for c in ("train", "held_out") if c in table.columns]
    names += [c for c in table.columns if c not in ("step", "clips_per_second", *names)
              and pd.api.types.is_numeric_dtype(table[c])]
    return {c: (table.loc[table[c].notna(), "step"].to_numpy(), table.loc[table[c].notna(), c].to_numpy(np.float64))
            for c in names}


def read_losses(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Read a CSV of losses: a column `step` and one column per curve; empty cells are skipped.

    Raises:
        PixelPlayError: the column `step` or all others are missing.
    """
    table = pd.read_csv(path)
    curves = _curves(table) if "step" in table.columns else {}
    if not curves:
        raise PixelPlayError(f"{path} has the columns {', '.join(table.columns)}",
                             expected="step and at least one loss")
    return curves
