"""Calibration: raw scores become comparable by held-out training scores alone."""

import numpy as np
import pytest
from scipy.stats import rankdata

from pixelplay.calibration import calibrate, calibrate_tail
from pixelplay.errors import PixelPlayError
from pixelplay.fusion.calibrated import KNEE, calibrated, compress
from pixelplay.fusion.scores import ScoreFile


def file(values, train=None, **about):
    ids = np.array([f"1_{k}" for k in range(len(values))], dtype=object)
    return ScoreFile("m", ids, np.asarray(values, float), None if train is None else ids[:1], train, about)


def test_robust_z_by_hand():
    found = calibrate(np.array([1.0, 2, 3, 4, 100]), log=False, low=-np.inf, high=np.inf)
    assert found.centre == 3 and found.scale == pytest.approx(1.4826)
    assert found(np.array([3.0, 4.4826])).tolist() == pytest.approx([0, 1])


def test_the_unit_of_an_error_does_not_matter():
    train = np.random.default_rng(0).lognormal(size=500)
    test = np.random.default_rng(1).lognormal(size=50)
    a, _ = calibrated(file(test, train, kind="error"))
    b, _ = calibrated(file(test * 1e-7, train * 1e-7, kind="error"))
    np.testing.assert_allclose(a, b, atol=1e-9)


def test_equal_or_nearly_equal_training_scores_do_not_divide_by_zero():
    for train in (np.full(9, 2.0), np.append(np.full(9, 2.0), 3.0), np.zeros(9), np.array([5.0])):
        for kind in ("error", "zscore"):
            z, _ = calibrated(file([0.0, 2.0, 9.0], train, kind=kind))
            assert np.isfinite(z).all() and (np.diff(z) >= 0).all() and z[2] > z[0]
    for bad in (np.array([]), np.array([1.0, np.nan])):
        with pytest.raises(ValueError, match="training score"):
            calibrate(bad, log=True)


def test_one_score_does_not_depend_on_the_others():
    train, values = np.random.default_rng(0).lognormal(size=99), np.random.default_rng(1).lognormal(size=50)
    whole = calibrated(file(values, train, kind="distance"))[0]
    assert (calibrated(file(values[7:8], train, kind="distance"))[0] == whole[7:8]).all()


def test_compression_keeps_order_and_the_middle():
    z = np.array([-1e9, -50, -3, -1, 0, 2.5, KNEE, 7, 1e3, 1e12])
    out = compress(z)
    assert (np.diff(out) > 0).all() and (out[2:7] == z[2:7]).all() and out[-1] < 150
    assert compress(np.array([KNEE + 1e-9]))[0] == pytest.approx(KNEE, abs=1e-8)


def test_without_training_scores_ranks_stand_in_and_are_named():
    values = np.array([1e6, 1.0, 1.0, 2.0])
    rarity, words = calibrated(file(values))
    assert "ranks" in words and (rankdata(rarity) == rankdata(values)).all()
    assert rarity.max() == pytest.approx(-np.log10(0.5 / 4)), "half a frame of four is as high as the highest"


def test_the_tail_share_by_hand():
    train = np.arange(1.0, 101)
    found = calibrate_tail(train, log=False)
    # 50 of 100 training scores lie above 50
    assert found(np.array([50.0]))[0] == pytest.approx(-np.log10(50.5 / 101))
    assert found(np.array([-5.0]))[0] == found(np.array([1.0]))[0] < 0.01
    # above the 95th percentile (95.05) the mean excess is that of 96 to 100, 2.95: a factor of e each 2.95
    far = found(np.array([100.0, 100.0 + found.excess * np.log(10)]))
    assert found.start == pytest.approx(95.05) and found.excess == pytest.approx(2.95)
    assert far[1] - far[0] == pytest.approx(1)
    grid = found(np.linspace(0, 300, 999))
    assert (np.diff(grid) >= 0).all() and np.isfinite(grid).all() and (grid >= 0).all()


def test_the_tail_of_few_or_equal_training_scores():
    for train in (np.array([2.0]), np.full(50, 2.0), np.array([1.0, 2.0])):
        values, words = calibrated(file([0.0, 2.0, 9.0, 1e9], train, kind="error"))
        assert np.isfinite(values).all() and (np.diff(values) >= 0).all() and values[3] > values[2] > values[0]
        assert "tail" in words
    assert np.isfinite(calibrated(file([3.0, 1.0, 2.0]))[0]).all()


def test_an_unknown_kind_is_a_mistake():
    with pytest.raises(PixelPlayError, match="kind is 'magic'"):
        calibrated(file([1.0, 2.0], np.array([1.0, 2.0]), kind="magic"))
