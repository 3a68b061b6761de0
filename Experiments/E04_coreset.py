"""E04: is the exact full-dimension coreset as fast as the approximate ones, and how much better is its coverage?

    python Experiments/E04_coreset.py [--features FILE.npy] [--device cuda:0] [--anomalib FOLDER]

Reads synthetic low-rank features (15,328 x 1,536, as many as Avenue has training frames) or a saved matrix. Times, in
one run, with the same features and the same start: our exact sampler, a scikit-learn loop per pick, anomalib's
`KCenterGreedy` (if installed, or from an unpacked wheel given by --anomalib), and patchcore-inspection's approximate
sampler, which is not packaged and is implemented here from its published description. Appends to E04_coreset.csv. Each
time is the best of --repeats interleaved runs. `times_ours` compares processor seconds on a CPU, because other work on
the machine disturbs them less, and wall-clock seconds on a GPU.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import pairwise_distances

from pixelplay.environment import cpu_name, limit_threads
from pixelplay.two_stream.coreset import covering_radius, greedy_coreset

Sampler = Callable[[torch.Tensor, int, int], np.ndarray]


def low_rank(count: int = 15_328, width: int = 1_536, rank: int = 60) -> np.ndarray:
    """(count, width) float32: a few directions of falling strength and a little noise, like pooled features."""
    rng = np.random.default_rng(0)
    codes = rng.standard_normal((count, rank)) * np.geomspace(3, 0.3, rank)
    return (codes @ rng.standard_normal((rank, width)) + 0.3 * rng.standard_normal((count, width))).astype(np.float32)


def ours(features: torch.Tensor, size: int, start: int) -> np.ndarray:
    return greedy_coreset(features, size, start=start).indices


def ours_projected(features: torch.Tensor, size: int, start: int) -> np.ndarray:
    return greedy_coreset(features, size, start=start, projection=128).indices


def sklearn_loop(features: torch.Tensor, size: int, start: int) -> np.ndarray:
    """One `pairwise_distances` call per pick, as in the 0.79 entry."""
    matrix = features.cpu().numpy()
    picks, nearest = [start], pairwise_distances(matrix, matrix[[start]])[:, 0]
    while len(picks) < size:
        picks.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, pairwise_distances(matrix, matrix[picks[-1:]])[:, 0])
    return np.array(picks)


def patchcore_approximate(features: torch.Tensor, size: int, start: int) -> np.ndarray:
    """Our implementation of patchcore-inspection's approximate sampler: an untrained linear map to 128 dimensions, ten
    random points whose mean distance initialises it, squared norms recomputed and one host synchronisation per step."""
    reduced = torch.nn.Linear(features.shape[1], 128, bias=False).to(features.device)(features).detach()

    def distances(to: torch.Tensor) -> torch.Tensor:
        own, other = (reduced * reduced).sum(1, keepdim=True), (to * to).sum(1)
        return (own + other - 2 * reduced @ to.T).clamp(min=0).sqrt()

    nearest = distances(reduced[torch.randperm(len(reduced))[:10].to(features.device)]).mean(1, keepdim=True)
    picks = []
    for _ in range(size):
        picks.append(int(nearest.argmax()))
        nearest = torch.minimum(nearest, distances(reduced[picks[-1]:picks[-1] + 1]))
    return np.array(picks)


def anomalib_sampler(folder: Path | None) -> Sampler | None:
    """anomalib's own class, imported normally or from the two files of an unpacked wheel; None where there is none."""
    try:
        found = importlib.import_module("anomalib.models.components.sampling.k_center_greedy")
    except ImportError:
        if folder is None:
            return None
        found = _from_wheel(folder)

    def sample(features: torch.Tensor, size: int, start: int) -> np.ndarray:
        sampler = found.KCenterGreedy(features, sampling_ratio=(size + 0.5) / len(features))
        return np.array([int(i) for i in sampler.select_coreset_idxs()])

    return sample


def _from_wheel(folder: Path) -> types.ModuleType:
    """The sampler imports one sibling; the package itself would import a training framework that it does not use."""
    components = folder / "anomalib/models/components"
    package = "anomalib.models.components"
    for name in ("anomalib", "anomalib.models", package):
        sys.modules[name] = types.ModuleType(name)
    for name, file in ((f"{package}.dimensionality_reduction", "dimensionality_reduction/random_projection.py"),
                       (f"{package}.sampling.k_center_greedy", "sampling/k_center_greedy.py")):
        spec = importlib.util.spec_from_file_location(name, components / file)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[f"{package}.sampling.k_center_greedy"]


def timed(sampler: Sampler, features: torch.Tensor, size: int) -> tuple[float, float, np.ndarray]:
    """Wall-clock seconds, processor seconds and picks of one call."""
    if features.is_cuda:
        torch.cuda.synchronize()
    begin, work = time.perf_counter(), time.process_time()
    picks = sampler(features, size, 5)
    return time.perf_counter() - begin, time.process_time() - work, picks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--features", type=Path, help="(N, D) .npy; synthetic when left out")
    parser.add_argument("--ratio", type=float, default=0.01)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--anomalib", type=Path, help="folder of an unpacked anomalib wheel")
    parser.add_argument("--threads", type=int, default=None, help="processor threads; all when left out")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".csv"))
    args = parser.parse_args()

    threads = limit_threads(args.threads)
    torch.manual_seed(0)
    matrix = np.load(args.features).astype(np.float32) if args.features else low_rank()
    size = int(args.ratio * len(matrix))
    features = torch.from_numpy(matrix).to(args.device)
    samplers: dict[str, Sampler | None] = {
        "exact (ours)": ours, "exact in 128 dimensions (ours)": ours_projected,
        "anomalib KCenterGreedy": anomalib_sampler(args.anomalib),
        "patchcore-inspection approximate, rewritten": patchcore_approximate}
    seconds: dict[str, list[tuple[float, float]]] = {}
    picks: dict[str, np.ndarray] = {}
    for _ in range(args.repeats):
        for name, sampler in samplers.items():
            if sampler:
                *spent, picks[name] = timed(sampler, features, size)
                seconds.setdefault(name, []).append(spent)
    name = "scikit-learn loop a pick"
    *spent, picks[name] = timed(sklearn_loop, features, size)
    seconds[name] = [spent]

    best = {name: np.min(runs, axis=0) for name, runs in seconds.items()}
    unit, reference = int(not features.is_cuda), set(picks["exact (ours)"].tolist())
    rows = [{"sampler": name, "rows": len(matrix), "dimensions": matrix.shape[1], "picks": len(set(found.tolist())),
             "features": args.features.stem if args.features else "synthetic low rank",
             "seconds": round(best[name][0], 3), "processor_seconds": round(best[name][1], 3),
             "times_ours": round(best[name][unit] / best["exact (ours)"][unit], 2),
             "radius": round(covering_radius(matrix, found), 4), "same_picks": len(reference & set(found.tolist())),
             "device": torch.cuda.get_device_name(0) if features.is_cuda else f"{cpu_name()}, {threads} thread(s)",
             "torch": torch.__version__} for name, found in picks.items()]
    table = pd.DataFrame(rows)
    print(table.drop(columns=["device", "torch"]).to_string(index=False))
    if args.output.exists():
        table = pd.concat([pd.read_csv(args.output), table])
    table.to_csv(args.output, index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
