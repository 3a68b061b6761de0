"""Events: thresholds from training, hysteresis, lengths, gaps and borders."""

from __future__ import annotations

import numpy as np
import pytest

from pixelplay.fusion.events import EventStream, Threshold, find_events, reason_from_models, threshold_from_training
from pixelplay.registry import model_class

RULE = Threshold(2.0, 1.0, "")


def one_video(scores, frames=None, **kwargs):
    scores = np.asarray(scores, float)
    frames = np.arange(len(scores)) if frames is None else np.asarray(frames)
    return find_events(np.array(["v"] * len(scores)), frames, scores, RULE, **kwargs)


def test_hysteresis_keeps_one_event_through_a_dip():
    scores = np.zeros(40)
    scores[10:20] = [1.2, 2.5, 2.6, 1.5, 1.4, 1.1, 2.1, 3.0, 1.3, 1.0]
    (event,) = one_video(scores)
    assert (event.first_frame, event.last_frame, event.peak_frame, event.frames) == (10, 19, 17, 10)
    assert event.peak_score == 3.0


def test_below_the_high_threshold_nothing_is_an_event():
    scores = np.full(50, 1.9)
    assert one_video(scores) == []


def test_short_alarms_are_dropped_and_near_ones_joined():
    scores = np.zeros(100)
    scores[[10, 11]] = 5
    scores[50:56] = 3
    scores[60:66] = 4
    events = one_video(scores, min_frames=5, join=6)
    assert [(e.first_frame, e.last_frame) for e in events] == [(50, 65)]
    assert len(one_video(scores, min_frames=5, join=2)) == 2
    assert len(one_video(scores, min_frames=1, join=2)) == 3


def test_an_event_crosses_neither_a_gap_nor_a_border():
    videos = np.array(["a"] * 20 + ["b"] * 20)
    frames = np.r_[0:10, 60:70, 0:20]
    events = find_events(videos, frames, np.full(40, 3.0), RULE, max_gap=12)
    assert sorted((e.video, e.first_frame, e.last_frame) for e in events) == [("a", 0, 9), ("a", 60, 69), ("b", 0, 19)]


def test_loudest_first_and_reasons_belong_to_the_peak():
    scores = np.zeros(60)
    scores[5:15], scores[40:50] = 3.0, 4.0
    scores[44] = 6.0
    z = {"stae": scores.copy(), "unet": scores * 0.5}
    events = one_video(scores, reason=lambda row: reason_from_models(z, row))
    assert [e.peak_frame for e in events] == [44, 5]
    assert events[0].reason == f"{model_class('stae').explain} (STAE)"


@pytest.mark.parametrize("count", [0, 1, 3])
def test_degenerate_lengths(count):
    assert len(one_video(np.full(count, 9.0), min_frames=2)) == (1 if count >= 2 else 0)


def test_all_equal_training_scores_give_a_threshold_that_equal_test_scores_do_not_pass_silently():
    rule = threshold_from_training(np.ones(10))
    assert rule.high == rule.low == 1.0


@pytest.mark.parametrize("bad", [[], [np.nan, 1.0]])
def test_threshold_refuses_nothing_and_nan(bad):
    with pytest.raises(ValueError, match="training score"):
        threshold_from_training(np.array(bad))


def test_threshold_is_the_quantile_of_training_alone():
    train = np.arange(1000) / 1000
    rule = threshold_from_training(train)
    assert rule.high == pytest.approx(np.quantile(train, 0.995)) and rule.low == pytest.approx(np.quantile(train, 0.97))
    assert "99.5%" in rule.words


def test_different_lengths_are_refused():
    with pytest.raises(ValueError, match="belong together"):
        find_events(np.array(["v"]), np.arange(2), np.zeros(2), RULE)


def test_no_models_no_words():
    assert reason_from_models({}, 0) == ""


def alarms(frames, scores, *, min_frames, join, max_gap):
    """The definition, written over whole arrays: (first, last, peak frame) of each event, in time order."""
    found = []
    for part in np.split(np.arange(len(frames)), np.flatnonzero(np.diff(frames) > max_gap) + 1):
        joined = []
        for run in np.split(part, np.flatnonzero(np.diff(scores[part] >= RULE.low)) + 1):
            if scores[run].max() < RULE.high:
                continue
            if joined and frames[run[0]] - frames[joined[-1][1]] <= join:
                joined[-1] = (joined[-1][0], run[-1])
            else:
                joined.append((run[0], run[-1]))
        found += [(frames[a], frames[b], frames[a + np.argmax(scores[a:b + 1])]) for a, b in joined
                  if frames[b] - frames[a] + 1 >= min_frames]
    return found


@pytest.mark.parametrize("seed", range(20))
def test_files_and_streams_find_the_events_of_the_definition(seed):
    rng = np.random.default_rng(seed)
    frames = np.cumsum(rng.choice([1, 1, 1, 1, 2, 30], 400))
    scores = np.convolve(rng.normal(1.0, 1.5, 404), np.full(5, 0.4), mode="valid")
    rules = {"min_frames": 4, "join": 6, "max_gap": 12}
    stream, told = EventStream("v", RULE, **rules), []
    for frame, score in zip(frames.tolist(), scores.tolist()):
        told += stream.push(frame, score)
    told += stream.finish()
    assert [(e.first_frame, e.last_frame, e.peak_frame) for e in told] == alarms(frames, scores, **rules) != []
    whole = one_video(scores, frames, **rules)
    assert sorted(whole, key=lambda e: e.first_frame) == told
    assert all(scores[e.peak_row] == e.peak_score and frames[e.peak_row] == e.peak_frame for e in whole)


def test_a_stream_tells_an_alarm_while_it_lasts():
    stream = EventStream("v", RULE, min_frames=1, join=2)
    told = []
    for frame, score in enumerate([0, 1.5, 2.5, 1.2, 0.5, 0, 0, 0]):
        over = stream.push(frame, score)
        told.append((stream.alarm, len(over)))
    assert told == [(False, 0), (False, 0), (True, 0), (True, 0), (False, 0), (False, 0), (False, 1), (False, 0)]
    assert stream.finish() == []
