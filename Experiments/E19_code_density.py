"""E19: does a density over Joint's codes improve the ranking?

Fits a diagonal Gaussian mixture to the appearance and motion codes of normal frames after training; the negative
log-likelihood at the highest-scoring place is a third factor of the frame's score, with exponent 0.2. Chang et al.
(ECCV 2020) cluster joint codes during training and use the distance to the nearest cluster; fitting a density
afterwards, with a variance per cluster and a projection, is ours.
The network does not depend on the density, so one training (lite profile) serves both: three seeds on each run,
calibrated on held-out training scores and ranked by the default recipe, Joint alone and, if the run has scores of the
other three autoencoders, with them. Labels are read last, to fill the table.

Run:   python Experiments/E19_code_density.py SCRATCH_FOLDER [--runs sample=outputs ...] [--seeds 0 1 2]
       --runs names finished runs of the lite profile, of which stage 1 and the other models' scores are read.
Makes: Experiments/E19_code_density.csv (rows of the runs that were named are replaced, others kept)
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from common import EXTRACTION, named, write_rows
from sklearn.cluster import KMeans
from torch import Tensor

from pixelplay.autoencoders import blocks
from pixelplay.autoencoders.joint import Joint, JointConfig, frame_and_past
from pixelplay.data.manifest import Manifest
from pixelplay.environment import limit_threads
from pixelplay.evaluation.labels import read_labels
from pixelplay.evaluation.metrics import average_precision, macro_auc, roc_auc
from pixelplay.flow.speed import with_speeds
from pixelplay.fusion.ensemble import read_members
from pixelplay.fusion.recipe import Frames, load_recipe
from pixelplay.fusion.scores import ScoreFile
from pixelplay.repair.stage import open_footage

OTHERS = ("stae", "roadmap", "unet")
CLUSTERS = 32
"""Gaussians of the density."""
DIMENSIONS = 24
"""Principal directions the codes are projected to: the rest is mostly noise a density would have to explain."""
LEAST_VARIANCE = 1e-2
"""Of a cluster along a whitened direction: a cluster of nearly equal codes must not call its neighbours impossible."""


def fit_density(codes: Tensor, clusters: int, seed: int) -> dict[str, Tensor]:
    """Fit a mixture of at most `clusters` diagonal Gaussians to whitened codes: k-means, then one variance for each
    cluster and direction, shrunk towards the common one where a cluster is small.

    Args:
        codes: (N, D) float, N >= 1. seed: of k-means.
    Returns:
        'density_shift' (D,), 'density_project' (D, d), 'density_means' (k, d), 'density_log_variances' (k, d),
        'density_log_shares' (k,), all float32 on the CPU.
    """
    codes = codes.double().cpu()
    shift = codes.mean(0)
    centred = codes - shift
    values, vectors = torch.linalg.eigh(centred.T @ centred / len(codes))
    order = values.argsort(descending=True)[:min(DIMENSIONS, codes.shape[1])]
    values, vectors = values[order].clamp_min(0), vectors[:, order]
    # the sign of an eigenvector is arbitrary: fix it
    vectors = vectors * torch.sign(vectors.gather(0, vectors.abs().argmax(0)[None]))
    # directions without spread would be blown up to unit variance
    project = vectors / (values + 1e-3 * values[:1] + 1e-12).sqrt()
    white = centred @ project
    count = min(clusters, len(torch.unique(white, dim=0)))
    found = KMeans(count, n_init=1, random_state=seed).fit(white.numpy())
    labels = torch.as_tensor(found.labels_, dtype=torch.long)
    means = torch.as_tensor(found.cluster_centers_).double()
    one_hot = torch.nn.functional.one_hot(labels, count).double()
    sizes = one_hot.sum(0)
    squares = one_hot.T @ (white - means[labels]) ** 2
    common, trust = squares.sum(0) / len(white), 10.0
    variances = ((squares + trust * common) / (sizes[:, None] + trust)).clamp_min(LEAST_VARIANCE)
    return {"density_shift": shift.float(), "density_project": project.float(), "density_means": means.float(),
            "density_log_variances": variances.log().float(), "density_log_shares": (sizes / sizes.sum()).log().float()}


def negative_log_likelihood(codes: Tensor, density: dict[str, Tensor]) -> Tensor:
    """(..., D) codes -> (...) float32 negative log-density, up to nothing: the Gaussians' constants are in it."""
    white = (codes.float() - density["density_shift"]) @ density["density_project"]
    means, log_variances = density["density_means"], density["density_log_variances"]
    precision = (-log_variances).exp()
    # |x - m|^2 / v by matrix products: (..., k, d) differences would not fit in memory
    distance = (white ** 2) @ precision.T - 2 * white @ (means * precision).T + (means ** 2 * precision).sum(1)
    constant = log_variances.sum(1) + means.shape[1] * math.log(2 * math.pi)
    return -torch.logsumexp(density["density_log_shares"] - 0.5 * (distance + constant), dim=-1)


class DenseJoint(Joint):
    """Joint whose score also says how thin normal codes lie, as exp of a z-score of the negative log-likelihood."""

    def after_fit(self, net, clips, statistics):
        codes = torch.cat([self.codes(clip, statistics).flatten(0, 2) for clip, _ in clips.batches(limit=200)])
        density = fit_density(codes, CLUSTERS, self.seed)
        nll = negative_log_likelihood(codes.cpu(), density)
        return {**density, "density_centre": nll.mean(), "density_scale": nll.std().clamp_min(1e-3)}

    def errors(self, net, clip, statistics):
        found = super().errors(net, clip, statistics)
        own = statistics.own
        nll = negative_log_likelihood(self.codes(clip, statistics), own)
        z = ((nll - own["density_centre"]) / own["density_scale"]).clamp(-3, 10)
        thin = F.interpolate(z.exp()[:, None], size=found.shape[-2:], mode="nearest")
        return torch.cat([found, thin[:, None]], 2)

    def codes(self, clip, statistics) -> Tensor:
        """(B, h', w', D) appearance and motion codes side by side."""
        frame, past = frame_and_past(clip, statistics.background)
        appearance = self.net.appearance(torch.cat([frame, blocks.places(frame)], 1))[-1]
        return torch.cat([appearance, self.net.motion(past)[-1]], 1).float().movedim(1, -1)


def ranked(name: str, run: Path, scratch: Path, seeds: list[int]) -> list[dict]:
    """Rows of one run: every seed with and without the density, alone and in the quad."""
    train, test = (with_speeds(open_footage(run / EXTRACTION, s), run / EXTRACTION) for s in ("train", "test"))
    frames = Frames.of_stage(run / EXTRACTION)
    labels = read_labels(Manifest.load(run / EXTRACTION).labels).align(frames.ids).values
    paths = {m: run / "scores" / f"{m}.csv" for m in OTHERS}
    others = read_members(paths, frames) if all(p.exists() for p in paths.values()) else {}
    recipe, rows = load_recipe("default"), []
    for seed in seeds:
        for density, cls in (("no", Joint), ("yes", DenseJoint)):
            model, folder = cls(JointConfig.profile("lite"), seed=seed), scratch / f"{name}-{seed}"
            model.fit(train, folder)
            values = dict(zip(test.ids, model.score(test, folder / density).values))
            file = ScoreFile("joint", frames.ids, np.array([values[i] for i in frames.ids]), train.ids,
                             model.held_out(train, folder).values,
                             {"kind": cls.kind, "family": cls.family, "sigma": cls.sigma, "weight": cls.weight})
            groups = {"joint": {"joint": file}} | ({"quad": {**others, "joint": file}} if others else {})
            for what, members in groups.items():
                scores = recipe.fuse(members, frames, None).values
                rows.append({"data": name, "seed": seed, "density": density, "what": what,
                             "ap": f"{100 * average_precision(labels, scores):.2f}",
                             "micro_auc": f"{100 * roc_auc(labels, scores):.2f}",
                             "macro_auc": f"{100 * macro_auc(labels, scores, frames.videos):.2f}"})
                print(rows[-1], flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scratch", type=Path)
    parser.add_argument("--runs", nargs="+", default=["sample=outputs"], metavar="NAME=FOLDER")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    args = parser.parse_args()
    limit_threads()
    rows = [row for name, run in named(args.runs).items() for row in ranked(name, run, args.scratch, args.seeds)]
    write_rows(Path(__file__).with_suffix(".csv"), rows, keep="data")


if __name__ == "__main__":
    main()
