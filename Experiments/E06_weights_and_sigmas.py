"""E06: fusion weights and sigmas from synthetic anomalies in held-out training footage, without test labels.

Reads finished runs: stage 1, score files (whose settings are used again) and trained models. Every second training
video is held out: the first fold of the autoencoders has not seen those (it is trained again if a finished detector was
used), and the memories are fitted to the other half. Each model scores the held-out videos with and without injected
anomalies. Compares each model's skill on each kind of anomaly, smoothing sigmas, and rules for weights; a rule is
tested on kinds of anomalies that it was not learnt on and, if labels are known, on the test set (for the report only).
The figure plots skill on synthetic anomalies against AUC on labelled ones. Writes E06_weights_and_sigmas.csv and .png
beside this file and weights.json into --state; rows of other runs are kept.

    python Experiments/E06_weights_and_sigmas.py --runs sample=outputs [--models stae ...] [--set stae.steps=300]
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from common import measured, named, test_frames, write_rows
from learned_weights import Learned, bounded, expected_auc, learn_from_run, skills
from matplotlib.figure import Figure
from synthetic import KINDS, UNTOUCHED

from pixelplay.evaluation.figures import COLOURS
from pixelplay.fusion.ensemble import read_members
from pixelplay.fusion.prior import FAMILY, equal_weights, prior_weights
from pixelplay.fusion.recipe import load_recipe
from pixelplay.fusion.scores import ScoreFile
from pixelplay.registry import model_class

SIGMAS = (0.0, 2.0, 4.0, 6.0, 8.0, 12.0, 16.0)
Weights = dict[str, float]


def rules(table: pd.DataFrame, prior: Mapping[str, float]) -> dict[str, Weights]:
    """Rules for weights from a table of skills (see `learned_weights.skills`): none looks at a test label."""
    names = table["model"].tolist()
    skill = np.maximum(table["auc"].to_numpy() - 0.5, 0) ** 2
    old = np.array([prior[m] for m in names])
    family = np.array([model_class(m).family for m in names])
    halves = np.zeros(len(names))
    for one, whole in FAMILY.items():
        inside = family == one
        if inside.any():
            halves[inside] = whole * bounded(skill[inside], cap=0.9)
    apart = 1 - table["correlation"].to_numpy().clip(0, 1)
    made = {"equal": np.ones(len(names)), "prior": old, "skill and disagreement": bounded(skill * apart),
            "skill and disagreement, none above half": bounded(skill * apart, cap=0.5), "skill alone": bounded(skill),
            "skill within families, half each": halves, "prior times skill": bounded(old * skill)}
    return {rule: dict(zip(names, (w / w.sum()).tolist())) for rule, w in made.items()}


def on_run(data: str, output: Path, state: Path, only: list[str], changes: dict[str, dict[str, str]], rounds: int,
           most: int) -> list[dict]:
    """Rows (data, group, what, metric, value, low, high)."""
    frames = test_frames(output)
    learned = learn_from_run(output, state / data, names=only, rounds=rounds, frames=most, changes=changes)
    names = list(learned.sigmas)
    members = read_members({m: output / "scores" / f"{m}.csv" for m in names}, frames)

    def row(group: str, what: str, metric: str, value: float) -> dict:
        return {"data": data, "group": group, "what": what, "metric": metric, "value": f"{100 * value:.2f}", "low": "",
                "high": ""}

    rows = [row("skill on synthetic anomalies", r["model"], key, r[key]) for r in learned.table.to_dict("records")
            for key in r if key not in ("model", "weight")]
    for model in names:
        for sigma in sorted({*SIGMAS, learned.sigmas[model]}):
            mark = " (its own)" if sigma == learned.sigmas[model] else ""
            rows.append(row("smoothing on synthetic anomalies", model, f"expected AUC, sigma {sigma:g}{mark}",
                            skill_of(*learned.smoothed(model, sigma), learned.kinds)))
    prior = prior_weights({m: ScoreFile(m, np.zeros(0), np.zeros(0), about={"family": model_class(m).family})
                           for m in names})
    chosen = rules(learned.table, prior)
    for rule, unseen in on_other_kinds(learned, prior).items():
        rows.append(row("rules on synthetic anomalies of kinds they were not learned on", rule, "expected AUC", unseen))
        rows += [row("weights", rule, m, w) for m, w in chosen[rule].items()]
    default = load_recipe("default")
    scores = {rule: default.fuse(members, frames, w).values for rule, w in chosen.items()}
    scores |= {f"{m} alone": default.fuse({m: f}, frames, equal_weights([m])).values for m, f in members.items()}
    return rows + [r | {"data": data} for r in measured(data, output, scores, ("ap", "micro_auc", "macro_auc"),
                                                        "labelled test set (not used to choose)")]


def on_other_kinds(learned: Learned, prior: Mapping[str, float]) -> dict[str, float]:
    """rule -> expected AUC of the fused score on a kind of anomaly, weights learned without it; mean over the kinds."""
    own = {m: learned.smoothed(m) for m in learned.sigmas}
    found: dict[str, list[float]] = {}
    present = [k for k in KINDS if (learned.kinds == k).any()]
    for kind in present:
        seen = np.where(learned.kinds == kind, "", learned.kinds)
        for rule, weights in rules(skills(own, seen), prior).items():
            normal, synthetic = (sum(w * own[m][k] for m, w in weights.items()) for k in (0, 1))
            found.setdefault(rule, []).append(expected_auc(normal, (synthetic - normal)[learned.kinds == kind]))
    return {rule: float(np.mean(values)) for rule, values in found.items()}


def skill_of(normal: np.ndarray, synthetic: np.ndarray, kinds: np.ndarray) -> float:
    """Mean over the kinds of the expected AUC (see `learned_weights.expected_auc`)."""
    return float(np.mean([expected_auc(normal, (synthetic - normal)[kinds == k]) for k in KINDS if (kinds == k).any()]))


def figure(rows: list[dict]) -> Figure:
    """Left: expected AUC of every model on each kind, one panel per dataset. Right: its mean against labelled AUC."""
    skill = {(r["data"], r["what"], r["metric"]): float(r["value"]) for r in rows
             if r["group"] == "skill on synthetic anomalies"}
    real = {(r["data"], r["what"].removesuffix(" alone")): float(r["value"]) for r in rows
            if r["metric"] == "micro AUC" and r["what"].endswith(" alone")}
    datasets, kinds = list(dict.fromkeys(d for d, *_ in skill)), [*KINDS, UNTOUCHED]
    made = Figure(figsize=(11, 2.9 * len(datasets)), dpi=110, layout="constrained", facecolor="white")
    panels = made.subplots(len(datasets), 2, squeeze=False, width_ratios=(2.4, 1))
    for (bars, plane), data in zip(panels, datasets):
        models = list(dict.fromkeys(m for d, m, _ in skill if d == data))
        for k, model in enumerate(models):
            colour, at = COLOURS[k % len(COLOURS)], np.arange(len(kinds)) - 0.4 + 0.8 * (k + 0.5) / len(models)
            bars.bar(at, [skill.get((data, model, f"auc_{kind}"), np.nan) - 50 for kind in kinds], 0.8 / len(models),
                     bottom=50, color=colour, label=model)
            if (data, model) in real:
                plane.plot(skill[data, model, "auc"], real[data, model], "o", color=colour)
        plane.margins(0.1)
        bars.axhline(50, color="#767676", linewidth=1, linestyle=":")
        bars.set_xticks(range(len(kinds)), kinds, fontsize=8)
        bars.set_ylabel("expected AUC, %", fontsize=9)
        bars.set_title(f"{data}: synthetic anomalies in held-out training videos", fontsize=10, loc="left")
        bars.set_ylim(top=bars.get_ylim()[1] + 6)
        bars.legend(fontsize=7, ncols=6, loc="upper left")
        plane.set_xlabel("on synthetic anomalies, expected AUC, %", fontsize=9)
        plane.set_ylabel("on the test set, micro AUC, %", fontsize=9)
        known = any(d == data for d, _ in real)
        plane.set_title("skill there and here (colours as left)" if known else "no labels", fontsize=10, loc="left")
        for axes in (bars, plane):
            axes.spines[["top", "right"]].set_visible(False)
    return made


def main() -> None:
    """Run on every named output folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", nargs="+", default=["sample=outputs"], metavar="NAME=DIR", help="finished runs")
    parser.add_argument("--models", nargs="*", default=[], help="default: all that are scored there")
    parser.add_argument("--set", nargs="*", default=[], metavar="MODEL.SETTING=VALUE")
    parser.add_argument("--rounds", type=int, default=2, help="of injection")
    parser.add_argument("--frames", type=int, default=450, help="held-out frames that are scored, each round again")
    parser.add_argument("--state", type=Path, default=Path("outputs/experiments/E06"), help="kept models and scores")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    changes: dict[str, dict[str, str]] = {}
    for pair in args.set:
        model, setting = pair.split("=", 1)[0].split(".", 1)
        changes.setdefault(model, {})[setting] = pair.split("=", 1)[1]
    rows = [row for data, run in named(args.runs).items()
            for row in on_run(data, run, args.state, args.models, changes, args.rounds, args.frames)]
    result = Path(__file__).with_suffix(".csv")
    every = write_rows(result, rows, keep="data")
    figure(every).savefig(result.with_suffix(".png"), metadata={"Software": None})
    for row in rows:
        print(" | ".join(row.values()))


if __name__ == "__main__":
    main()
