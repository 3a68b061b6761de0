"""E15: is the ensemble of six better than its best member, and are equal family weights right? Many injected draws.

E14 has six or seven events per dataset, a single draw. Here models trained on each half of the normal videos are tested
on the other half, with several independent draws of events, on clean footage. Every draw gives AP and AUCs of each
model, each family, all six, and other weights of the two-stream family; rankings are compared by their difference to
all six within a draw. Labels fill the table only.

Run:   python Experiments/E15_injected_draws.py DATA_FOLDER SCRATCH_FOLDER [--sets avenue ped2] [--draws 4]
       SCRATCH_FOLDER may be E14's: stage 1 of the normal footage and the trained folds are used where they are there.
Makes: Experiments/E15_injected_draws.csv (one row per draw and ranking), .png (differences to all six)
"""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

import numpy as np
import pandas as pd
from common import write_rows
from E14_injected_competition import (
    SETS,
    asked,
    auc_of_kinds,
    halves,
    injected,
    normal_footage,
    trained,
    write_test_scores,
)
from matplotlib.figure import Figure
from sklearn.metrics import average_precision_score, roc_auc_score
from synthetic import UNTOUCHED

from pixelplay.data.footage import Footage
from pixelplay.data.manifest import Manifest
from pixelplay.environment import limit_threads
from pixelplay.evaluation.figures import COLOURS, GREY
from pixelplay.flow.speed import choose_baseline, speed_maps
from pixelplay.fusion.ensemble import read_members
from pixelplay.fusion.prior import FAMILY
from pixelplay.fusion.recipe import Frames, load_recipe
from pixelplay.registry import MODELS, model_class
from pixelplay.repair.stage import RepairConfig, open_footage, prepare

MOST = {"avenue": 400, "ped2": 120}
"""Frames of a test video."""
ALL = "all six"
SHARES = (0.4, 0.6, 0.67, 0.75, 0.85, 0.95)
METRICS = {"ap": "AP", "micro_auc": "micro AUC", "macro_auc": "macro AUC"}


def score(whole: Footage, fold: int, draws: int, scratch: Path, most: int, profile: str) -> list[Path]:
    """Stage-1 folders of a fold's draws, with the score files of every model in `scores`."""
    train, test = halves(whole, most, fold)
    places = [scratch / "draws" / f"{fold}-{draw}" for draw in range(1, draws + 1)]
    tests, baseline = {}, choose_baseline(train)
    for draw, place in enumerate(places, 1):
        made = injected(Manifest.load(scratch / "whole"), train, test, place / "injected", 100 * fold + draw)
        prepare(made, place, RepairConfig(enabled=False))
        shown = open_footage(place, "test")
        tests[place] = dataclasses.replace(shown, speeds=speed_maps(shown, baseline).cells)
    for name in MODELS:
        left = [p for p in places if not (p / "scores" / f"{name}.csv").exists()]
        if left:
            # folds of autoencoders are told apart by their files, what memories keep of a fold is not
            own = "" if model_class(name).family == "quad" else f"-{fold}"
            model, held_out = trained(name, whole, train, fold, scratch / "folds" / f"{name}{own}", profile)
            for place in left:
                write_test_scores(model, tests[place], train, held_out, place / "scores", place / "work" / name)
                logging.info("%s: %s is scored", place, name)
    return places


def rankings(frames: Frames, place: Path) -> dict[str, np.ndarray]:
    """Scores of each model, each family, all six, and other shares of the two-stream family."""
    members = read_members({m: place / "scores" / f"{m}.csv" for m in MODELS}, frames)
    fused = load_recipe("default").fuse(members, frames, None)
    family = {m: model_class(m).family for m in MODELS}
    found = {ALL: fused.values, **{m: fused.processed[m] for m in MODELS}}
    for one in FAMILY:
        some = {m: w for m, w in fused.weights.items() if family[m] == one}
        found[f"{one.replace('_', '-')} alone"] = fused.merge(some)
    for share in SHARES:
        part = {"two_stream": share / FAMILY["two_stream"], "quad": (1 - share) / FAMILY["quad"]}
        found[f"two-stream {share:.0%}"] = fused.merge({m: w * part[family[m]] for m, w in fused.weights.items()})
    return found


def table(data: str, places: list[Path]) -> list[dict]:
    """One row per draw and ranking, in percent."""
    rows = []
    for place in places:
        frames = Frames.of_stage(place)
        known = pd.read_csv(place / "injected" / "kinds.csv", keep_default_na=False).set_index("Id").loc[frames.ids]
        kind = known["kind"].to_numpy(object)
        truth = (~np.isin(kind, ("", UNTOUCHED))).astype(int)
        mixed = [v for v in pd.unique(frames.videos) if 0 < truth[frames.videos == v].mean() < 1]
        events = known.loc[truth == 1, "event"].nunique()
        for name, values in rankings(frames, place).items():
            macro = [roc_auc_score(truth[frames.videos == v], values[frames.videos == v]) for v in mixed]
            row = {"ap": average_precision_score(truth, values), "micro_auc": roc_auc_score(truth, values),
                   "macro_auc": float(np.mean(macro)), **auc_of_kinds(kind, values)}
            rows.append({"data": data, "draw": place.name, "ranking": name, "frames": len(truth),
                         "anomalous": int(truth.sum()), "events": events}
                        | {k: "" if np.isnan(v) else f"{100 * v:.1f}" for k, v in row.items()})
    return rows


def differences(rows: pd.DataFrame) -> pd.DataFrame:
    """Each ranking's mean difference to all six within a draw, and its standard error over the draws, by metric."""
    wide = rows.set_index(["data", "draw", "ranking"])[list(METRICS)].astype(float)
    apart = wide - wide.xs(ALL, level="ranking").reindex(wide.index.droplevel("ranking")).to_numpy()
    return apart.groupby("ranking", sort=False).agg(["mean", "sem"])


def figure(rows: pd.DataFrame) -> Figure:
    """Differences to all six with 95 % intervals over the draws; left of the line is worse."""
    found = differences(rows).drop(index=ALL)
    made = Figure(figsize=(7.5, 1.2 + 0.32 * len(found)), dpi=110, layout="constrained", facecolor="white")
    axes = made.subplots()
    axes.axvline(0, color=GREY, linewidth=1)
    for k, (metric, words) in enumerate((m, METRICS[m]) for m in ("ap", "micro_auc")):
        at = np.arange(len(found)) + 0.24 * k - 0.12
        axes.errorbar(found[metric, "mean"], at, xerr=1.96 * found[metric, "sem"], fmt="o", markersize=5, linewidth=1,
                      color=COLOURS[1 + k], label=words)
    axes.set_yticks(range(len(found)), found.index, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("points above or below all six together, mean and 95 % interval over the draws", fontsize=9)
    draws = rows.drop_duplicates(["data", "draw"])
    axes.set_title(f"{len(draws)} draws, {draws['events'].astype(int).sum()} injected anomalies in normal footage of "
                   + " and ".join(draws["data"].unique()), fontsize=9, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, loc="lower left")
    return made


def main() -> None:
    """Every named set."""
    args = asked(__doc__, "--draws", 4, "of each half of a set's videos")
    limit_threads(1)
    target, rows = Path(__file__).with_suffix(".csv"), []
    for name in args.sets:
        scratch = args.scratch / name
        whole = normal_footage(args.data / SETS[name], scratch / "whole")
        places = [p for fold in (0, 1) for p in score(whole, fold, args.draws, scratch, MOST[name], args.profile)]
        rows = write_rows(target, table(name, places), keep="data")
    made = pd.DataFrame(rows)
    figure(made).savefig(target.with_suffix(".png"), metadata={"Software": None})
    numbers = {m: made[m].astype(float) for m in METRICS}
    print(made.assign(**numbers).groupby(["data", "ranking"], sort=False)[list(METRICS)].mean().round(1).to_string())
    print(differences(made).round(2).to_string())


if __name__ == "__main__":
    main()
