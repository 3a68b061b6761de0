"""Density of a network's codes: a diagonal Gaussian mixture, fitted once after training.

Reads (N, D) codes of normal frames; gives four tensors that are saved with the weights, and the negative log-likelihood
of any code under them. Clusters of joined appearance and motion codes: Chang et al. (ECCV 2020) train them with the
network and take the distance to the nearest; fitting a density afterwards is ours, as are the spread of each cluster
and the projection.
"""

from __future__ import annotations

import math

import torch
from sklearn.cluster import KMeans
from torch import Tensor

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
