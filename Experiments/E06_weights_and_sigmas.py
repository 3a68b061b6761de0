"""E06: fusion weights and sigmas, judged by synthetic anomalies in held-out training footage, without test labels.

Reads runs, e.g. outputs: stage 1, and the score files, whose settings are used again (models without one take
--profile and --set). Every model learns on three quarters of the training videos and scores the rest as it is and
with injected anomalies. Shows the skill on each kind, what each sigma would have given, and equal, prior and learned
weights side by side: on the synthetic anomalies and, where labels are known, on the test set (reported, never used
to choose). Writes E06_weights_and_sigmas.csv beside this file and weights.json into --state.

    python Experiments/E06_weights_and_sigmas.py [--runs outputs ...] [--models stae ...] [--set stae.steps=300]
"""

from __future__ import annotations

import argparse
import csv
import functools
import logging
from pathlib import Path

import numpy as np

from pixelplay.config import override
from pixelplay.data.manifest import Manifest
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
    with Path(__file__).with_suffix(".csv").open("w", newline="") as stream:
        table = csv.DictWriter(stream, fieldnames=list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    for row in rows:
        print(" | ".join(map(str, row.values())))


if __name__ == "__main__":
    main()
