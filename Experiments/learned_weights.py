"""Fusion weights without test labels: from skill on synthetic anomalies and from disagreement (E06).

Reads training footage and models; writes `weights.json` (weights, and the table behind them). Every second training
video is held out, as in the first fold of the autoencoders, so that a run's trained folds are used again; each model
learns from the rest and scores held-out videos with and without injected anomalies (`synthetic.py`). Weights are
w ~ max(AUC - 0.5, 0)^2 (1 - mean rank correlation with the others): skill as in Goswami et al. (ICLR 2023), diversity
as in Idan (2024).
"""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from synthetic import KINDS, UNTOUCHED, Injected, inject

from pixelplay.config import config_hash, override
from pixelplay.data.footage import Footage
from pixelplay.errors import PixelPlayError
from pixelplay.files import atomic_path, read_json, write_json
from pixelplay.fusion.calibrated import calibrated
from pixelplay.fusion.ensemble import spearman
from pixelplay.fusion.scores import ScoreFile
from pixelplay.fusion.smoothing import smooth
from pixelplay.model import Model
from pixelplay.paths import RunPaths
from pixelplay.registry import MODELS, model_class
from pixelplay.repair.stage import open_footage

log = logging.getLogger(__name__)

FLOOR, CAP = 0.05, 0.9
"""Least and largest weight. With a cap of one half, what exceeds it falls to models without skill, and the fused score
sees less of kinds of anomalies that no weight was learned on (Experiments/E06)."""
HELD_FRAMES = 450
"""Held-out frames that are scored, as many whole videos as fit: scoring, not learning, takes the time."""


@dataclasses.dataclass(frozen=True)
class Learned:
    """Weights and what they come from: M held-out frames, R rounds of injection.

    Attributes:
        weights: model -> weight, sums to 1.
        sigmas: model -> sigma its scores are smoothed with, in frames.
        table: one row per model: expected AUC over all kinds and for each, mean rank correlation, weight.
        normal, synthetic: model -> (M,) and (R, M) calibrated scores before smoothing.
        held: the held-out footage; injected: its R injected versions.
    """

    weights: dict[str, float]
    sigmas: dict[str, float]
    table: pd.DataFrame
    normal: dict[str, np.ndarray]
    synthetic: dict[str, np.ndarray]
    held: Footage
    injected: list[Injected]

    @property
    def kinds(self) -> np.ndarray:
        """(R, M) kind of anomaly in each injected frame, '' for none."""
        return np.stack([i.kinds for i in self.injected])

    def smoothed(self, model: str, sigma: float | None = None) -> tuple[np.ndarray, np.ndarray]:
        """One model's (M,) normal and (R, M) injected scores after smoothing, with its own sigma when None."""
        sigma = self.sigmas[model] if sigma is None else sigma
        return _smoothed(self.held, self.normal[model], sigma), np.stack(
            [_smoothed(self.held, row, sigma) for row in self.synthetic[model]])


def learn(train: Footage, models: Mapping[str, Callable[[], Model]], folder: Path, *, seed: int = 0,
          rounds: int = 3, kinds: Sequence[str] = KINDS, frames: int = HELD_FRAMES,
          trained: Mapping[str, Path] | None = None) -> Learned:
    """Learn weights and write `folder/weights.json`.

    Args:
        train: all training footage, at least two videos.
        models: name -> what makes an untrained model.
        folder: scores are kept here a model; a model that is done is not run again.
        rounds: how often anomalies are put into the held-out videos, each time elsewhere.
        frames: see `hold_out`.
        trained: name of an autoencoder -> its folder in a run, whose first fold is used where it is there.
    Raises:
        PixelPlayError: fewer than two videos, or nothing moves in the held-out ones.
    """
    held, rest = hold_out(train, frames)
    injected = [inject(held, np.random.default_rng([seed, r]), kinds=kinds) for r in range(rounds)]
    normal, synthetic, sigmas = {}, {}, {}
    for name, make in models.items():
        model = make()
        raw = _scores(model, train, rest, held, injected, Path(folder) / name, (trained or {}).get(name))
        normal[name], synthetic[name] = (
            calibrated(ScoreFile(name, np.array([]), x, np.array([]), raw[0], {"kind": model.kind}))[0] for x in raw)
        sigmas[name] = model.sigma
    found = Learned({}, sigmas, pd.DataFrame(), normal, synthetic, held, injected)
    table = skills({m: found.smoothed(m) for m in sigmas}, found.kinds)
    weights = dict(zip(table["model"], table["weight"].astype(float)))
    write_json(Path(folder) / "weights.json", {
        "weights": weights, "kinds": list(kinds), "seed": seed, "rounds": rounds,
        "events": sum(e.kind != UNTOUCHED for i in injected for e in i.events), "held_out_videos": held.video_names(),
        "train_fingerprint": train.fingerprint, "table": table.to_dict("records")})
    return dataclasses.replace(found, weights=weights, table=table)


def learn_from_run(output: Path, folder: Path, *, names: Sequence[str] = (), rounds: int = 2, frames: int = HELD_FRAMES,
                   changes: Mapping[str, Mapping[str, object]] | None = None) -> Learned:
    """Learn weights with the models of a finished run, and write `weights.json`.

    Args:
        output: the run's folder: stage 1, the score files (for the models' settings) and what was trained there.
        folder: where scores and weights.json are kept.
        names: models; all that are scored there when empty.
        rounds, frames: see `learn`.
        changes: model -> settings that differ from those of its score file.
    Raises:
        PixelPlayError: no score file of a model of the registry; see also `learn`.
    """
    output, makers, trained = Path(output), {}, {}
    names = list(names) or [m for m in MODELS if (output / "scores" / f"{m}.json").exists()]
    if not names:
        raise PixelPlayError(f"{output / 'scores'} holds no score file of a model of ours",
                             expected="a finished run")
    for name in names:
        cls, about = model_class(name), read_json(output / "scores" / f"{name}.json")
        config = override(cls.Config.profile(about["profile"]), about["config"] | dict((changes or {}).get(name, {})))
        makers[name] = functools.partial(cls, config, seed=int(about["seed"]))
        trained[name] = RunPaths(output).work(name)
    return learn(open_footage(RunPaths(output).extraction, "train"), makers, folder, rounds=rounds, frames=frames,
                 trained=trained)


def hold_out(train: Footage, frames: int = HELD_FRAMES) -> tuple[Footage, Footage]:
    """(videos to score, videos to learn from): every second video from the first on is held out, and of these as many
    whole videos as `frames` allow, at least one, are scored. Raises PixelPlayError for fewer than two videos."""
    names = train.video_names()
    if len(names) < 2:
        raise PixelPlayError(f"{len(names)} training video", expected="at least two: one is held out")
    lengths = [int((train.videos == n).sum()) for n in names[::2]]
    fit = max(1, int((np.cumsum(lengths) <= frames).sum()))
    return train.of_videos(names[::2][:fit]), train.of_videos(names[1::2])


def skills(scores: Mapping[str, tuple[np.ndarray, np.ndarray]], kinds: np.ndarray) -> pd.DataFrame:
    """One row per model: auc, auc_<kind> (and auc_untouched, which should be one half), correlation, weight.

    Args:
        scores: model -> (M,) scores of the normal frames and (R, M) of the injected ones.
        kinds: (R, M) kind of anomaly in each injected frame.
    """
    ranks = {m: rankdata(np.append(n, s)) for m, (n, s) in scores.items()}
    present = [k for k in (*KINDS, UNTOUCHED) if (kinds == k).any()]
    rows = []
    for name, (normal, synthetic) in scores.items():
        others = [spearman(ranks[name], r) for m, r in ranks.items() if m != name]
        by = {f"auc_{k}": expected_auc(normal, (synthetic - normal)[kinds == k]) for k in present}
        rows.append({"model": name, "auc": float(np.mean([v for k, v in by.items() if k != f"auc_{UNTOUCHED}"])), **by,
                     "correlation": float(np.mean(others)) if others else 0.0})
    table = pd.DataFrame(rows)
    table["weight"] = bounded(np.maximum(table["auc"].to_numpy() - 0.5, 0) ** 2
                              * (1 - table["correlation"].to_numpy().clip(0, 1)))
    return table


def expected_auc(normal: np.ndarray, rises: np.ndarray) -> float:
    """AUC that rises of the score would give if they happened at any normal moment rather than where they did.

    With some ten events the plain AUC mostly tells whether they fell into a busy or a quiet moment. The rise of a
    frame's own score through the edit does not depend on that: it is added to every normal score in turn.

    Args:
        normal: (M,) scores of normal frames.
        rises: (E,) score with the anomaly minus score without, frame by frame.
    Returns:
        mean over rises of P(n < n' + rise), ties half, n and n' any normal scores; NaN without rises.
    """
    if not len(rises):
        return float("nan")
    ordered = np.sort(normal)
    moved = normal[None] + np.asarray(rises)[:, None]
    below = np.searchsorted(ordered, moved, side="left") + np.searchsorted(ordered, moved, side="right")
    return float(below.mean() / (2 * len(normal)))


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


def _smoothed(held: Footage, values: np.ndarray, sigma: float) -> np.ndarray:
    return smooth(values, held.videos, held.frames, held.reliability, sigma=sigma)


def _scores(model: Model, train: Footage, rest: Footage, held: Footage, injected: Sequence[Injected], folder: Path,
            trained: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """Raw (M,) scores of the held-out footage and (R, M) of its injected versions; kept in folder/synthetic.npz."""
    key = config_hash(model.name, model.version, model.config, model.seed, rest.fingerprint,
                      rest.ids.tolist(), [i.footage.fingerprint for i in injected], held.ids.tolist())
    kept = folder / "synthetic.npz"
    if kept.exists():
        with np.load(kept, allow_pickle=False) as stored:
            if str(stored["key"]) == key:
                return stored["normal"], stored["synthetic"]
    log.info("%s: learn on %d frames, score %d held-out ones %d times", model.name, len(rest), len(held),
             1 + len(injected))
    if trained is not None and hasattr(model, "without_fold") and model.config.folds == 2:
        model = model.without_fold(train, 0, trained)
    else:
        model.fit(rest, folder)
    normal = model.score(held, folder).values
    synthetic = np.stack([model.score(i.footage, folder).values for i in injected])
    with atomic_path(kept) as part:
        np.savez(part, key=np.array(key), normal=normal, synthetic=synthetic)
    return normal, synthetic
