"""E06: fusion weights and sigmas, judged by synthetic anomalies in held-out training footage, without test labels.

Reads runs, e.g. outputs: stage 1, and the score files, whose settings are used again (models without one take
--profile and --set). Every model learns on three quarters of the training videos and scores the rest as it is and
with injected anomalies. Shows the skill on each kind, what each sigma would have given, and equal, prior and learned
weights side by side: on the synthetic anomalies and, where labels are known, on the test set (reported, never used
to choose). Writes E06_weights_and_sigmas.csv and .png beside this file and weights.json into --state.

    python Experiments/E06_weights_and_sigmas.py [--runs outputs ...] [--models stae ...] [--set stae.steps=300]
"""

from __future__ import annotations

import argparse
import csv
import functools
import logging
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from pixelplay.config import override
from pixelplay.data.manifest import Manifest
from pixelplay.evaluation.figures import COLOURS
from pixelplay.evaluation.labels import read_labels
from pixelplay.evaluation.report import Scored, cell, evaluate
from pixelplay.fusion.ensemble import read_members
from pixelplay.fusion.prior import equal_weights, prior_weights
from pixelplay.fusion.recipe import Frames, load_recipe
from pixelplay.fusion.scores import ScoreFile
from pixelplay.fusion.stage import EXTRACTION
from pixelplay.fusion.synthetic import KINDS
from pixelplay.fusion.weights import Learned, expected_auc, learn
from pixelplay.registry import MODELS, model_class
from pixelplay.repair.stage import open_footage

SIGMAS = (0.0, 2.0, 4.0, 6.0, 8.0, 12.0, 16.0)


def maker(name: str, file: ScoreFile | None, profile: str, changes: dict[str, str]):
    """What makes an untrained model, with the settings its score file was made with where there is one."""
    cls = model_class(name)
    config = cls.Config.profile(file.about.get("profile", profile) if file else profile)
    config = override(config, file.about["config"] if file else {})
    mine = {k.split(".", 1)[1]: v for k, v in changes.items() if k.split(".", 1)[0] == name}
    return functools.partial(cls, override(config, mine), seed=int(file.about.get("seed", 0)) if file else 0)


def on_run(output: Path, state: Path, only: list[str] | None, profile: str, changes: dict[str, str],
           rounds: int) -> list[dict]:
    """Rows (data, what, model, metric, value)."""
    train = open_footage(output / EXTRACTION, "train")
    manifest = Manifest.load(output / EXTRACTION)
    test = manifest.split("test")
    frames = Frames.of_ids(test["Id"].tolist(), dict(zip(test["Id"], test["reliability"])))
    paths = {p.stem: p for p in sorted((output / "scores").glob("*.csv"))
             if p.stem in MODELS and (not only or p.stem in only)}
    members = read_members(paths, frames)
    names = only or list(members)
    learned = learn(train, {m: maker(m, members.get(m), profile, changes) for m in names}, state / output.name,
                    rounds=rounds)
    what = "skill on synthetic anomalies (expected AUC %)"
    rows = [{"data": output.name, "what": what, "model": row["model"], "metric": key,
             "value": f"{100 * row[key]:.2f}" if key != "correlation" else f"{row[key]:.3f}"}
            for row in learned.table.to_dict("records") for key in row if key not in ("model", "weight")]
    rows += sigmas(output.name, learned)
    families = {m: ScoreFile(m, np.zeros(0), np.zeros(0), about={"family": model_class(m).family}) for m in names}
    weights = {"equal": equal_weights(families), "prior": prior_weights(families), "learned": learned.weights}
    own = {m: learned.smoothed(m, model_class(m).sigma) for m in names}
    for rule, w in weights.items():
        normal, synthetic = (sum(w[m] * own[m][k] for m in names) for k in (0, 1))
        rows += [{"data": output.name, "what": f"{rule} weights on synthetic anomalies", "model": "all",
                  "metric": "expected AUC %", "value": f"{100 * skill(normal, synthetic, learned.kinds):.2f}"}]
        rows += [{"data": output.name, "what": "weight", "model": m, "metric": rule, "value": f"{v:.3f}"}
                 for m, v in w.items()]
    if manifest.labels is not None and set(members) == set(names):
        default = load_recipe("default")
        scored = [Scored(rule, frames.ids, default.fuse(members, frames, w).values) for rule, w in weights.items()]
        found = evaluate(scored, read_labels(manifest.labels), known_ids=frames.ids)
        rows += [{"data": output.name, "what": f"{rule} weights on the labelled test set (not used to choose)",
                  "model": "all", "metric": f"{metric} % [95 %]", "value": cell(found.rows[rule][metric])}
                 for rule in weights for metric in ("ap", "micro_auc")]
    return rows


def skill(normal: np.ndarray, synthetic: np.ndarray, kinds: np.ndarray) -> float:
    """Mean over the kinds of the expected AUC (see `pixelplay.fusion.weights.expected_auc`)."""
    return float(np.mean([expected_auc(normal, (synthetic - normal)[kinds == k]) for k in KINDS if (kinds == k).any()]))


def sigmas(name: str, learned: Learned) -> list[dict]:
    """Skill of every model after smoothing with each sigma; the model's own is marked."""
    rows = []
    for model in learned.normal:
        for sigma in sorted({*SIGMAS, model_class(model).sigma}):
            mark = " (its own)" if sigma == model_class(model).sigma else ""
            value = skill(*learned.smoothed(model, sigma), learned.kinds)
            rows.append({"data": name, "what": "smoothing on synthetic anomalies", "model": model,
                         "metric": f"sigma {sigma:g}{mark}: expected AUC %", "value": f"{100 * value:.2f}"})
    return rows


def figure(rows: list[dict]) -> Figure:
    """Expected AUC of every model on each kind, a panel a dataset; 'untouched' is the control."""
    skill_rows = [r for r in rows if r["what"].startswith("skill") and r["metric"].startswith("auc_")]
    datasets = list(dict.fromkeys(r["data"] for r in skill_rows))
    kinds = [*KINDS, "untouched"]
    made = Figure(figsize=(7, 2.8 * len(datasets)), dpi=110, layout="constrained", facecolor="white")
    for axes, data in zip(made.subplots(len(datasets), 1, squeeze=False)[:, 0], datasets):
        here = [r for r in skill_rows if r["data"] == data]
        models = list(dict.fromkeys(r["model"] for r in here))
        for k, model in enumerate(models):
            by = {r["metric"].removeprefix("auc_"): float(r["value"]) for r in here if r["model"] == model}
            at = np.arange(len(kinds)) - 0.4 + 0.8 * (k + 0.5) / len(models)
            axes.bar(at, [by.get(kind, np.nan) - 50 for kind in kinds], 0.8 / len(models), bottom=50,
                     color=COLOURS[k % len(COLOURS)], label=model)
        axes.axhline(50, color="#767676", linewidth=1, linestyle=":")
        axes.set_xticks(range(len(kinds)), kinds, fontsize=8)
        axes.set_ylabel("expected AUC, %", fontsize=9)
        axes.set_title(f"{data}: synthetic anomalies in held-out training videos", fontsize=10, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(fontsize=8)
    return made


def main() -> None:
    """Run on every named output folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, nargs="*", default=[Path("outputs")], help="output folders with scores")
    parser.add_argument("--models", nargs="*", help="default: all that are scored there")
    parser.add_argument("--profile", default="lite", help="of models without a score file")
    parser.add_argument("--set", nargs="*", default=[], metavar="MODEL.SETTING=VALUE")
    parser.add_argument("--rounds", type=int, default=3, help="of injection")
    parser.add_argument("--state", type=Path, default=Path("outputs/experiments/E06"), help="kept models and scores")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    changes = dict(pair.split("=", 1) for pair in args.set)
    rows = [row for run in args.runs for row in on_run(run, args.state, args.models, args.profile, changes,
                                                      args.rounds)]
    result, names = Path(__file__).with_suffix(".csv"), {r["data"] for r in rows}
    # runs of other datasets take long: their rows stay
    kept = list(csv.DictReader(result.open(newline=""))) if result.exists() else []
    with result.open("w", newline="") as stream:
        table = csv.DictWriter(stream, fieldnames=list(rows[0]), lineterminator="\n")
        table.writeheader()
        rows_now = [*(r for r in kept if r["data"] not in names), *rows]
        table.writerows(rows_now)
    figure(rows_now).savefig(result.with_suffix(".png"), metadata={"Software": None})
    for row in rows:
        print(" | ".join(map(str, row.values())))


if __name__ == "__main__":
    main()
