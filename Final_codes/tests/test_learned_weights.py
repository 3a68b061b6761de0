"""Synthetic anomalies and the weights learned on them, with models simple enough to know what they must see."""

import argparse
import dataclasses

import learned_weights
import numpy as np
import pytest
from footage import make_footage
from learned_weights import bounded, expected_auc, hold_out, learn, learn_from_run
from sklearn.metrics import roc_auc_score
from synthetic import KINDS, UNTOUCHED, actor_tracks, inject

from pixelplay import registry
from pixelplay.autoencoders.base import folds
from pixelplay.errors import PixelPlayError
from pixelplay.files import read_json
from pixelplay.fusion.scores import write_scores
from pixelplay.model import Model, Scores


def normal_footage(videos=4, frames=60, **kwargs):
    return make_footage(videos=videos, frames=frames, size=(64, 112), blobs=1, noise=0.5, seed=3, **kwargs)


class Brightest(Model):
    """Distance of the darkest and brightest pixels from those of training: sees strange things, not strange motion."""

    name, family, stage, kind, sigma, Config = "brightest", "other", "x", "error", 1.0, type(None)
    reach = 0

    def __init__(self, config=None, *, seed=0):
        super().__init__(config, seed=seed)
        self.fits = 0

    def fit(self, train, folder):
        self.fits += 1
        self.level = np.median([f.max() for f in train.batch(np.arange(len(train)))])

    def score(self, footage, folder):
        values = np.array([abs(float(f.max()) - self.level) for f in footage.batch(np.arange(len(footage)))])
        return Scores(values + 0.1, np.zeros(len(footage), bool))

    def held_out(self, train, folder):
        return self.score(train, folder)

    def save(self, folder):
        raise NotImplementedError

    @classmethod
    def load(cls, folder):
        raise NotImplementedError


class Motion(Brightest):
    """Mean difference to the previous frame."""

    name = "motion"

    def score(self, footage, folder):
        pixels = footage.batch(np.arange(len(footage))).astype(float)
        values = np.abs(np.diff(pixels, axis=0, prepend=pixels[:1])).mean(axis=(1, 2, 3))
        return Scores(values + 0.01, np.zeros(len(footage), bool))


class Blind(Brightest):
    """Knows nothing."""

    name = "blind"

    def score(self, footage, folder):
        seed = int(footage.fingerprint, 16)
        return Scores(np.random.default_rng(seed).random(len(footage)) + 0.1, np.zeros(len(footage), bool))


def test_injection_changes_the_labelled_frames_and_no_unedited_one():
    normal = normal_footage()
    made = inject(normal, np.random.default_rng(0))
    before, after = (f.batch(np.arange(len(f))) for f in (normal, made.footage))
    changed = np.array([(a != b).any() for a, b in zip(before, after)])
    assert (made.labels == [k not in ("", UNTOUCHED) for k in made.kinds]).all()
    assert not changed[made.kinds == ""].any()
    assert changed[made.labels == 1].mean() > 0.8
    assert 0.1 < made.labels.mean() < 0.6 and UNTOUCHED in made.kinds
    assert made.footage.ids.tolist() == normal.ids.tolist() and made.footage.fingerprint != normal.fingerprint


def test_injected_footage_does_not_keep_the_speeds_of_the_frames_it_replaces():
    normal = normal_footage()
    measured = dataclasses.replace(normal, speeds=np.zeros((len(normal), 16, 28), np.float16))
    assert inject(measured, np.random.default_rng(0)).footage.speeds is None


def test_the_same_seed_gives_the_same_anomalies_and_another_seed_others():
    normal = normal_footage()
    a, b, c = (inject(normal, np.random.default_rng(s)) for s in (1, 1, 2))
    assert (a.footage.pixels == b.footage.pixels).all() and a.footage.fingerprint == b.footage.fingerprint
    assert a.footage.fingerprint != c.footage.fingerprint


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_alone(kind):
    made = inject(normal_footage(), np.random.default_rng(0), kinds=[kind])
    assert set(made.kinds) <= {"", kind, UNTOUCHED} and (made.kinds == kind).any()


def test_an_untouched_actor_stays_nearly_as_it_was():
    normal = normal_footage()
    made = inject(normal, np.random.default_rng(0))
    at = np.flatnonzero(made.kinds == UNTOUCHED)
    off = np.abs(made.footage.batch(at).astype(float) - normal.batch(at)).mean()
    strange = np.flatnonzero(np.isin(made.kinds, ["flip", "scale", "paste", "freeze"]))
    assert off < 0.2 * np.abs(made.footage.batch(strange).astype(float) - normal.batch(strange)).mean()


def test_full_size_frames_carry_the_same_edits():
    normal = normal_footage(full_size=(128, 224))
    made = inject(normal, np.random.default_rng(0))
    some = np.sort(np.random.default_rng(1).choice(len(normal), 60, replace=False))
    for position, frame in made.footage.full_frames(some):
        plain = next(x for _, x in normal.full_frames(np.array([position])))
        assert frame.shape == (128, 224, 3) and frame.dtype == np.uint8
        if made.kinds[position] == "":
            assert (frame == plain).all()
        small = frame.reshape(64, 2, 112, 2, 3).mean(axis=(1, 3))
        assert np.abs(small - made.footage.batch(np.array([position]))[0]).mean() < 2.0
    part = made.footage.of_videos(made.footage.video_names()[1:2])
    assert len(list(part.full_frames())) == len(part)


def test_footage_where_nothing_moves_is_refused():
    still = make_footage(videos=2, frames=40, blobs=0, noise=0.0)
    with pytest.raises(PixelPlayError, match="nothing moves"):
        inject(still, np.random.default_rng(0))
    with pytest.raises(PixelPlayError, match="no synthetic anomaly explosion"):
        inject(still, np.random.default_rng(0), kinds=["explosion"])


def test_tracks_do_not_cross_gaps_or_videos():
    normal = normal_footage(gaps=[(0, 30)])
    backgrounds = {v: np.median(normal.of_videos([v]).batch(np.arange(60)), axis=0) for v in normal.video_names()}
    for positions, boxes in actor_tracks(normal, backgrounds):
        assert (np.diff(normal.frames[positions]) == 1).all() and len(set(normal.videos[positions])) == 1
        assert boxes.shape == (len(positions), 4) and (boxes[:, 2:] > boxes[:, :2]).all()


def test_weights_go_to_who_sees_and_disagrees(tmp_path):
    made = {n: cls for n, cls in (("motion", Motion), ("blind", Blind), ("brightest", Brightest))}
    makers = {n: (lambda c=cls: c()) for n, cls in made.items()}
    found = learn(normal_footage(videos=8, frames=120), makers, tmp_path, rounds=2)
    table = found.table.set_index("model")
    assert abs(table.loc["motion", "auc_untouched"] - 0.5) < 0.1
    assert table.loc["motion", "auc"] > 0.55 and found.weights["motion"] > found.weights["blind"]
    assert found.weights["blind"] <= 0.25 and sum(found.weights.values()) == pytest.approx(1)
    assert read_json(tmp_path / "weights.json")["weights"] == found.weights


def test_a_finished_model_is_not_learnt_again(tmp_path):
    model = Motion()
    first = learn(normal_footage(), {"motion": lambda: model}, tmp_path, rounds=1)
    again = learn(normal_footage(), {"motion": lambda: model}, tmp_path, rounds=1)
    assert model.fits == 1 and (first.synthetic["motion"] == again.synthetic["motion"]).all()
    learn(normal_footage(), {"motion": lambda: model}, tmp_path, rounds=1, kinds=["paste"])
    assert model.fits == 2


def test_what_a_run_has_trained_is_used_again(tmp_path):
    class Folded(Motion):
        def without_fold(self, train, number, folder):
            seen.append((train.video_names(), number, folder))
            return self

    seen, model = [], Folded(argparse.Namespace(folds=2))
    learn(normal_footage(), {"motion": lambda: model}, tmp_path / "a", rounds=1, trained={"motion": tmp_path})
    assert seen == [(["1", "2", "3", "4"], 0, tmp_path)] and model.fits == 0
    # three folds leave out other videos than are scored here
    learn(normal_footage(), {"motion": lambda: Folded(argparse.Namespace(folds=3))}, tmp_path / "b", rounds=1,
          trained={"motion": tmp_path})
    assert len(seen) == 1
    # the first fold of an autoencoder is what is held out here
    footage = make_footage(videos=5, frames=2)
    assert footage.videos[folds(footage, 2)[0]].tolist() == hold_out(footage)[0].videos.tolist()


@dataclasses.dataclass(frozen=True)
class Settings:
    folds: int = 2
    gain: float = 1.0

    @classmethod
    def profile(cls, name):
        return cls(gain={"lite": 2.0}[name])


class Configured(Motion):
    Config, stage = Settings, "03_motion"

    def without_fold(self, train, number, folder):
        Configured.seen = (self.config, self.seed, folder)
        return self


def test_weights_are_learned_from_a_run(tmp_path, monkeypatch):
    monkeypatch.setattr(learned_weights, "MODELS", {"motion": "", "blind": ""})
    for place in (learned_weights, registry):
        monkeypatch.setattr(place, "model_class", {"motion": Configured, "blind": Configured}.get)
    monkeypatch.setattr(learned_weights, "open_footage", lambda folder, split: normal_footage())
    scores, folder = tmp_path / "scores", tmp_path / "state"
    with pytest.raises(PixelPlayError, match="no score file of a model of ours"):
        learn_from_run(tmp_path, folder)
    ids = normal_footage().ids
    write_scores(scores, "motion", ids, np.arange(len(ids)) + 1.0, about={
        "profile": "lite", "config": {"folds": 2, "gain": 3.0}, "seed": 5, "kind": "error", "family": "quad"})
    found = learn_from_run(tmp_path, folder, rounds=1, changes={"motion": {"gain": "4"}})
    assert Configured.seen == (Settings(2, 4.0), 5, tmp_path / "03_motion" / "motion")
    assert found.weights == {"motion": 1.0}
    assert read_json(folder / "weights.json")["weights"] == {"motion": 1.0}


def test_holding_out():
    held, rest = hold_out(make_footage(videos=9, frames=2))
    assert held.video_names() == ["1", "3", "5", "7", "9"] and rest.video_names() == ["2", "4", "6", "8"]
    # whole videos up to a number of frames, at least one; the other held-out ones are not learned from
    held, rest = hold_out(make_footage(videos=9, frames=2), 5)
    assert held.video_names() == ["1", "3"] and rest.video_names() == ["2", "4", "6", "8"]
    assert hold_out(make_footage(videos=2, frames=2), 1)[0].video_names() == ["1"]
    with pytest.raises(PixelPlayError, match="1 training video"):
        hold_out(make_footage(videos=1, frames=2))


def test_bounds_of_weights():
    assert bounded(np.array([1.0])).tolist() == [1.0]
    assert bounded(np.zeros(4)).tolist() == [0.25] * 4
    weights = bounded(np.array([100.0, 1.0, 1.0, 0.0]), cap=0.5)
    assert weights[0] == pytest.approx(0.5) and weights[3] == pytest.approx(0.05) and weights.sum() == pytest.approx(1)
    assert bounded(np.array([3.0, 1.0]), cap=0.5).tolist() == pytest.approx([0.5, 0.5])
    assert bounded(np.array([2.0, 1.0, 1.0])).tolist() == pytest.approx([0.5, 0.25, 0.25])
    assert bounded(np.arange(40.0)).sum() == pytest.approx(1)


def test_the_expected_auc_is_that_of_the_moved_normal_scores():
    rng = np.random.default_rng(0)
    normal = rng.integers(0, 9, 30).astype(float)
    for rise in (0.0, 1.0, -2.0, 0.5):
        labels, scores = [0] * 30 + [1] * 30, np.concatenate([normal, normal + rise])
        assert expected_auc(normal, np.array([rise])) == pytest.approx(roc_auc_score(labels, scores))
    assert expected_auc(normal, np.array([0.0, 100.0])) == pytest.approx(0.75)
    assert np.isnan(expected_auc(normal, np.zeros(0)))
