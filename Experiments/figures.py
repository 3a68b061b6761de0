"""Figures of experiments from their result CSVs, without rerunning them: E04, E05, E09 and E12.

The other experiments draw their own. Reads the CSVs beside this file; writes a PNG beside each.

    python Experiments/figures.py
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pixelplay.evaluation.figures import COLOURS

HERE = Path(__file__).parent


def new(width: float, height: float, panels: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure with panels side by side."""
    made = Figure(figsize=(width, height), dpi=110, layout="constrained", facecolor="white")
    axes = list(made.subplots(1, panels, squeeze=False)[0])
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
    return made, axes


def coreset(table: pd.DataFrame) -> Figure:
    """E04: time relative to ours against covering radius, one panel per feature matrix."""
    matrices = list(table.groupby(["features", "rows", "dimensions", "picks"], sort=False))
    made, panels = new(5 * len(matrices), 3.4, len(matrices))
    for axes, ((name, rows, width, picks), some) in zip(panels, matrices):
        for k, row in enumerate(some.drop_duplicates("sampler", keep="last").itertuples()):
            axes.plot(row.times_ours, row.radius, "o", color=COLOURS[k], label=row.sampler)
        axes.set_xscale("log")
        axes.set_xlabel("processor time, times ours (log)", fontsize=9)
        axes.set_ylabel("covering radius (lower is better)", fontsize=9)
        axes.set_title(f"{name}: {picks} of {rows} x {width}", fontsize=9, loc="left")
        axes.legend(fontsize=7)
    return made


def backbones(table: pd.DataFrame) -> Figure:
    """E05: speedup over the complete encoder, frame by frame."""
    made, (axes,) = new(7, 0.5 + 0.3 * len(table))
    axes.barh(range(len(table)), table["times_faster"], color=COLOURS[1])
    axes.set_yticks(range(len(table)), [f"{r.network}, {r.precision}, batch {r.batch}" for r in table.itertuples()],
                    fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("times faster than open_clip's encoder, frame by frame", fontsize=9)
    return made


def denoisers(table: pd.DataFrame) -> Figure:
    """E09: PSNR and milliseconds of every method at the strongest noise, one panel per dataset."""
    table = table[(table["ms"] > 0.05) & (table["sigma"] == table["sigma"].max())]
    methods = table.groupby("method")["psnr"].mean().sort_values().index.tolist()
    datasets = list(table.groupby("dataset", sort=False))
    made, panels = new(3.4 * len(datasets) + 2.4, 0.9 + 0.28 * len(methods), len(datasets))
    for axes, (name, some) in zip(panels, datasets):
        for row in some.itertuples():
            height = methods.index(row.method)
            axes.plot(row.psnr, height, "o", color=COLOURS[2 if "kept" in row.method else 1])
            axes.annotate(f"{row.ms:.1f} ms", (row.psnr, height), fontsize=7, va="center", xytext=(6, 0),
                          textcoords="offset points")
        axes.set_yticks(range(len(methods)), methods if axes is panels[0] else [], fontsize=8)
        axes.margins(x=0.2)
        axes.grid(axis="y", alpha=0.3)
        axes.set_xlabel("PSNR, dB (one thread, full size)", fontsize=9)
        axes.set_title(f"{name}, sigma {some['sigma'].iloc[0]}", fontsize=9, loc="left")
    return made


def autoencoders(table: pd.DataFrame) -> Figure:
    """E12: micro AUC and AP of each model after smoothing; one dot per seed."""
    smoothed = table[table["sigma_frames"] > 0]
    names = list(dict.fromkeys(smoothed["model"]))
    made, (axes,) = new(6, 0.9 + 0.4 * len(names))
    for k, (metric, words) in enumerate((("micro_auc", "micro AUC"), ("average_precision", "AP"))):
        axes.plot(smoothed[metric], [names.index(m) + 0.2 * k - 0.1 for m in smoothed["model"]], "o",
                  color=COLOURS[1 + k], label=words)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("% on UCSD Ped2, smoothed (sigma 8)", fontsize=9)
    axes.legend(fontsize=8)
    return made


FIGURES = {"E04_coreset": coreset, "E05_backbones": backbones, "E09_denoisers": denoisers,
           "E12_autoencoders_ped2": autoencoders}


def main() -> None:
    """Draw all of them."""
    for name, draw in FIGURES.items():
        target = HERE / f"{name}.png"
        draw(pd.read_csv(HERE / f"{name}.csv")).savefig(target, metadata={"Software": None})
        print(target.name)


if __name__ == "__main__":
    main()
