"""E03: Ped2-C. What does corruption cost, and how much of it does repair recover?

**Ped2-C** is UCSD Ped2's test split, corrupted like the competition's (recipe `competition`: 10.2 % vertical flips,
24.4 % noise of sigma 37, 15.5 % of sigma 27, 1.65 % dropped, JPEG 75 with 4:2:0 chroma) with seed 3. To reproduce it:
`pixelplay corrupt --data ped2 --output ped2-c --recipe competition --seed 3`.

Scores, with each model: Ped2 as published; Ped2-C; Ped2-C repaired; and, for losses that no repair can undo, clean
frames with the same drops and JPEG. Every model is trained once, on the clean training frames. Its scores go through
the default recipe: alone, with its family, and with all models; and through both reference recipes if all their members
were scored. Labels fill the table only. Recovery `won_back` = (repaired - corrupted) / (clean - corrupted);
`won_back_of_jpeg` replaces clean by the clean frames with the same drops and JPEG. `bias` and `agreement` need no
labels: mean difference to the clean score of the same frame before smoothing, in robust deviations, and rank
correlation with it.

Run:   python Experiments/E03_price_of_corruption.py DATA_FOLDER SCRATCH_FOLDER [MODEL ...] [--profile smoke]
           [--weights Final_codes/Final_models/ped2]
       models: names from the registry, or frame_difference, foreground, flow (no training, defined below). Scores
       that are there already are kept: delete SCRATCH_FOLDER/<condition>/scores to score again.
Makes: Experiments/E03_price_of_corruption.csv
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import logging
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from pixelplay.data.baseline import frame_difference_scores, patch_means
from pixelplay.data.corruption import RECIPES, corrupt_dataset, encode, frame_path
from pixelplay.data.footage import Footage
from pixelplay.data.layouts import find_dataset
from pixelplay.data.manifest import Manifest
from pixelplay.data.reading import open_stream
from pixelplay.environment import hardware, limit_threads
from pixelplay.errors import PixelPlayError
from pixelplay.evaluation.bootstrap import frame_intervals
from pixelplay.evaluation.labels import Labels, read_labels
from pixelplay.flow.speed import choose_baseline, speed_maps
from pixelplay.fusion.calibrated import calibrated
from pixelplay.fusion.ensemble import FAMILIES, find_files, merge_all, read_members, spearman
from pixelplay.fusion.recipe import Frames, load_recipe
from pixelplay.fusion.scores import ScoreFile, write_scores
from pixelplay.model import Scores
from pixelplay.registry import MODELS, model_class
from pixelplay.repair.stage import RepairConfig, open_footage, prepare

log = logging.getLogger(__name__)
TABLE = Path(__file__).with_suffix(".csv")
CLEAN, CORRUPTED, REPAIRED, COMPRESSED = CONDITIONS = ("clean", "corrupted", "repaired", "clean, same drops and JPEG")
SEED = 3
NAMES = {"": "all models", "_two_stream": "two-stream memory", "_quad_ensemble": "quad autoencoders"}
METRICS = {"ap": "AP", "micro_auc": "micro_AUC", "macro_auc": "macro_AUC"}


def foreground_scores(footage: Footage, background: np.ndarray) -> np.ndarray:
    """Largest 16 x 16 patch mean of the difference to the training background."""
    return np.array([float(patch_means(cv2.absdiff(np.ascontiguousarray(footage.pixels[r]), background)).max())
                     for r in footage.rows])


def flow_scores(footage: Footage) -> np.ndarray:
    """Largest 16 x 16 patch mean of DIS optical flow to the frame before, in pixels a frame."""
    flow, scores, before = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST), np.zeros(len(footage)), None
    for i, row in enumerate(footage.rows):
        grey = cv2.cvtColor(np.ascontiguousarray(footage.pixels[row]), cv2.COLOR_RGB2GRAY)
        if i and footage.videos[i] == footage.videos[i - 1]:
            moved = flow.calc(before, grey, None)
            speed = np.hypot(moved[..., 0], moved[..., 1]) / (footage.frames[i] - footage.frames[i - 1])
            scores[i] = cv2.blur(speed, (16, 16)).max()
            if i == 1 or footage.videos[i - 2] != footage.videos[i]:
                scores[i - 1] = scores[i]
        before = grey
    return scores


def beside(clean: Manifest, folder: Path) -> Manifest:
    """The clean training frames beside the test frames that lie in a folder."""
    test = find_dataset(None, test=folder / "testing_videos")
    return dataclasses.replace(clean, table=pd.concat([clean.split("train"), test.split("test")], ignore_index=True),
                               roots=clean.roots | test.roots, fingerprints=clean.fingerprints | test.fingerprints,
                               videos=clean.videos | test.videos)


def write_compressed(clean: Manifest, plan: pd.DataFrame, folder: Path) -> None:
    """The frames of the corrupted copy without its flips and noise."""
    kept = np.flatnonzero(~plan["dropped"].to_numpy())
    for k, frame in zip(kept, open_stream(clean, "test")(kept)):
        path = folder / frame_path("test", plan["Id"][k], ".jpg")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(frame))


def make_conditions(data: Path, scratch: Path) -> None:
    """Corrupt, extract and repair: one stage-1 folder a condition."""
    clean = find_dataset(data / "ped2")
    plan = corrupt_dataset(clean, scratch / "copy", RECIPES["competition"], seed=SEED, with_train=False)
    write_compressed(clean, plan, scratch / "jpeg")
    damaged = beside(clean, scratch / "copy")
    prepare(clean, scratch / CLEAN, RepairConfig(enabled=False))
    prepare(damaged, scratch / CORRUPTED, RepairConfig(enabled=False))
    prepare(damaged, scratch / REPAIRED)
    prepare(beside(clean, scratch / "jpeg"), scratch / COMPRESSED, RepairConfig(enabled=False))


@functools.cache
def measured(scratch: Path, condition: str) -> Footage:
    """Test footage of a condition with its speed maps, measured once for all autoencoders."""
    test = open_footage(scratch / condition, "test")
    baseline = choose_baseline(open_footage(scratch / CLEAN, "train"))
    return dataclasses.replace(test, speeds=speed_maps(test, baseline).cells)


def score(name: str, scratch: Path, profile: str, weights: Path | None, conditions: Sequence[str]) -> None:
    """Write the score files of one model in some conditions; those that are there are kept."""
    wanted = [c for c in conditions if not (scratch / c / "scores" / f"{name}.csv").exists()]
    if not wanted:
        return
    train, folder = open_footage(scratch / CLEAN, "train"), scratch / f"{name}_{profile}"
    about = {"model": name, "kind": "error", "sigma": 8.0, "family": "baseline"}
    if name in MODELS:
        cls = model_class(name)
        if weights and (weights / name).is_dir():
            model = cls.load(weights / name)
        else:
            model = cls(cls.Config.profile(profile), seed=0)
            model.fit(train, folder)
        held_out = model.held_out(train, folder).values
        about |= {"kind": cls.kind, "sigma": cls.sigma, "family": cls.family, "weight": cls.weight}

        def values(footage: Footage, place: Path) -> Scores:
            place.mkdir(parents=True, exist_ok=True)
            return model.score(footage, place)
    else:
        background = np.median(train.pixels[train.rows[::40]], axis=0).astype(np.uint8)
        rule = {"frame_difference": frame_difference_scores, "flow": flow_scores,
                "foreground": lambda f: foreground_scores(f, background)}[name]
        held_out = rule(train)

        def values(footage: Footage, place: Path) -> Scores:
            return Scores(rule(footage), np.zeros(len(footage), bool))
    for condition in wanted:
        judges_speed = name in MODELS and model_class(name).family == "quad"
        test = measured(scratch, condition) if judges_speed else open_footage(scratch / condition, "test")
        found = values(test, folder / condition)
        for part, part_values in found.parts.items():
            write_scores(scratch / condition / "scores" / "parts", f"{name}.{part}", test.ids, part_values,
                         about={"part_of": name})
        write_scores(scratch / condition / "scores", name, test.ids, found.values, train=(train.ids, held_out),
                     about=about)


def merged(scratch: Path, condition: str, models: list[str], *, trust: bool = True
           ) -> tuple[Frames, dict[str, ScoreFile], dict[str, np.ndarray]]:
    """Frames, members, and the default recipe's scores of each model, each family and all, for one condition."""
    frames, rule = Frames.of_stage(scratch / condition), load_recipe("default")
    if not trust:
        frames = Frames.of_ids(frames.ids.tolist())
    files = {p.stem: p for p in find_files([scratch / condition / "scores"])}
    members = read_members({m: files[m] for m in models}, frames)
    found = {m: rule.fuse({m: f}, frames, None).values for m, f in members.items()}
    real = {m: f for m, f in members.items() if f.about["family"] != "baseline"}
    for result in merge_all(real, frames, rule) if len(real) > 1 else []:
        parts = [r.model for r in result.rows]
        if len(parts) > 1:
            # a family is called so only where all its models were scored
            whole = {m for m in MODELS if result.ending in ("", FAMILIES[model_class(m).family])} == set(parts)
            found[NAMES[result.ending] if whole else " + ".join(parts)] = result.values
    return frames, members, found | references(scratch / condition / "scores", frames)


def references(scores: Path, frames: Frames) -> dict[str, np.ndarray]:
    """Scores of the reference recipes from the same raw scores, if all their members were scored."""
    found = {}
    for name in ("reference-quad", "reference-two-stream"):
        rule = load_recipe(name)
        try:
            chosen = rule.choose(find_files([scores], parts=rule.parts))
        except PixelPlayError:
            log.warning("%s: %s has not all of its members", scores, name)
            continue
        found[name] = rule.fuse(read_members(chosen, frames), frames, None).values
    return found


def table(scratch: Path, models: list[str], labels: Labels, profile: str) -> pd.DataFrame:
    """Every row of the result; a model has no row in a condition it was not scored in."""
    rows, raw = [], {}
    ways = [(c, c, True) for c in CONDITIONS] + [("repaired, noise and reliability ignored", REPAIRED, False)]
    for label, condition, trust in ways:
        there = [m for m in models if (scratch / condition / "scores" / f"{m}.csv").exists()]
        frames, members, found = merged(scratch, condition, there, trust=trust)
        truth = labels.align(frames.ids, frames.ids).values
        raw[label] = {m: pd.Series(calibrated(f)[0], frames.ids) for m, f in members.items()}
        for name, values in found.items():
            row = {"model": name, "condition": label, "frames": len(truth)}
            around = frame_intervals(truth, values, frames.videos)
            for metric, column in METRICS.items():
                row |= {column: around[metric].value, f"{column}_low": around[metric].low,
                        f"{column}_high": around[metric].high}
            if name in members and name in raw[CLEAN]:
                clean = raw[CLEAN][name].loc[frames.ids]
                row["bias"] = float((raw[label][name] - clean).mean())
                row["agreement"] = spearman(raw[label][name].rank().to_numpy(), clean.rank().to_numpy())
            rows.append(row | {"profile": profile if name not in members or name in MODELS else ""})
    order = {m: i for i, m in enumerate(dict.fromkeys([*models, *(r["model"] for r in rows)]))}
    out = pd.DataFrame(rows).sort_values("model", key=lambda c: c.map(order), kind="stable", ignore_index=True)
    for _, group in out.groupby("model"):
        at = group.set_index("condition")
        for metric in METRICS.values():
            best, worst, after, compressed = at[metric].reindex(CONDITIONS)
            where = group.index[group["condition"] == REPAIRED]
            for column, whole in (("won_back", best - worst), ("won_back_of_jpeg", compressed - worst)):
                # nothing was lost: there is nothing to win back
                out.loc[where, f"{column}_{metric}"] = (after - worst) / whole if whole else np.nan
    return out.assign(hardware=hardware().name)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("scratch", type=Path)
    parser.add_argument("models", nargs="*", default=["frame_difference", "flow"])
    parser.add_argument("--profile", default="lite")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--conditions", nargs="*", default=list(CONDITIONS))
    args = parser.parse_args()
    limit_threads(1)
    make_conditions(args.data, args.scratch)
    for name in args.models:
        score(name, args.scratch, args.profile, args.weights, args.conditions)
    found = table(args.scratch, args.models, read_labels(args.data / "ped2" / "frame_labels.csv"), args.profile)
    found.to_csv(TABLE, index=False, float_format="%.4f")
    print(found.drop(columns=["hardware", "profile"]).to_string())


if __name__ == "__main__":
    main()
