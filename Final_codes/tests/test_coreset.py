"""Greedy k-center: the picks of the textbook loop, the true covering radius, and clear rules for odd inputs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import pairwise_distances

from pixelplay.two_stream import greedy
from pixelplay.two_stream.coreset import coreset_size, covering_radius, greedy_coreset, without_outliers


@pytest.fixture(scope="module")
def features() -> np.ndarray:
    """Low-rank, far from the origin, of very different scales: as pooled network features are."""
    rng = np.random.default_rng(0)
    low = rng.standard_normal((700, 20)) @ rng.standard_normal((20, 96))
    return (low + 0.3 * rng.standard_normal((700, 96)) + 50.0).astype(np.float32)


def textbook(features: np.ndarray, size: int, start: int) -> tuple[list[int], float]:
    """One full distance computation a pick, in double precision."""
    features = features.astype(np.float64)
    picks, nearest = [start], pairwise_distances(features, features[[start]])[:, 0]
    while len(picks) < size:
        picks.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, pairwise_distances(features, features[picks[-1:]])[:, 0])
    return picks, float(nearest.max())


def wide(case: str) -> np.ndarray:
    """Wide features of several shapes."""
    rng = np.random.default_rng(8)
    if case == "low rank":
        return 9 + rng.standard_normal((900, 12)) @ rng.standard_normal((12, 200)) + rng.normal(0, 0.1, (900, 200))
    if case == "no structure":
        return rng.standard_normal((400, 160))
    if case == "walk":  # neighbouring frames are alike
        return np.cumsum(rng.standard_normal((900, 150)), axis=0)
    return np.repeat(rng.standard_normal((20, 180)), 20, axis=0)  # duplicates


@pytest.mark.parametrize("case", ["low rank", "no structure", "walk", "duplicates"])
def test_picks_of_wide_features_are_the_textbooks(case):
    features = wide(case).astype(np.float32)
    size = 19 if case == "duplicates" else 120
    core = greedy_coreset(features, size, start=2)
    picks, radius = textbook(features, size, start=2)
    assert core.indices.tolist() == picks and core.radius == pytest.approx(radius, rel=1e-5)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_picks_and_radius_are_the_textbooks(features, kind):
    picks, radius = textbook(features, 60, start=17)
    core = greedy_coreset(features.astype(kind), 60, start=17)
    assert core.indices.tolist() == picks and core.indices.dtype == np.int64
    assert core.radius == pytest.approx(radius, rel=1e-5)


def test_a_tensor_gives_the_same(features):
    ours = greedy_coreset(torch.from_numpy(features), 20, start=3)
    assert ours.indices.tolist() == greedy_coreset(features, 20, start=3).indices.tolist()


def test_half_precision_features_pick_the_same(features):
    rounded = features.astype(np.float16)
    picks, radius = textbook(rounded.astype(np.float32), 40, start=0)
    core = greedy_coreset(rounded, 40, start=0)
    assert core.indices.tolist() == picks and core.radius == pytest.approx(radius, rel=1e-5)


def test_streaming_from_a_memory_map_picks_the_same(features, tmp_path, monkeypatch):
    np.save(tmp_path / "features.npy", features)
    mapped = np.load(tmp_path / "features.npy", mmap_mode="r")
    monkeypatch.setattr(greedy, "BLOCK_BYTES", 4 * 96 * 37)  # blocks of 37 rows, the last one shorter
    streamed = greedy_coreset(mapped, 50, start=5, memory=0)
    picks, radius = textbook(features, 50, start=5)
    assert streamed.indices.tolist() == picks
    assert streamed.radius == pytest.approx(radius, rel=1e-5)


def test_streaming_holds_a_block_and_not_the_matrix(tmp_path, monkeypatch):
    seen = []

    class Watched:
        def __init__(self, rows):
            self.rows, self.shape, self.ndim = rows, rows.shape, 2

        def __len__(self):
            return len(self.rows)

        def __getitem__(self, part):
            found = self.rows[part]
            seen.append(len(found))
            return found

    monkeypatch.setattr(greedy, "BLOCK_BYTES", 4 * 8 * 16)
    rows = np.random.default_rng(0).standard_normal((200, 8)).astype(np.float32)
    core = greedy_coreset(Watched(rows), 10, start=0, memory=0)
    assert core.indices.tolist() == textbook(rows, 10, start=0)[0]
    assert max(seen) <= 16


def test_chosen_rows_of_a_larger_matrix_pick_like_a_copy_of_them(features):
    rows = np.arange(0, 700, 3)
    core, copy = (greedy_coreset(f, 20, start=1) for f in (greedy.Chosen(features, rows), features[rows]))
    assert core.indices.tolist() == copy.indices.tolist() and core.radius == copy.radius


def test_radius_of_a_projected_pick_is_measured_in_the_original_space(features):
    core = greedy_coreset(features, 30, start=0, projection=16, generator=torch.Generator().manual_seed(1))
    brute = pairwise_distances(features.astype(np.float64), features[core.indices].astype(np.float64)).min(1).max()
    assert core.radius == pytest.approx(brute, rel=1e-5)
    assert core.radius > greedy_coreset(features, 30, start=0).radius
    assert core.indices.tolist() != greedy_coreset(features, 30, start=0).indices.tolist()


def test_seeded_starts_repeat_and_differ(features):
    def picks(seed: int) -> list[int]:
        return greedy_coreset(features, 10, generator=torch.Generator().manual_seed(seed)).indices.tolist()

    assert picks(4) == picks(4)
    assert len({picks(seed)[0] for seed in range(8)}) > 1


def test_within_twice_the_optimum_on_known_clusters():
    rng = np.random.default_rng(3)
    centres = rng.uniform(-100, 100, (12, 5))
    points = (centres[:, None] + rng.uniform(-0.5, 0.5, (12, 30, 5))).reshape(-1, 5)
    core = greedy_coreset(points.astype(np.float32), 12, start=0)
    assert set(core.indices // 30) == set(range(12))
    optimum = max(np.linalg.norm(points.reshape(12, 30, 5) - centres[:, None], axis=2).max(1))
    assert core.radius <= 2 * optimum


def test_all_equal_rows_give_the_first_ones_once_and_radius_zero():
    core = greedy_coreset(np.full((9, 4), 7.25, np.float32), 4, start=6)
    assert core.indices.tolist() == [6, 0, 1, 2] and core.radius == 0.0


def test_fewer_different_rows_than_picks():
    rows = np.repeat(np.eye(3, dtype=np.float32), 5, axis=0)
    core = greedy_coreset(rows, 8, start=0)
    assert len(set(core.indices.tolist())) == 8
    assert {int(i) // 5 for i in core.indices[:3]} == {0, 1, 2} and core.radius == 0.0


def test_every_row_and_one_row():
    rows = np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)
    assert sorted(greedy_coreset(rows, 6).indices.tolist()) == list(range(6))
    assert greedy_coreset(rows[:1], 1).indices.tolist() == [0]


@pytest.mark.parametrize("size", [0, -1, 7])
def test_size_out_of_range_is_refused(size):
    with pytest.raises(ValueError, match="size must be 1 to N"):
        greedy_coreset(np.zeros((6, 2), np.float32), size)


def test_start_out_of_range_is_refused():
    with pytest.raises(ValueError, match="start row 6"):
        greedy_coreset(np.zeros((6, 2), np.float32), 2, start=6)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_bad_row_is_named(value):
    rows = np.zeros((50, 4), np.float32)
    rows[31, 2], rows[44, 0] = value, value
    with pytest.raises(ValueError, match="first bad row 31"):
        greedy_coreset(rows, 3)


def test_coreset_size_has_a_floor_and_a_ceiling():
    assert coreset_size(15_328, 0.01) == 154
    assert coreset_size(1_000, 0.01, floor=64) == 64
    assert coreset_size(30, 0.01, floor=64) == 30
    assert coreset_size(5, 0.0) == 1


def test_covering_radius_of_fixed_points():
    assert covering_radius(np.array([[0.0, 0], [3, 4], [6, 8]]), np.array([0])) == pytest.approx(10.0)


def test_outliers_are_dropped_before_k_center_can_pick_them():
    rng = np.random.default_rng(5)
    rows = rng.standard_normal((300, 16)).astype(np.float32)
    rows[[40, 180]] += 60.0 * rng.standard_normal((2, 16)).astype(np.float32)
    videos = np.repeat(np.array(["a", "b", "c"], dtype=object), 100)
    keep = without_outliers(rows, videos, 0.01)
    assert keep.sum() == 297 and not keep[[40, 180]].any()
    assert {40, 180} <= set(greedy_coreset(rows, 5, start=0).indices.tolist())


def test_outliers_are_found_among_a_sample_of_the_others():
    rows = np.random.default_rng(7).standard_normal((300, 4)).astype(np.float32)
    rows[250] += 80.0
    videos = np.repeat(np.array(["a", "b", "c"], dtype=object), 100)
    assert np.flatnonzero(~without_outliers(rows, videos, 1 / 300, sample=9)).tolist() == [250]


def test_an_event_that_one_video_repeats_is_strange_however_often_it_does():
    rng = np.random.default_rng(6)
    rows = rng.standard_normal((200, 8)).astype(np.float32)
    rows[10:13] = 30.0 + 0.01 * rng.standard_normal((3, 8))
    videos = np.repeat(np.array(["a", "b"], dtype=object), 100)
    assert np.flatnonzero(~without_outliers(rows, videos, 3 / 200)).tolist() == [10, 11, 12]


def test_dropping_nothing_keeps_all():
    assert without_outliers(np.zeros((10, 2), np.float32), np.array(["a"] * 10), 0.0).all()
    assert without_outliers(np.zeros((1, 2), np.float32), np.array(["a"]), 0.9).all()
