"""E16: which recipe ranks frames best on datasets it was not chosen on? Every recipe on the same raw scores.

Development sets: labelled Ped2; the embedded sample; three Avenue test videos with two normal ones (12 and 16), all
five from one encoder, scored by models trained on videos 10 and 11; the same corrupted like the competition (recipe
`competition`, seed 3); normal footage of Avenue and Ped2 with injected
anomalies (folds and draws of E15). Raw scores are computed once, into SCRATCH_FOLDER, with the lite profile; ranking
them with another recipe takes seconds. `recorded` recipes may use all of a video, `live` ones only its past. Baselines:
both reference recipes, each member, each family, and frame difference.

Labels fill the table, and the table chooses defaults: the choice by average rank over the sets counts only if it is
also best with each set left out in turn (`left_out` in the printed table).

Run:   python Experiments/E16_recipes.py DATA_FOLDER SCRATCH_FOLDER [--sets ...] [--draws 2] [--score]
       --score computes missing raw scores (hours on two cores); without it the sets that are there are ranked.
Makes: Experiments/E16_recipes.csv (one row per set and recipe), and prints the table of average ranks
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
from common import EXTRACTION, write_rows
from E14_injected_competition import SETS as INJECTED
from E14_injected_competition import normal_footage
from E15_injected_draws import MOST, score
from scipy.stats import rankdata
from synthetic import UNTOUCHED

from pixelplay.data.baseline import frame_difference_scores
from pixelplay.data.corruption import RECIPES, corrupt_dataset
from pixelplay.data.layouts import find_dataset
from pixelplay.data.manifest import Manifest
from pixelplay.environment import limit_threads
from pixelplay.evaluation.bootstrap import frame_intervals
from pixelplay.evaluation.labels import read_labels
from pixelplay.fusion.ensemble import find_files, read_members
from pixelplay.fusion.recipe import Frames, load_recipe
from pixelplay.fusion.scores import ScoreFile, write_table
from pixelplay.fusion.smoothing import smooth
from pixelplay.pipeline import Options, Run
from pixelplay.registry import MODELS, model_class
from pixelplay.repair.stage import open_footage

LEARN, BESIDE = ("10", "11"), ("12", "16")
"""Training videos of Avenue that are learnt from, and that stand for normal test videos: those with the encoder of the
test videos."""
RUNS = ("ped2", "sample", "avenue", "avenue corrupted")
QUAD = ("stae", "roadmap", "unet", "joint")
METRICS = ("ap", "micro_auc", "macro_auc")


@dataclasses.dataclass(frozen=True)
class Labelled:
    """Raw scores of one set with its labels.

    Attributes:
        name: of the set; folder: a run's, or a draw's.
        frames: its N test frames; truth: (N,) 1 = anomalous.
        members, parts: score files by model, and of the models' parts.
    """

    name: str
    folder: Path
    frames: Frames
    truth: np.ndarray
    members: dict[str, ScoreFile]
    parts: dict[str, ScoreFile]


# ---- raw scores -------------------------------------------------------------------------------------------------


def score_run(name: str, data: Path, scratch: Path, models: tuple[str, ...] = tuple(MODELS)) -> None:
    """Raw scores of a real set, by a run of the lite profile."""
    options = {"ped2": Options(data=data / "ped2"), "sample": Options()}.get(name)
    if options is None:
        options = avenue(data, scratch / "avenue videos")
    if name == "avenue corrupted":
        videos = find_dataset(None, train=options.train, test=options.test)
        corrupt_dataset(videos, scratch / "avenue corrupted videos", RECIPES["competition"], seed=3)
        options = Options(data=scratch / "avenue corrupted videos")
    run = Run(dataclasses.replace(options, output=scratch / name, models=models))
    run.extract()
    for model in models:
        run.model(model)


def avenue(data: Path, folder: Path) -> Options:
    """Avenue's videos sorted into `folder`/train and `folder`/test."""
    normal, odd = data / "avenue_train" / "training_videos", data / "avenue_test_part" / "testing_videos"
    for path in (*sorted(normal.iterdir()), *sorted(odd.iterdir())):
        target = folder / ("train" if path.parent == normal and path.stem in LEARN else "test") / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    return Options(train=folder / "train", test=folder / "test")


def score_injected(name: str, data: Path, scratch: Path, draws: int) -> None:
    """Raw scores of E15's draws."""
    whole = normal_footage(data / INJECTED[name], scratch / f"injected {name}" / "whole")
    for fold in (0, 1):
        score(whole, fold, draws, scratch / f"injected {name}", MOST[name], "lite")


# ---- what is there ----------------------------------------------------------------------------------------------


def read_run(name: str, data: Path, scratch: Path) -> list[Labelled]:
    """A finished run as a set; [] where there is none."""
    folder = scratch / name
    if not (folder / "scores" / "stae.csv").exists():
        return []
    frames = Frames.of_stage(folder / EXTRACTION)
    avenue_labels = data / "avenue_test_part" / "frame_labels.csv"
    labels = {"ped2": data / "ped2" / "frame_labels.csv", "sample": Manifest.load(folder / EXTRACTION).labels
              }.get(name, avenue_labels)
    odd = ~np.isin(frames.videos, BESIDE if name.startswith("avenue") else ())
    truth = np.zeros(len(frames), int)
    truth[odd] = read_labels(labels).align(frames.ids[odd], frames.ids[odd]).values
    return [labelled(name, folder, frames, truth)]


def read_injected(name: str, scratch: Path) -> list[Labelled]:
    """The finished draws of a set."""
    out = []
    for folder in sorted((scratch / f"injected {name}" / "draws").glob("*-*")):
        if not all((folder / "scores" / f"{m}.csv").exists() for m in MODELS):
            continue
        frames = Frames.of_stage(folder)
        kinds = pd.read_csv(folder / "injected" / "kinds.csv", keep_default_na=False).set_index("Id")["kind"]
        truth = ~np.isin(kinds.loc[frames.ids].to_numpy(object), ("", UNTOUCHED))
        out.append(labelled(f"injected {name} {folder.name}", folder, frames, truth.astype(int)))
    return out


def labelled(name: str, folder: Path, frames: Frames, truth: np.ndarray) -> Labelled:
    """The set of a folder with `scores` and, in it, `parts`."""
    found = {p.stem: p for p in find_files([folder / "scores"]) if p.stem in MODELS}
    members = read_members({m: found[m] for m in MODELS if m in found}, frames)
    rule = load_recipe("reference-two-stream")
    parts = read_members(rule.choose(find_files([folder / "scores"], parts=True)), frames)
    return Labelled(name, folder, frames, truth, members, parts)


def frame_difference(one: Labelled) -> np.ndarray:
    """The baseline's scores, smoothed like a member; kept beside the raw scores."""
    path = one.folder / "frame_difference.csv"
    if not path.exists():
        stage = one.folder / EXTRACTION if (one.folder / EXTRACTION).exists() else one.folder
        footage = open_footage(stage, "test")
        write_table(path, footage.ids, frame_difference_scores(footage))
    table = pd.read_csv(path, dtype={"Id": str}).set_index("Id")["Predicted"]
    values = table.loc[one.frames.ids].to_numpy()
    return smooth(values, one.frames.videos, one.frames.frames, one.frames.reliability, sigma=5.0)


# ---- rankings ---------------------------------------------------------------------------------------------------


def rankings(one: Labelled) -> dict[tuple[str, str], np.ndarray]:
    """(protocol, name) -> (N,) scores of every recipe, family and member on one set."""
    found = {}
    for protocol, rule in (("recorded", load_recipe("default")), ("live", load_recipe("causal"))):
        fused = rule.fuse(one.members, one.frames, None)
        found[protocol, "ours"] = fused.values
        for family in ("two_stream", "quad"):
            some = {m: w for m, w in fused.weights.items() if model_class(m).family == family}
            found[protocol, f"ours, {family.replace('_', '-')} alone"] = fused.merge(some)
        found |= {(protocol, m): fused.processed[m] for m in one.members}
    quad = load_recipe("reference-quad")
    found["recorded", "reference-quad"] = quad.fuse({m: one.members[m] for m in QUAD}, one.frames, None).values
    found["recorded", "reference-two-stream"] = load_recipe("reference-two-stream").fuse(
        one.parts, one.frames, None).values
    found["recorded", "frame difference"] = frame_difference(one)
    return found


def table(one: Labelled) -> list[dict]:
    """One row per ranking, in percent, with bootstrap intervals over videos."""
    rows = []
    for (protocol, name), values in rankings(one).items():
        around = frame_intervals(one.truth, values, one.frames.videos)
        row: dict[str, object] = {"set": one.name, "frames": len(one.truth), "anomalous": int(one.truth.sum()),
                                  "protocol": protocol, "ranking": name}
        for metric in METRICS:
            cells = around[metric].value, around[metric].low, around[metric].high
            row |= {metric + end: "" if np.isnan(v) else f"{100 * v:.1f}"
                    for end, v in zip(("", "_low", "_high"), cells)}
        rows.append(row)
    return rows


def average_ranks(rows: pd.DataFrame) -> pd.DataFrame:
    """Average rank of every ranking (1 = best) over sets and metrics; draws of one set count once.

    Columns: mean AP, micro and macro; `rank`; `left_out`, the worst average rank with one set left out.
    """
    numbers = rows.assign(**{m: pd.to_numeric(rows[m]) for m in METRICS},
                          group=rows["set"].str.replace(r" \d-\d$", "", regex=True),
                          what=rows["protocol"] + ": " + rows["ranking"])
    means = numbers.groupby(["group", "what"], sort=False)[list(METRICS)].mean()
    wide = means.stack().unstack("what")
    ranks = pd.DataFrame(rankdata(-wide.to_numpy(), axis=1, nan_policy="omit"), wide.index, wide.columns)
    groups = wide.index.get_level_values("group").unique()
    left = pd.concat([ranks.drop(index=g, level="group").mean() for g in groups if len(groups) > 1] or [ranks.mean()],
                     axis=1)
    out = means.groupby("what", sort=False).mean().assign(rank=ranks.mean(), left_out=left.max(axis=1))
    return out.sort_values("rank")


def main() -> None:
    """Every named set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("scratch", type=Path)
    every = [*RUNS, *(f"injected {n}" for n in INJECTED)]
    parser.add_argument("--sets", nargs="+", default=every, choices=every)
    parser.add_argument("--draws", type=int, default=2, help="of injected anomalies in each half of a set's videos")
    parser.add_argument("--score", action="store_true", help="compute raw scores that are missing")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    limit_threads()
    rows: list[dict] = []
    for name in args.sets:
        injected = name.removeprefix("injected ")
        if args.score:
            if name in RUNS:
                score_run(name, args.data, args.scratch)
            else:
                score_injected(injected, args.data, args.scratch, args.draws)
        found = read_run(name, args.data, args.scratch) if name in RUNS else read_injected(injected, args.scratch)
        rows += [row for one in found for row in table(one)]
    if not rows:
        raise SystemExit("no raw scores in " + str(args.scratch) + ": run with --score")
    write_rows(Path(__file__).with_suffix(".csv"), rows, keep="set")
    print(average_ranks(pd.DataFrame(rows)).round(1).to_string())


if __name__ == "__main__":
    main()
