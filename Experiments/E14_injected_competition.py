"""E14: a miniature of the competition: injected anomalies in normal footage, corrupted and repaired.

The competition's test labels are unknown, so this builds a substitute from normal footage: every second training video
is for training, the others are the test set, into whose full-size frames anomalies are injected (`synthetic.py`, with
as many untouched edits). Conditions: `clean`; `corrupted` (recipe `competition`, seed 3), without repair; `repaired`,
the same with repair. The autoencoders are those of the second fold, trained on the same videos; the memories are fitted
here. Models are trained once and scored through the default recipe; labels fill the table only. `auc_<kind>` compares
the frames of one kind of anomaly with all normal ones; `untouched` should be near one half.

Run:   python Experiments/E14_injected_competition.py DATA_FOLDER SCRATCH_FOLDER [--sets avenue ped2] [--most 250]
       SCRATCH_FOLDER/<set>/whole (stage 1 of the normal footage) and folds/<model> are used where they are there.
Makes: Experiments/E14_injected_competition.csv
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
from pathlib import Path

import numpy as np
import pandas as pd
from common import write_rows
from E03_price_of_corruption import CLEAN, CORRUPTED, REPAIRED, merged
from sklearn.metrics import roc_auc_score
from synthetic import KINDS, UNTOUCHED, Injected, inject

from pixelplay.autoencoders.base import folds
from pixelplay.data.corruption import RECIPES, corrupt_dataset, encode, frame_path
from pixelplay.data.footage import Footage
from pixelplay.data.layouts import find_dataset
from pixelplay.data.manifest import Manifest
from pixelplay.environment import limit_threads
from pixelplay.evaluation.bootstrap import frame_intervals
from pixelplay.flow.speed import choose_baseline, learn_baselines, measure_speeds, speed_maps, with_speeds
from pixelplay.fusion.scores import write_scores
from pixelplay.model import Model, Scores
from pixelplay.registry import MODELS, model_class
from pixelplay.repair.stage import RepairConfig, open_footage, prepare

SETS = {"avenue": "avenue_train/training_videos", "ped2": "ped2/training/frames"}
CONDITIONS = (CLEAN, CORRUPTED, REPAIRED)
SHARE, SEED = 0.25, 0


def normal_footage(folder: Path, stage: Path) -> Footage:
    """All normal footage of a set, with speeds."""
    if not (stage / "train.speed.json").exists():
        prepare(find_dataset(None, folder, None), stage, RepairConfig(enabled=False))
        train = open_footage(stage, "train")
        measure_speeds(stage, train, learn_baselines(stage, train))
    return with_speeds(open_footage(stage, "train"), stage)


def halves(whole: Footage, most: int, fold: int = 1) -> tuple[Footage, Footage]:
    """(training videos, the first `most` frames of each video of the fold that is tested)."""
    tested = folds(whole, 2)[fold]
    test = whole.select(tested)
    place = pd.Series(test.videos).groupby(test.videos, sort=False).cumcount().to_numpy()
    return whole.select(~tested), test.select(place < most)


def write_injected(made: Injected, folder: Path) -> None:
    """Full-size frames, labels and kinds of injected footage."""
    for position, frame in made.footage.full_frames():
        path = folder / frame_path("test", made.footage.ids[position], ".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(frame, 0))
    event = np.zeros(len(made.labels), dtype=int)
    for number, one in enumerate(made.events, 1):
        event[one.targets] = number
    pd.DataFrame({"Id": made.footage.ids, "label": made.labels}).to_csv(folder / "labels.csv", index=False)
    pd.DataFrame({"Id": made.footage.ids, "kind": made.kinds, "event": event}).to_csv(folder / "kinds.csv", index=False)


def injected(whole: Manifest, train: Footage, test: Footage, folder: Path, seed: int) -> Manifest:
    """The normal footage with anomalies injected into its test videos, whose frames are written into `folder`."""
    if not (folder / "kinds.csv").exists():
        write_injected(inject(test, np.random.default_rng(seed), share=SHARE), folder)
    known = whole.split("train")
    shown = known[known["Id"].isin(test.ids)].assign(split="test")
    shown["path"] = [frame_path("test", i, ".png").split("/", 1)[1] for i in shown["Id"]]
    table = pd.concat([known[known["Id"].isin(train.ids)], shown], ignore_index=True)
    return dataclasses.replace(whole, table=table, labels=None,
                               fingerprints=dict.fromkeys(("train", "test"),
                                                          f"{whole.fingerprint} injected {seed} {len(test)}"),
                               roots={"train": whole.roots["train"], "test": folder / "testing_videos"})


def make_conditions(whole: Manifest, train: Footage, test: Footage, scratch: Path) -> None:
    """One stage-1 folder a condition."""
    copy, clean = scratch / "copy", injected(whole, train, test, scratch / "injected", SEED)
    if not (copy / "corruption.csv").exists():
        corrupt_dataset(clean, copy, RECIPES["competition"], seed=3, with_train=False)
    kept, table = pd.read_csv(copy / "corruption.csv").set_index("Id")["dropped"], clean.table
    table = table[(table["split"] == "train") | ~table["Id"].map(kept).fillna(False).astype(bool)].copy()
    table["path"] = np.where(table["split"] == "test", table["path"].str.replace(".png", ".jpg"), table["path"])
    damaged = dataclasses.replace(clean, table=table.reset_index(drop=True),
                                  fingerprints={s: f"{p} copy" for s, p in clean.fingerprints.items()},
                                  roots={**clean.roots, "test": copy / "testing_videos"})
    prepare(clean, scratch / CLEAN, RepairConfig(enabled=False))
    prepare(damaged, scratch / CORRUPTED, RepairConfig(enabled=False))
    prepare(damaged, scratch / REPAIRED)


def trained(name: str, whole: Footage, train: Footage, fold: int, folder: Path, profile: str
            ) -> tuple[Model, Scores]:
    """A model that has not seen the videos of `fold` of `whole`, and its held-out scores of `train`, the others."""
    cls = model_class(name)
    model = cls(cls.Config.profile(profile), seed=0)
    if cls.family == "quad":
        held_out = model.without_fold(whole, 1 - fold, folder).score(train, folder / f"train{fold}")
        return model.without_fold(whole, fold, folder), held_out
    model.fit(train, folder)
    return model, model.held_out(train, folder)


def write_test_scores(model: Model, test: Footage, train: Footage, held_out: Scores, scores: Path, work: Path) -> None:
    """The score files of a model on test footage, the one of the whole last, with held-out training scores."""
    work.mkdir(parents=True, exist_ok=True)
    found = model.score(test, work)
    for part, values in found.parts.items():
        own = held_out.parts.get(part)
        write_scores(scores / "parts", f"{model.name}.{part}", test.ids, values,
                     train=(train.ids, own) if own is not None else None, about={"part_of": model.name})
    about = {"model": model.name, "kind": model.kind, "sigma": model.sigma, "family": model.family,
             "weight": model.weight}
    write_scores(scores, model.name, test.ids, found.values, train=(train.ids, held_out.values), about=about)


def score(whole: Footage, train: Footage, scratch: Path, profile: str) -> None:
    """Score files of every model in every condition."""
    tests, baseline = {}, choose_baseline(train)
    for condition in CONDITIONS:
        test = open_footage(scratch / condition, "test")
        tests[condition] = dataclasses.replace(test, speeds=speed_maps(test, baseline).cells)
    for name in MODELS:
        if all((scratch / c / "scores" / f"{name}.csv").exists() for c in CONDITIONS):
            continue
        folder = scratch / "folds" / name
        model, held_out = trained(name, whole, train, 1, folder, profile)
        for condition, test in tests.items():
            write_test_scores(model, test, train, held_out, scratch / condition / "scores", folder / condition)
        logging.info("%s is scored", name)


def auc_of_kinds(kind: np.ndarray, values: np.ndarray) -> dict[str, float]:
    """auc_<kind>: the frames of one kind of edit against all frames without a real one; NaN where there is none."""
    normal, found = np.isin(kind, ("", UNTOUCHED)), {}
    for one in (*KINDS, UNTOUCHED):
        some = normal | (kind == one)
        found[f"auc_{one}"] = roc_auc_score(kind[some] == one, values[some]) if (kind == one).any() else float("nan")
    return found


def table(data: str, scratch: Path) -> list[dict]:
    """Rows of the result, in percent."""
    known, rows = pd.read_csv(scratch / "injected" / "kinds.csv", keep_default_na=False).set_index("Id"), []
    for condition in CONDITIONS:
        frames, _, found = merged(scratch, condition, list(MODELS))
        kind = known.loc[frames.ids, "kind"].to_numpy(object)
        truth = (~np.isin(kind, ("", UNTOUCHED))).astype(int)
        for model, values in found.items():
            row: dict[str, object] = {"data": data, "condition": condition, "model": model, "frames": len(truth),
                                      "anomalous": int(truth.sum()), "events": known["event"].max()}
            around = frame_intervals(truth, values, frames.videos)
            for metric in ("ap", "micro_auc", "macro_auc"):
                row |= {metric: around[metric].value, f"{metric}_low": around[metric].low,
                        f"{metric}_high": around[metric].high}
            row |= auc_of_kinds(kind, values)
            rows.append({k: f"{100 * v:.1f}" if isinstance(v, float) else str(v) for k, v in row.items()})
    return rows


def asked(text: str | None, option: str, default: int, words: str) -> argparse.Namespace:
    """The command line, of which E15 has the same: data, scratch, sets, profile and one number. Logs from here on."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("scratch", type=Path)
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument(option, type=int, default=default, help=words)
    parser.add_argument("--profile", default="lite")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    return parser.parse_args()


def main() -> None:
    """Every named set."""
    args = asked(__doc__, "--most", 250, "frames of a test video")
    limit_threads(1)
    for name in args.sets:
        scratch = args.scratch / name
        whole = normal_footage(args.data / SETS[name], scratch / "whole")
        train, test = halves(whole, args.most)
        make_conditions(Manifest.load(scratch / "whole"), train, test, scratch)
        score(whole, train, scratch, args.profile)
        rows = table(name, scratch)
        write_rows(Path(__file__).with_suffix(".csv"), rows, keep="data")
        print(pd.DataFrame(rows).drop(columns="data").to_string())


if __name__ == "__main__":
    main()
