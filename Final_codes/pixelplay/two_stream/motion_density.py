"""Motion of actors as a density: how unusual is an actor's histogram of speed by orientation?

Reads `motion.Actors` with histograms, in heights of the actor's box per frame; makes a `DensityModel` of the training
actors, by the distance to their nearest neighbours or by a mixture of Gaussians (Reiss and Hoshen, arXiv 2212.00789).
Against `motion.SpeedModel` it also knows directions: someone who walks the wrong way is unusual.

A density punishes what is rare, slow actors among them. One-sided, an actor that moves less than the training median
counts less in proportion, down to nothing where it stands. Which of the two is taken, training footage decides: the
one that tells held-out actors better from the same actors at twice their speed and walking backwards.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from pixelplay.two_stream.memory import folds, nearest
from pixelplay.two_stream.motion import BINS, Actors

METHODS = ("knn", "gmm")
NEIGHBOURS, COMPONENTS = 3, 5
MAX_ACTORS = 8000


@dataclasses.dataclass(frozen=True)
class DensityModel:
    """Density of histograms; the score rises where training actors are rare.

    Attributes:
        method: one of `METHODS`.
        usual: median sum of a training histogram; 0 for a two-sided density.
        unit: heights per frame that become 1.
        tensors: 'vectors' (M, BINS) for knn; 'weights' (K,), 'means' (K, BINS), 'factors' (K, BINS, BINS) with
            factor @ factor.T = inverse covariance for gmm; all in units.
        bandwidths: nothing is local here (`motion.SpeedModel` has kernels).
    """

    method: str
    usual: float
    unit: float
    tensors: dict[str, np.ndarray]
    bandwidths: tuple = ()

    @classmethod
    def fit(cls, actors: Actors, method: str, one_sided: bool, seed: int) -> DensityModel:
        """Fit with a given choice of sides; `actors` are at least one."""
        histograms = actors.histogram
        unit = float(np.quantile(histograms.sum(1), 0.95)) or 1.0
        usual = float(np.median(histograms.sum(1))) if one_sided else 0.0
        some = np.linspace(0, len(histograms) - 1, min(len(histograms), MAX_ACTORS)).astype(int)
        vectors = histograms[some] / unit
        if method == "knn":
            return cls(method, usual, unit, {"vectors": vectors.astype(np.float32)})
        from sklearn.mixture import GaussianMixture

        # the width of a hundredth of the usual keeps actors that stand still from being a point of endless density
        mixture = GaussianMixture(min(COMPONENTS, len(np.unique(vectors, axis=0))), reg_covar=1e-4, random_state=seed)
        mixture.fit(np.repeat(vectors, 2, axis=0) if len(vectors) == 1 else vectors)
        return cls(method, usual, unit, {"weights": mixture.weights_, "means": mixture.means_,
                                         "factors": mixture.precisions_cholesky_})

    def score(self, actors: Actors) -> np.ndarray:
        """(n,) float64 >= 0: mean distance to the nearest training actors, or the logarithm of how much less dense
        it is than at the mixture's densest mean."""
        if len(actors.histogram) == 0:
            return np.zeros(0)
        vectors = actors.histogram / self.unit
        if self.method == "knn":
            scores = nearest(vectors, self.tensors["vectors"], NEIGHBOURS)[0].astype(np.float64).mean(1)
        else:
            densest = self._log_density(self.tensors["means"]).max()
            scores = np.maximum(densest - self._log_density(vectors), 0.0)
        return scores * np.minimum(1.0, actors.histogram.sum(1) / self.usual) if self.usual else scores

    def _log_density(self, vectors: np.ndarray) -> np.ndarray:
        """Up to a constant, which differences do not see."""
        t, parts = self.tensors, []
        for weight, mean, factor in zip(t["weights"], t["means"], t["factors"]):
            parts.append(np.log(weight + 1e-300) + np.log(np.diagonal(factor)).sum()
                         - 0.5 * (((vectors - mean) @ factor) ** 2).sum(1))
        return np.logaddexp.reduce(parts, axis=0)

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything as arrays, for saving."""
        return {"method": np.array([METHODS.index(self.method)]), "usual": np.array([self.usual]),
                "unit": np.array([self.unit]), **self.tensors}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> DensityModel:
        """Undo `arrays`."""
        rest = {k: v for k, v in arrays.items() if k not in ("method", "usual", "unit")}
        return cls(METHODS[int(arrays["method"][0])], float(arrays["usual"][0]), float(arrays["unit"][0]), rest)


def fit_density(actors: Actors, videos: np.ndarray, method: str, *, seed: int = 0) -> tuple[DensityModel, np.ndarray]:
    """Choose between one side and two on held-out training videos, and fit.

    Args:
        actors: of the training footage, with histograms; videos: (n,) video of each.
        method: one of `METHODS`.
    Returns:
        the model on all actors, and (n,) scores of each actor by a model without its video (without its fold, where
        there are more than 16 videos).
    """
    if len(actors.histogram) == 0:
        return DensityModel("knn", 0.0, 1.0, {"vectors": np.zeros((1, BINS), np.float32)}), np.zeros(0)
    fold = folds(videos)
    if len(np.unique(fold)) < 2:  # one actor: nothing can be held out, and nothing can be chosen
        model = DensityModel.fit(actors, method, True, seed)
        return model, model.score(actors)
    scores, power = [], []
    for one_sided in (True, False):
        held_out, altered = np.empty(len(fold)), np.empty(len(fold))
        for f in np.unique(fold):
            held, model = actors.take(fold == f), DensityModel.fit(actors.take(fold != f), method, one_sided, seed)
            held_out[fold == f], altered[fold == f] = model.score(held), model.score(_altered(held))
        scores.append(held_out)
        power.append(_share_above(altered, held_out))
    # one-sided unless direction and slowness really help: a gain within one per cent is chance
    one_sided = power[0] >= power[1] - 0.01
    return DensityModel.fit(actors, method, one_sided, seed), scores[0 if one_sided else 1]


def _altered(actors: Actors) -> Actors:
    """The same actors, every other one at twice its speed, the others walking backwards."""
    histogram = 2.0 * actors.histogram
    histogram[1::2] = np.roll(actors.histogram[1::2], BINS // 2, axis=1)
    return dataclasses.replace(actors, histogram=histogram)


def _share_above(altered: np.ndarray, normal: np.ndarray) -> float:
    """Share of pairs in which the altered actor scores higher (the area under the ROC curve)."""
    order = np.sort(normal)
    below, upto = (np.searchsorted(order, altered, side) for side in ("left", "right"))
    return float(((below + upto) / (2 * len(order))).mean())
