"""Calibration: raw scores become comparable by held-out training scores alone."""

import numpy as np
import pytest
from scipy.stats import rankdata

from pixelplay.calibration import Rarity, calibrate
from pixelplay.errors import PixelPlayError
from pixelplay.fusion.calibrated import calibrated
from pixelplay.fusion.scores import ScoreFile


def file(values, train=None, **about):
    ids = np.array([f"1_{k}" for k in range(len(values))], dtype=object)
    return ScoreFile("m", ids, np.asarray(values, float), None if train is None else ids[:1], train, about)


def test_robust_z_by_hand():
    found = calibrate(np.array([1.0, 2, 3, 4, 100]), log=False, low=-np.inf, high=np.inf)
    assert found.centre == 3 and found.scale == pytest.approx(1.4826)
    assert found(np.array([3.0, 4.4826])).tolist() == pytest.approx([0, 1])


def test_rarity_is_the_share_of_training_frames_and_goes_on_exponentially():
    train = np.arange(1001.0)
    found = Rarity.fit(train)(np.array([-5.0, 0, 500, 900]))
    assert found.tolist() == pytest.approx([0, 0, np.log10(2), 1])
    beyond = np.mean(train[train > 900] - 900)
    assert Rarity.fit(train)(np.array([900 + beyond * np.log(100)])) == pytest.approx(3)


def test_an_exponential_tail_is_met_where_training_frames_are_few():
    train = np.random.default_rng(0).exponential(size=20_000)
    assert Rarity.fit(train)(-np.log([1e-2, 1e-5])).tolist() == pytest.approx([2, 5], rel=0.05)


def test_errors_are_taken_by_their_logarithm():
    train = np.random.default_rng(0).lognormal(size=500)
    far = [file([1e6], train, kind=kind) for kind in ("error", "distance", "zscore", "other")]
    error, distance, zscore, other = (calibrated(f)[0][0] for f in far)
    assert error == distance < 30 < 1e4 < zscore == other


def test_the_unit_of_an_error_does_not_matter():
    train = np.random.default_rng(0).lognormal(size=500)
    test = np.random.default_rng(1).lognormal(size=50)
    a, _ = calibrated(file(test, train, kind="error"))
    b, _ = calibrated(file(test * 1e-7, train * 1e-7, kind="error"))
    np.testing.assert_allclose(a, b, atol=1e-9)


def test_equal_or_nearly_equal_training_scores_do_not_divide_by_zero():
    for train in (np.full(9, 2.0), np.append(np.full(9, 2.0), 3.0), np.zeros(9), np.array([5.0])):
        for kind in ("error", "zscore"):
            found, _ = calibrated(file([0.0, 2.0, 9.0], train, kind=kind))
            assert np.isfinite(found).all() and (np.diff(found) >= 0).all() and found[2] > found[1]
    for bad in (np.array([]), np.array([1.0, np.nan])):
        with pytest.raises(ValueError, match="training score"):
            calibrate(bad, log=True)
        with pytest.raises(ValueError, match="training score"):
            Rarity.fit(bad)


def test_one_score_does_not_depend_on_the_others():
    train, values = np.random.default_rng(0).lognormal(size=99), np.random.default_rng(1).lognormal(size=50)
    whole = calibrated(file(values, train, kind="distance"))[0]
    assert (calibrated(file(values[7:8], train, kind="distance"))[0] == whole[7:8]).all()


def test_without_training_scores_ranks_stand_in_and_are_named():
    values = np.array([1e6, 1.0, 1.0, 2.0])
    found, words = calibrated(file(values))
    assert "no training scores" in words and (rankdata(found) == rankdata(values)).all()
    assert found.max() == pytest.approx(np.log10(8))


def test_an_unknown_kind_is_a_mistake():
    with pytest.raises(PixelPlayError, match="kind is 'magic'"):
        calibrated(file([1.0, 2.0], np.array([1.0, 2.0]), kind="magic"))
