"""Smoothing: within a video, in frame time, weighted by reliability."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from pixelplay.fusion.smoothing import gaussian_kernel, reliable_median, smooth


def one_video(n):
    return np.array(["1"] * n, dtype=object), np.arange(n)


def slow(values, videos, frames, trust, sigma, causal=False, max_gap=25):
    """The definition, frame by frame, for reliable enough surroundings."""
    out = np.empty(len(values))
    radius = int(4 * sigma + 0.5)
    piece = np.concatenate([[0], np.cumsum((videos[1:] != videos[:-1]) | (np.diff(frames) > max_gap))])
    for i in range(len(values)):
        d = frames - frames[i]
        use = (piece == piece[i]) & (np.abs(d) <= radius) & ((d <= 0) | (not causal))
        w = np.exp(-0.5 * (d[use] / sigma) ** 2) * trust[use]
        out[i] = (w * values[use]).sum() / w.sum()
    return out


@pytest.mark.parametrize("causal", [False, True])
def test_against_the_definition_with_gaps_videos_and_reliabilities(causal):
    rng = np.random.default_rng(0)
    frames = np.concatenate([np.sort(rng.choice(400, 150, replace=False)), np.arange(40), np.arange(900, 930)])
    videos = np.array(["a"] * 150 + ["b"] * 70, dtype=object)
    values, trust = rng.normal(size=220), rng.uniform(0.3, 1, 220)
    got = smooth(values, videos, frames, trust, sigma=5.0, causal=causal)
    np.testing.assert_allclose(got, slow(values, videos, frames, trust, 5.0, causal), rtol=0, atol=1e-12)


def test_in_the_middle_it_is_the_plain_gaussian():
    values = np.random.default_rng(1).normal(size=300)
    got = smooth(values, *one_video(300), sigma=4.0)
    np.testing.assert_allclose(got[20:-20], gaussian_filter1d(values, 4.0)[20:-20], atol=1e-12)


def test_no_other_video_and_no_long_gap_is_felt():
    values = np.concatenate([np.zeros(50), np.full(50, 100.0)])
    videos = np.array(["1"] * 50 + ["2"] * 50, dtype=object)
    assert (smooth(values, videos, np.tile(np.arange(50), 2), sigma=10) == values).all()
    one = np.array(["1"] * 100, dtype=object)
    apart = np.concatenate([np.arange(50), 75 + np.arange(50)])
    assert (smooth(values, one, apart, sigma=10) == values).all()
    assert smooth(values, one, apart - (apart >= 75), sigma=10)[49] > 0


def test_time_is_the_frame_number_not_the_row():
    values = np.array([0.0, 1.0, 0.0])
    near = smooth(values, *one_video(3), sigma=2)
    far = smooth(values, np.array(["1"] * 3, dtype=object), np.array([0, 6, 12]), sigma=2)
    assert far[1] > near[1] and far[0] < near[0]


def test_an_unreliable_frame_leans_on_its_neighbours():
    values, trust = np.zeros(41), np.ones(41)
    values[20], trust[20] = 1e6, 0.0
    assert (smooth(values, *one_video(41), trust, sigma=3) == 0).all()


def test_nothing_reliable_goes_to_the_video_median_and_never_to_nan():
    values = np.array([1.0, 2.0, 9.0, 3.0, 4.0])
    for causal in (False, True):
        got = smooth(values, *one_video(5), np.zeros(5), sigma=2, causal=causal)
        assert np.isfinite(got).all()
    assert smooth(values, *one_video(5), np.zeros(5), sigma=2).tolist() == [3.0] * 5
    far = np.ones(200)
    far[100:] = 0
    got = smooth(np.linspace(0, 1, 200), *one_video(200), far, sigma=2)
    assert np.isfinite(got).all() and got[-1] == pytest.approx(0.5 * 99 / 199, abs=0.01)


def test_causal_looks_at_no_later_frame():
    rng = np.random.default_rng(2)
    values, trust = rng.normal(size=120), (rng.random(120) > 0.7).astype(float)
    whole = smooth(values, *one_video(120), trust, sigma=6, causal=True)
    for stop in (1, 2, 37, 80, 120):
        part = smooth(values[:stop], *one_video(stop), trust[:stop], sigma=6, causal=True)
        np.testing.assert_allclose(part, whole[:stop], atol=1e-12)


def test_degenerate_inputs():
    assert smooth(np.zeros(0), *one_video(0), sigma=3).shape == (0,)
    assert smooth(np.array([5.0]), *one_video(1), sigma=3).tolist() == [5.0]
    assert smooth(np.full(9, 0.1), *one_video(9), sigma=3).tolist() == [0.1] * 9
    values = np.array([1.0, 7.0, 2.0])
    assert (smooth(values, *one_video(3), sigma=0) == values).all()
    for bad in ({"sigma": -1}, {"sigma": 1, "reliability": np.array([2.0, 1, 1])}):
        with pytest.raises(ValueError, match="sigma"):
            smooth(values, *one_video(3), **bad)
    with pytest.raises(ValueError, match="finite"):
        smooth(np.array([1.0, np.nan]), *one_video(2), sigma=1)


def test_the_kernel_sums_to_one():
    assert gaussian_kernel(3).sum() == pytest.approx(1) and len(gaussian_kernel(3)) == 25
    assert gaussian_kernel(3, causal=True)[13:].sum() == 0
    assert gaussian_kernel(0).tolist() == [1.0]


def test_the_median_counts_reliability():
    assert reliable_median(np.array([1.0, 2.0, 50.0]), np.array([1.0, 1.0, 0.0])) in (1.0, 2.0)
    assert reliable_median(np.array([1.0, 2.0, 50.0]), np.zeros(3)) == 2.0
