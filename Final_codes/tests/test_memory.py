"""Memory banks: exact neighbours, the published re-weighting, held-out scores without leaks, files that are checked."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import pairwise_distances

from pixelplay.two_stream import memory
from pixelplay.two_stream.memory import MemoryBank, folds, leave_one_video_out, nearest


@pytest.fixture(scope="module")
def vectors():
    rng = np.random.default_rng(0)
    bank, queries = rng.standard_normal((120, 24)) + 10, rng.standard_normal((75, 24)) + 10
    return bank.astype(np.float32), queries.astype(np.float32)


@pytest.mark.parametrize("k", [1, 3, 500])
@pytest.mark.parametrize("block", [None, 1000])
def test_nearest_is_exact_in_any_block_size(vectors, k, block, monkeypatch):
    if block:
        monkeypatch.setattr(memory, "_BLOCK_ELEMENTS", block)
    bank, queries = vectors
    distances, indices = nearest(queries, bank, k)
    brute = pairwise_distances(queries.astype(np.float64), bank.astype(np.float64))
    order = np.argsort(brute, axis=1)[:, :k]
    assert indices.tolist() == order.tolist()
    np.testing.assert_allclose(distances, np.take_along_axis(brute, order, 1), rtol=1e-5)


def test_a_member_is_at_distance_zero_however_far_from_the_origin(vectors):
    bank = vectors[0] + 1000.0
    distances, indices = nearest(bank, bank)
    assert (distances == 0).all() and indices[:, 0].tolist() == list(range(len(bank)))


def test_of_equal_members_the_first_wins():
    assert nearest(np.ones((1, 3)), np.ones((5, 3)))[1].tolist() == [[0]]


@pytest.mark.parametrize(("queries", "bank"), [((2, 3), (0, 3)), ((2, 3), (4, 5))])
def test_empty_bank_and_other_width_are_refused(queries, bank):
    with pytest.raises(ValueError, match="cannot search"):
        nearest(np.zeros(queries), np.zeros(bank))


def test_score_is_the_mean_of_k_distances(vectors):
    bank, queries = vectors
    brute = np.sort(pairwise_distances(queries.astype(np.float64), bank.astype(np.float64)), axis=1)
    np.testing.assert_allclose(MemoryBank(bank).score(queries), brute[:, 0], rtol=1e-5)
    np.testing.assert_allclose(MemoryBank(bank, k=4).score(queries), brute[:, :4].mean(1), rtol=1e-5)
    assert MemoryBank(bank).score(queries[:0]).shape == (0,)


def test_reweighting_is_equation_7(vectors):
    bank, queries = vectors
    b = 5
    scores = MemoryBank(bank, reweight=b).score(queries)
    for query, score in zip(queries.astype(np.float64), scores):
        to_bank = np.linalg.norm(bank - query, axis=1)
        star = int(to_bank.argmin())
        around = np.argsort(np.linalg.norm(bank - bank[star], axis=1))[:b]
        weight = 1 - np.exp(to_bank[star]) / np.exp(to_bank[around]).sum()
        assert score == pytest.approx(weight * to_bank[star], rel=1e-4)


def test_reweighting_survives_distances_whose_exponential_overflows():
    bank = np.array([[0.0, 0], [5000, 0], [0, 5000]], np.float32)
    assert np.isfinite(MemoryBank(bank, reweight=3).score(np.array([[9000.0, 9000.0]]))).all()


def test_reweighting_with_duplicates_in_the_bank():
    scores = MemoryBank(np.ones((6, 3), np.float32), reweight=3).score(np.zeros((1, 3)))
    # the nearest vector and its equals: three or four terms, by whether it is among its own neighbours
    assert np.sqrt(3) * (1 - 1 / 3) <= scores[0] * 1.0001 and scores[0] <= 1.0001 * np.sqrt(3) * (1 - 1 / 4)


@pytest.mark.parametrize("bad", [np.zeros((0, 3)), np.zeros(3), np.array([[np.nan, 1.0]])])
def test_a_bank_needs_finite_vectors(bad):
    with pytest.raises(ValueError, match="memory bank needs"):
        MemoryBank(bad)


def names(*counts: int) -> np.ndarray:
    return np.repeat(np.array([f"v{i}" for i in range(len(counts))], dtype=object), counts)


def test_folds_never_split_a_video():
    videos = names(*[3] * 40)
    groups = folds(videos, limit=16)
    assert groups.max() == 15
    assert all(len(set(groups[videos == v])) == 1 for v in set(videos))
    assert len(set(folds(videos, limit=0))) == 40


def test_one_video_is_held_out_in_fifths():
    assert folds(names(10)).tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert folds(names(3)).tolist() == [0, 1, 2]


def test_no_row_is_scored_by_a_bank_that_saw_its_video():
    videos, features = names(5, 7, 4), np.random.default_rng(0).standard_normal((16, 3))
    seen = []

    def build(rows):
        seen.append(set(videos[rows]))
        return MemoryBank(features[rows])

    scores = leave_one_video_out(features, videos, build)
    assert seen == [{"v1", "v2"}, {"v0", "v2"}, {"v0", "v1"}]
    brute = pairwise_distances(features)
    brute[videos[:, None] == videos[None, :]] = np.inf
    np.testing.assert_allclose(scores, brute.min(1), rtol=1e-5)


def test_a_single_row_scores_zero():
    assert leave_one_video_out(np.ones((1, 2)), names(1), lambda rows: MemoryBank(np.ones((1, 2)))).tolist() == [0.0]
