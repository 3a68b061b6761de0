"""Weights without labels of the test set: by skill on synthetic anomalies and by disagreement.

Reads training footage and untrained models; writes `weights.json` (weights, and the table they come from). A part of
the training videos is held out; each model learns on the rest and scores the held-out part as it is and with
injected anomalies (`synthetic.py`). A model weighs w ~ max(AUC - 0.5, 0)^2 (1 - mean rank correlation with the
others): skill as in Goswami et al. (ICLR 2023), diversity as in Idan (2024).
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from pixelplay.calibration import calibrate
from pixelplay.config import config_hash
from pixelplay.data.footage import Footage
from pixelplay.errors import PixelPlayError
from pixelplay.files import atomic_path, read_json, write_json
from pixelplay.fusion.calibrated import compress
from pixelplay.fusion.ensemble import spearman
from pixelplay.fusion.scores import ScoreFile
from pixelplay.fusion.smoothing import smooth
from pixelplay.fusion.synthetic import KINDS, Injected, inject
from pixelplay.model import Model

log = logging.getLogger(__name__)

FLOOR, CAP = 0.05, 0.5
HELD_SHARE = 0.25


@dataclasses.dataclass(frozen=True)
class Learned:
    """Weights and what they come from.

    Attributes:
        weights: model -> weight, sums to 1.
        table: one row a model: AUC on all synthetic anomalies and on each kind, mean rank correlation, weight.
        processed: model -> (M,) calibrated, smoothed scores of the injected footage.
        calibrated: the same before smoothing.
        injected: the footage and its labels.
    """

    weights: dict[str, float]
    table: pd.DataFrame
    processed: dict[str, np.ndarray]
    calibrated: dict[str, np.ndarray]
    injected: Injected


def learn(train: Footage, models: Mapping[str, Callable[[], Model]], folder: Path, *, seed: int = 0,
          kinds: Sequence[str] = KINDS) -> Learned:
    """Learn weights and write `folder/weights.json`.

    Args:
        train: all training footage, at least two videos.
        models: name -> what makes an untrained model.
        folder: state is kept here a model; a model that is done is not run again.
    Raises:
        PixelPlayError: fewer than two videos, or nothing moves in the held-out ones.
    """
    held, rest = hold_out(train)
    injected = inject(held, np.random.default_rng(seed), kinds=kinds)
    processed, plain = {}, {}
    for name, make in models.items():
        model = make()
        normal, synthetic = _scores(model, rest, held, injected, Path(folder) / name)
        known = calibrate(normal, log=model.kind in ("error", "distance"), low=-np.inf, high=np.inf)
        plain[name] = compress(known(synthetic))
        processed[name] = smooth(plain[name], held.videos, held.frames, held.reliability, sigma=model.sigma)
    table = skills(processed, injected)
    weights = dict(zip(table["model"], table["weight"].astype(float)))
    write_json(Path(folder) / "weights.json", {
        "weights": weights, "kinds": list(kinds), "seed": seed, "held_out_videos": held.video_names(),
        "train_fingerprint": train.fingerprint, "table": table.to_dict("records")})
    return Learned(weights, table, processed, plain, injected)


def hold_out(train: Footage, share: float = HELD_SHARE) -> tuple[Footage, Footage]:
    """(held-out footage, the rest): every fourth video or so. Raises PixelPlayError for fewer than two videos."""
    names = train.video_names()
    if len(names) < 2:
        raise PixelPlayError(f"{len(names)} training video", expected="at least two: one is held out",
                             mend="use --weights prior")
    step = max(2, round(1 / share))
    held = names[step - 1::step] or names[-1:]
    return train.of_videos(held), train.of_videos([n for n in names if n not in held])


def skills(processed: Mapping[str, np.ndarray], injected: Injected) -> pd.DataFrame:
    """One row a model: auc, auc_<kind>, correlation, weight."""
    ranks = {m: rankdata(v) for m, v in processed.items()}
    normal = injected.labels == 0
    rows = []
    for name, values in processed.items():
        others = [spearman(ranks[name], r) for m, r in ranks.items() if m != name]
        row = {"model": name, "auc": auc(values[normal], values[~normal])}
        for kind in dict.fromkeys(k for k in injected.kinds[~normal]):
            row[f"auc_{kind}"] = auc(values[normal], values[injected.kinds == kind])
        rows.append(row | {"correlation": float(np.mean(others)) if others else 0.0})
    table = pd.DataFrame(rows)
    table["weight"] = bounded(np.maximum(table["auc"].to_numpy() - 0.5, 0) ** 2
                              * (1 - table["correlation"].to_numpy().clip(0, 1)))
    return table


def auc(normal: np.ndarray, anomalous: np.ndarray) -> float:
    """Share of (normal, anomalous) pairs in the right order, ties half (Mann-Whitney); NaN without pairs."""
    if not len(normal) or not len(anomalous):
        return float("nan")
    ranks = rankdata(np.concatenate([normal, anomalous]))[len(normal):]
    return float((ranks.sum() - len(anomalous) * (len(anomalous) + 1) / 2) / (len(normal) * len(anomalous)))


def bounded(raw: np.ndarray, floor: float = FLOOR, cap: float = CAP) -> np.ndarray:
    """(K,) non-negative -> weights that sum to 1, each between floor and cap as far as K allows; equal if all are 0."""
    raw = np.nan_to_num(np.asarray(raw, dtype=np.float64))
    count = len(raw)
    floor, cap = min(floor, 1 / count), max(cap, 1 / count)
    if raw.sum() <= 0:
        return np.full(count, 1 / count)
    low, high = 0.0, 1.0 / raw[raw > 0].min()
    # the sum of clipped multiples grows with the multiple: halve until it is 1
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if np.clip(middle * raw, floor, cap).sum() < 1 else (low, middle)
    weights = np.clip(high * raw, floor, cap)
    return weights / weights.sum()


def _scores(model: Model, rest: Footage, held: Footage, injected: Injected,
            folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Raw scores of the held-out footage, as it is and injected; kept in folder/synthetic.npz under a key."""
    key = config_hash(model.name, model.config, model.seed, rest.fingerprint, rest.ids.tolist(),
                      injected.footage.fingerprint, held.ids.tolist())
    kept = folder / "synthetic.npz"
    if kept.exists():
        with np.load(kept, allow_pickle=False) as stored:
            if str(stored["key"]) == key:
                return stored["normal"], stored["synthetic"]
    log.info("%s: learn on %d frames, score %d held-out ones twice", model.name, len(rest), len(held))
    model.fit(rest, folder)
    normal, synthetic = (model.score(f, folder).values for f in (held, injected.footage))
    with atomic_path(kept) as part:
        np.savez(part, key=np.array(key), normal=normal, synthetic=synthetic)
    return normal, synthetic


def learned_weights(path: Path) -> Callable[[Mapping[str, ScoreFile]], Mapping[str, float]]:
    """The rule in a weights file: members -> their weights in it, normalised.

    Raises:
        PixelPlayError: missing or damaged file, or (when called) a member without a weight in it.
    """
    about = read_json(path)
    table = about.get("weights") if isinstance(about, dict) else None
    if not isinstance(table, dict) or not all(isinstance(w, int | float) and w > 0 for w in table.values()):
        raise PixelPlayError(f"{path} is no weights file", expected='{"weights": {"model": positive number}}')

    def rule(members: Mapping[str, ScoreFile]) -> Mapping[str, float]:
        absent = [m for m in members if m not in table]
        if absent:
            raise PixelPlayError(f"{path} has no weight for {', '.join(absent)}", expected="one for each member",
                                 mend="learn the weights with these models, or choose --weights prior")
        total = sum(table[m] for m in members)
        return {m: table[m] / total for m in members}

    return rule
