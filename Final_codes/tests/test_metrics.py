"""Metrics, intervals and the evaluation of score files."""

import json

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from pixelplay.errors import PixelPlayError
from pixelplay.evaluation.bootstrap import draw_videos, frame_intervals
from pixelplay.evaluation.labels import Labels, Track
from pixelplay.evaluation.metrics import (
    Ranking,
    ap_of,
    auc_of,
    average_precision,
    by_video,
    eer_of,
    macro_auc,
    per_video,
    roc_auc,
    video_auc,
)
from pixelplay.evaluation.report import Scored, evaluate


@pytest.mark.parametrize("levels", [None, 2, 5, 30])
def test_ap_and_auc_equal_scikit_learns_on_random_and_tied_scores(levels):
    rng = np.random.default_rng(levels or 0)
    for n in (2, 7, 300):
        for _ in range(20):
            labels = rng.integers(0, 2, n)
            labels[:2] = 0, 1
            scores = rng.normal(size=n) if levels is None else rng.integers(0, levels, n).astype(float)
            expected = average_precision_score(labels, scores)
            assert average_precision(labels, scores) == pytest.approx(expected, abs=1e-12)
            assert roc_auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


def test_frame_weights_equal_repeated_frames_and_scikit_learn():
    rng = np.random.default_rng(4)
    labels, scores, weights = rng.integers(0, 2, 60), rng.integers(0, 9, 60).astype(float), rng.integers(0, 4, 60)
    counts = Ranking.of(labels, scores).counts(weights)
    assert ap_of(*counts) == pytest.approx(average_precision_score(labels, scores, sample_weight=weights), abs=1e-12)
    assert auc_of(*counts) == pytest.approx(roc_auc(np.repeat(labels, weights), np.repeat(scores, weights)), abs=1e-12)


def test_shuffled_scores_give_the_base_rate_and_one_half():
    """A leak of labels into the metrics would show here."""
    rng = np.random.default_rng(0)
    videos = np.repeat([str(v) for v in range(40)], 60).astype(object)
    labels = (rng.random(2400) < 0.25).astype(int)
    scores = rng.permutation(labels + rng.normal(size=2400))
    found = frame_intervals(labels, scores, videos, draws=300)
    assert found["ap"].low <= labels.mean() <= found["ap"].high
    assert found["micro_auc"].low <= 0.5 <= found["micro_auc"].high
    assert found["macro_auc"].low <= 0.5 <= found["macro_auc"].high
    assert found["micro_auc"].high - found["micro_auc"].low < 0.1


def equal_error_rate(labels, scores):
    return eer_of(*Ranking.of(labels, scores).counts())


def test_equal_error_rate():
    assert equal_error_rate(np.array([0, 0, 1, 1]), np.array([1.0, 2, 3, 4])) == 0
    assert equal_error_rate(np.array([1, 1, 0, 0]), np.array([1.0, 2, 3, 4])) == 1
    assert equal_error_rate(np.array([0, 1, 0, 1]), np.array([1.0, 1, 1, 1])) == 0.5
    # falling scores 1 0 1 0: after one frame FPR 0, miss .5; after two FPR .5, miss .5
    assert equal_error_rate(np.array([0, 1, 0, 1]), np.array([1.0, 2, 3, 4])) == 0.5


def test_one_class_and_no_frames():
    ones, zeros, scores = np.ones(3, int), np.zeros(3, int), np.arange(3.0)
    assert np.isnan(roc_auc(ones, scores)) and np.isnan(roc_auc(zeros, scores))
    assert average_precision(ones, scores) == 1 and np.isnan(average_precision(zeros, scores))
    for bad in ((np.array([]), np.array([])), (ones, scores[:2]), (np.array([0, 2, 1]), scores),
                (ones, np.array([0, np.nan, 1]))):
        with pytest.raises(ValueError, match="labels"):
            Ranking.of(*bad)


def test_macro_auc_by_both_rules():
    videos = np.array(["a", "a", "b", "b", "c", "c"], dtype=object)
    labels, scores = np.array([0, 1, 1, 1, 1, 0]), np.array([1.0, 2, 3, 4, 5, 6])
    assert macro_auc(labels, scores, videos) == 0.5
    assert video_auc(labels[2:4], scores[2:4], "pad") == 1.0
    # video c padded: normal {-inf, 6}, anomalous {5, inf}: 3 of 4 pairs in order
    assert macro_auc(labels, scores, videos, "pad") == pytest.approx((1 + 1 + 0.75) / 3)
    assert np.isnan(macro_auc(np.ones(6, int), scores, videos))
    with pytest.raises(ValueError, match="padding"):
        video_auc(labels, scores, "guess")


def test_per_video_table_and_groups():
    videos = np.array(["b", "a", "b"], dtype=object)
    assert {k: v.tolist() for k, v in by_video(videos).items()} == {"b": [0, 2], "a": [1]}
    table = per_video(np.array([0, 1, 1]), np.array([1.0, 5, 3]), videos).set_index("video")
    assert table.loc["b", "auc"] == 1 and np.isnan(table.loc["a", "auc"]) and table.loc["a", "positives"] == 1
    assert table.loc["b", "mean_normal"] == 1 and table.loc["b", "mean_anomalous"] == 3


def test_intervals_are_of_videos_hold_the_value_and_repeat():
    rng = np.random.default_rng(1)
    videos = np.repeat(["a", "b", "c", "d", "e"], 50).astype(object)
    labels = np.tile((np.arange(50) > 30).astype(int), 5)
    scores = labels + rng.normal(size=250) + np.repeat(rng.normal(size=5), 50)
    one, two = (frame_intervals(labels, scores, videos, draws=200, seed=3) for _ in range(2))
    assert one == two
    values = {"ap": average_precision(labels, scores), "micro_auc": roc_auc(labels, scores),
              "macro_auc": macro_auc(labels, scores, videos), "eer": equal_error_rate(labels, scores)}
    for metric, i in one.items():
        assert i.value == values[metric] and i.low <= i.value <= i.high and i.draws == 200
    alone = frame_intervals(labels[:50], scores[:50], videos[:50], draws=200)
    assert np.isnan(alone["ap"].low) and alone["ap"].draws == 0
    assert (draw_videos(5, 7).sum(axis=1) == 5).all()


def test_a_bootstrap_draw_is_the_metric_of_the_drawn_videos():
    rng = np.random.default_rng(2)
    videos = np.repeat(["a", "b", "c"], 20).astype(object)
    labels, scores = rng.integers(0, 2, 60), rng.integers(0, 6, 60).astype(float)
    found = frame_intervals(labels, scores, videos, draws=1, seed=9)
    times = np.repeat(draw_videos(3, 1, 9)[0], 20)
    # with a single draw there is no interval, so draw twice and read the mean of the two
    assert found["ap"].draws == 1
    two = frame_intervals(labels, scores, videos, draws=2, seed=9)
    drawn = [average_precision(np.repeat(labels, t), np.repeat(scores, t))
             for t in (np.repeat(row, 20) for row in draw_videos(3, 2, 9))]
    assert np.quantile(drawn, [0.025, 0.975]) == pytest.approx([two["ap"].low, two["ap"].high], abs=1e-12)
    assert times.sum() == 60


def labels_of(videos):
    return Labels("by hand", "hand", {v: Track(np.arange(len(y)), np.array(y, np.uint8)) for v, y in videos.items()})


def test_evaluation_of_several_files_in_any_row_order():
    labels = labels_of({"1": [0, 0, 1, 1], "2": [0, 1]})
    ids = np.array(["1_0", "1_1", "1_2", "1_3", "2_0", "2_1"], dtype=object)
    scores = np.array([0.0, 1, 2, 3, 0.5, 9])
    found = evaluate([Scored("a", ids, scores), Scored("b", ids[::-1], scores[::-1])], labels, draws=50)
    assert found.rows["a"] == found.rows["b"] and found.rows["a"]["micro_auc"].value == 1
    about = found.as_json()
    assert about["labels"]["positives"] == 3 and about["labels"]["version"] == "by hand"
    assert about["rows"]["a"]["ap"] == 1 and "excluded" not in about["macro_auc_rule"]
    json.dumps(about, allow_nan=False)
    assert "3 anomalous of 6 frames" in found.table() and "a " in found.table()


def test_files_on_other_frames_are_refused_with_three_names():
    labels = labels_of({"1": [0, 0, 1, 1, 0, 1]})
    ids = np.array([f"1_{k}" for k in range(6)], dtype=object)
    with pytest.raises(PixelPlayError, match=r"4 Ids of a are missing \(first: 1_2, 1_3, 1_4\)"):
        evaluate([Scored("a", ids, np.arange(6.0)), Scored("b", ids[:2], np.arange(2.0))], labels)
    with pytest.raises(PixelPlayError, match="no scores"):
        evaluate([], labels)
    with pytest.raises(PixelPlayError, match="padding"):
        evaluate([Scored("a", ids, np.arange(6.0))], labels, padding="none")
