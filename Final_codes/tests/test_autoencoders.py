"""What holds for each of the four autoencoders: complete, repeatable scores, losses that add up, exact files."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from footage import make_footage

from pixelplay.autoencoders.base import Autoencoder
from pixelplay.cards import CARD
from pixelplay.config import override
from pixelplay.files import read_json
from pixelplay.registry import MODELS, model_class

pytestmark = pytest.mark.slow

FOUR = [name for name in MODELS if issubclass(model_class(name), Autoencoder)]
SIZE = (64, 96)


@pytest.fixture(scope="module", params=FOUR)
def fitted(request, tmp_path_factory):
    cls = model_class(request.param)
    model = cls(override(cls.Config.profile("smoke"), {"steps": 8, "epoch_steps": 8}), seed=0)
    model.fit(make_footage(videos=3, frames=20, size=SIZE), tmp_path_factory.mktemp(request.param))
    return model


@pytest.fixture(scope="module")
def test_footage():
    return make_footage(videos=2, frames=20, seed=5, size=SIZE, name="test")


def test_there_are_four():
    assert len(FOUR) == 4


def test_every_frame_has_a_score_that_repeats_and_depends_on_what_is_seen(fitted, test_footage, tmp_path):
    one, two = (fitted.score(test_footage, tmp_path / str(i)) for i in range(2))
    assert one.values.shape == one.filled.shape == (len(test_footage),) and len(one.maps) == len(test_footage)
    assert np.isfinite(one.values).all() and (one.values > 0).all() and np.array_equal(one.values, two.values)
    odd = make_footage(videos=2, frames=20, seed=5, size=SIZE, name="test", odd=[(1, 14)])
    seen = fitted.score(odd, tmp_path / "odd")
    assert np.array_equal(seen.values[:20], one.values[:20]), "the other video"
    rise = (seen.maps.astype(np.float32) / np.maximum(one.maps, 1e-3)).max(axis=(1, 2))
    assert rise.max() > 2 and abs(int(rise.argmax()) - (20 + 14)) <= 4


def test_the_parts_of_the_loss_add_up_and_reach_every_parameter(fitted):
    torch.manual_seed(0)
    net, clips = fitted.network(SIZE), fitted.clips(make_footage(videos=1, frames=20, size=SIZE, speed=3.0))
    clip = clips.take(clips.windows.rows[:4])
    losses = fitted.loss(net, clip, clip, torch.Generator().manual_seed(0), fitted.statistics)
    losses["total"].backward()
    assert all(torch.isfinite(v) for v in losses.values()) and len(losses) > 2
    assert losses["total"].item() == pytest.approx(sum(v.item() for k, v in losses.items() if k != "total"), rel=1e-5)
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


def test_saved_and_loaded_it_scores_the_same_to_the_bit(fitted, test_footage, tmp_path):
    fitted.save(tmp_path / "weights")
    mine = fitted.score(test_footage, tmp_path / "a")
    theirs = type(fitted).load(tmp_path / "weights").score(test_footage, tmp_path / "b")
    assert np.array_equal(mine.values, theirs.values) and np.array_equal(mine.maps, theirs.maps)
    card = read_json(tmp_path / "weights" / CARD)
    assert card["size"][0] == fitted.config.height and card["steps"] == 8
    assert card["curve"] and len(card["sha256"]) == 64


@pytest.mark.parametrize("kwargs", [dict(videos=1, frames=1), dict(videos=2, frames=3),
                                    dict(videos=2, frames=15, blobs=0, noise=0.0)])
@pytest.mark.parametrize("name", FOUR)
def test_footage_too_short_or_too_still_to_learn_from_gives_finite_scores(name, kwargs, tmp_path):
    footage, cls = make_footage(**kwargs), model_class(name)
    model = cls(dataclasses.replace(cls.Config.profile("smoke"), steps=2, epoch_steps=2), seed=0)
    model.fit(footage, tmp_path)
    scores = model.score(footage, tmp_path)
    assert len(scores.values) == len(footage) and np.isfinite(scores.values).all()
