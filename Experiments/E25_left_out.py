"""E25: would each constant of the recipe be chosen with one dataset left out, and what does that choice cost there?

Takes the raw scores of E16 (Ped2, the embedded sample, three Avenue videos with two normal ones, and normal footage of
Avenue and Ped2 with injected anomalies) and varies one constant of the default recipe at a time: the weight of the
two-stream family, the weight of the global stream in it, the weights within the quad, all sigmas, and the weight of
each channel of the local stream. A dataset's number is the mean of AP, micro and macro AUC, draws of one dataset
averaged first. For every dataset the value is chosen that is best on the mean of the others, and its result on the
dataset is compared with the default's: the mean gain is what tuning is worth on unseen footage.

Labels fill the table only; a default is kept unless leaving a dataset out gains more than its standard error.

Run:   python Experiments/E25_left_out.py DATA_FOLDER SCRATCH_FOLDER    (E16's scratch folder, minutes)
Makes: Experiments/E25_left_out.csv (one row per constant, value and protocol), and prints what each set left out would
choose
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from common import EXTRACTION, write_rows
from E14_injected_competition import SETS as INJECTED
from E16_recipes import RUNS, Labelled, read_injected, read_run
from sklearn.metrics import average_precision_score, roc_auc_score

from pixelplay.calibration import Rarity, calibrate
from pixelplay.environment import limit_threads
from pixelplay.fusion.calibrated import unit
from pixelplay.fusion.prior import FAMILY
from pixelplay.fusion.scores import ScoreFile
from pixelplay.fusion.smoothing import smooth
from pixelplay.registry import MODELS, model_class
from pixelplay.repair.stage import open_footage
from pixelplay.two_stream.local_memory import HIGH, LocalMemory

QUAD = tuple(m for m in MODELS if model_class(m).family == "quad")


@dataclasses.dataclass(frozen=True)
class Constants:
    """What is varied; the values are the product's.

    Attributes:
        share: of the two-stream family in the sum; pooled: of the global stream in its family.
        quad: weights of `QUAD`; sigma: factor of all models' sigmas.
        speed, velocity, articulation, appearance: weights of the local stream's channels.
    """

    share: float = FAMILY["two_stream"]
    pooled: float = model_class("global_memory").weight
    quad: tuple[float, ...] = tuple(model_class(m).weight for m in QUAD)
    sigma: float = 1.0
    speed: float = 1.0
    velocity: float = 1.0
    articulation: float = 1.0
    appearance: float = 0.3


DEFAULT = Constants()
CHANNELS = ("speed", "velocity", "articulation", "appearance")
ALONE = {m: tuple(float(m == other) for other in QUAD) for m in QUAD}
VALUES: dict[str, dict[str, object]] = {
    "share": {f"{v:.0%}": v for v in (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 1.0)},
    "pooled": {f"{v:.0%}": v for v in (0.0, 0.01, 0.1, 0.3)},
    "quad": {"default": DEFAULT.quad, "reference": (0.5, 0.1, 0.1, 0.3), "even": (1.0,) * len(QUAD), **ALONE},
    "sigma": {str(v): v for v in (0.5, 0.75, 1.0, 1.5, 2.0)},
    "speed": {str(v): v for v in (0.0, 0.5, 1.0, 2.0)},
    "velocity": {str(v): v for v in (0.0, 0.5, 1.0, 2.0)},
    "articulation": {str(v): v for v in (0.0, 0.5, 1.0, 2.0)},
    "appearance": {str(v): v for v in (0.0, 0.1, 0.3, 0.5, 1.0)}}


@dataclasses.dataclass(frozen=True)
class Parts:
    """Rarities of the local stream's channels: name -> (N,) of the test frames, and of held-out training frames."""

    test: dict[str, np.ndarray]
    train: dict[str, np.ndarray]


def parts_of(test: Mapping[str, np.ndarray], train: Mapping[str, np.ndarray], videos: int) -> Parts:
    """From raw scores by channel, as the model joins them; a channel in which nothing differs has none."""
    found = Parts({}, {})
    for name in CHANNELS:
        if name in test and name in train:
            z = calibrate(train[name], log=True, high=HIGH)
            rarity = Rarity.fit(z(train[name]), videos)
            found.test[name], found.train[name] = rarity(z(test[name])), rarity(z(train[name]))
    return found


def run_parts(one: Labelled) -> Parts:
    """Channels of a run: its training frames are scored by models that did not see their videos."""
    train = open_footage(one.folder / EXTRACTION, "train")
    model = LocalMemory.load(one.folder / "detector" / "local_memory")
    held_out = model.held_out(train, one.folder / "02_two_stream_memory" / "local_memory")
    test = {c: pd.read_csv(p, dtype={"Id": str}).set_index("Id")["Predicted"].loc[one.frames.ids].to_numpy()
            for c in CHANNELS if (p := one.folder / "scores" / "parts" / f"local_memory.{c}.csv").exists()}
    return parts_of(test, held_out.parts, len(train.video_names()))


def draw_parts(one: Labelled) -> Parts:
    """Channels of a draw."""
    test, train, videos = {}, {}, 1
    for c in CHANNELS:
        path = one.folder / "scores" / "parts" / f"local_memory.{c}.csv"
        if path.exists() and path.with_suffix(".train.csv").exists():
            test[c] = pd.read_csv(path, dtype={"Id": str}).set_index("Id")["Predicted"].loc[one.frames.ids].to_numpy()
            known = pd.read_csv(path.with_suffix(".train.csv"), dtype={"Id": str})
            train[c], videos = known["Predicted"].to_numpy(), known["Id"].str.rsplit("_", n=1).str[0].nunique()
    return parts_of(test, train, videos)


def fused(one: Labelled, parts: Parts, c: Constants, causal: bool) -> np.ndarray:
    """(N,) final scores: the default recipe with other constants."""
    weights = {"local_memory": c.share * (1 - c.pooled), "global_memory": c.share * c.pooled}
    weights |= {m: (1 - c.share) * w / sum(c.quad) for m, w in zip(QUAD, c.quad)}
    total = np.zeros(len(one.truth))
    for name, weight in weights.items():
        if weight == 0:
            continue
        file = one.members[name]
        if name == "local_memory" and any(getattr(c, k) != getattr(DEFAULT, k) for k in CHANNELS):
            file = local(file, parts, c)
        sigma = c.sigma * float(file.about["sigma"])
        total += weight * smooth(unit(file)(file.values), one.frames.videos, one.frames.frames, one.frames.reliability,
                                 sigma=sigma, causal=causal)
    return total


def local(file: ScoreFile, parts: Parts, c: Constants) -> ScoreFile:
    """The local stream with other weights of its channels."""
    def joined(rarities: dict[str, np.ndarray]) -> np.ndarray:
        return sum(getattr(c, name) * r for name, r in rarities.items())

    return dataclasses.replace(file, values=joined(parts.test), train_values=joined(parts.train))


def quality(one: Labelled, scores: np.ndarray) -> float:
    """Mean of AP, micro and macro AUC, in percent."""
    truth, videos = one.truth, one.frames.videos
    mixed = [videos == v for v in pd.unique(videos) if 0 < truth[videos == v].mean() < 1]
    macro = np.mean([roc_auc_score(truth[v], scores[v]) for v in mixed])
    return 100 * float(np.mean([average_precision_score(truth, scores), roc_auc_score(truth, scores), macro]))


def left_out(table: pd.DataFrame, default: str) -> pd.DataFrame:
    """What the other sets would choose, and what that gives on the set itself. table: (values, sets)."""
    rows = []
    for name in table.columns:
        best = table.drop(columns=name).mean(axis=1).idxmax()
        rows.append({"set": name, "chosen": best, "gain": table.loc[best, name] - table.loc[default, name]})
    return pd.DataFrame(rows)


def main() -> None:
    """Every constant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("scratch", type=Path)
    args = parser.parse_args()
    limit_threads()
    sets = [(one, run_parts(one)) for name in RUNS for one in read_run(name, args.data, args.scratch)]
    sets += [(one, draw_parts(one)) for name in INJECTED for one in read_injected(name, args.scratch)]
    if not sets:
        raise SystemExit(f"no raw scores in {args.scratch}: run E16 with --score")
    rows: list[dict] = []
    for protocol in ("recorded", "live"):
        for constant, values in VALUES.items():
            found: dict[str, dict[str, list[float]]] = {}
            for word, value in values.items():
                changed = dataclasses.replace(DEFAULT, **{constant: value})
                for one, parts in sets:
                    group = one.name.rsplit(" ", 1)[0] if one.name.startswith("injected") else one.name
                    found.setdefault(word, {}).setdefault(group, []).append(
                        quality(one, fused(one, parts, changed, protocol == "live")))
            table = pd.DataFrame({w: {s: np.mean(v) for s, v in by.items()} for w, by in found.items()}).T
            default = next(w for w, v in values.items() if v == getattr(DEFAULT, constant))
            apart, chosen = table - table.loc[default], left_out(table, default)
            for word in table.index:
                rows.append({"protocol": protocol, "constant": constant, "value": word, "default": word == default,
                             "mean": f"{table.loc[word].mean():.2f}", "difference": f"{apart.loc[word].mean():+.2f}",
                             "error": f"{apart.loc[word].sem():.2f}",
                             **{s: f"{v:.1f}" for s, v in table.loc[word].items()}})
            print(f"{protocol}, {constant} (default {default}): "
                  + "; ".join(f"without {r.set}: {r.chosen} ({r.gain:+.1f})" for r in chosen.itertuples())
                  + f"; mean gain {chosen['gain'].mean():+.2f} ({chosen['gain'].sem():.2f})", flush=True)
    write_rows(Path(__file__).with_suffix(".csv"), rows)
    print(pd.DataFrame(rows).to_string(index=False))


if __name__ == "__main__":
    main()
