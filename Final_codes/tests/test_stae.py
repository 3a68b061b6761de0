"""STAE: shapes, what it sees, learning, the verbs of a model, and released weights without training."""

import dataclasses

import numpy as np
import pytest
import torch
from footage import make_footage
from safetensors.torch import load_file, save

from pixelplay.autoencoders import trainer
from pixelplay.autoencoders.base import folds
from pixelplay.autoencoders.stae import STAE, STAEConfig
from pixelplay.autoencoders.windows import Clip
from pixelplay.cards import CARD, WEIGHTS, write_weights_and_card
from pixelplay.config import override
from pixelplay.errors import PixelPlayError
from pixelplay.files import read_json
from pixelplay.registry import model_class

pytestmark = pytest.mark.slow

CONFIG = override(STAEConfig.profile("smoke"), {"length": 4, "step": 1, "steps": 30, "epoch_steps": 15})


@pytest.fixture(scope="module")
def train():
    return make_footage(videos=4, frames=16, size=(32, 48), seed=1)


@pytest.fixture(scope="module")
def fitted(train, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stae")
    model = STAE(CONFIG, seed=2)
    model.fit(train, folder)
    model.save(folder / "released")
    return model, folder


def test_it_is_registered_and_every_profile_builds():
    assert model_class("stae") is STAE
    for profile in ("smoke", "lite", "full"):
        config = STAEConfig.profile(profile)
        net = STAE(config).network((32, 48))
        clip, speed = torch.zeros(1, config.length, config.channels, 32, 48), torch.zeros(1, config.length, 1, 8, 12)
        assert [tuple(part.shape) for part in net(clip, speed)] == [
            (1, 2 * config.length, config.channels, 32, 48), (1, 2 * config.length, 1, 8, 12)]
    with pytest.raises(PixelPlayError, match="length"):
        STAE(dataclasses.replace(CONFIG, length=6)).network((32, 48))


def test_windows_hold_the_past_and_as_much_future():
    model = STAE(dataclasses.replace(CONFIG, length=4, step=2))
    assert model.offsets == (-6, -4, -2, 0, 2, 4, 6, 8)
    assert len(model.target_frames) == len(model.frame_weights) == 8


def test_the_future_is_never_seen(fitted):
    model, _ = fitted
    clip = Clip(torch.rand(2, 8, 1, 32, 48), torch.rand(2, 8, 1, 8, 12))
    frames, speed = clip.frames.clone(), clip.speed.clone()
    frames[:, 4:], speed[:, 4:] = torch.rand(2, 4, 1, 32, 48), torch.rand(2, 4, 1, 8, 12)
    with torch.no_grad():
        other_frames, other_speed = clip._replace(frames=frames), clip._replace(speed=speed)
        seen, unseen_frames, unseen_speed = (model.errors(model.net, c, model.statistics).unbind(2)
                                             for c in (clip, other_frames, other_speed))
        assert torch.equal(seen[0], unseen_frames[0]), "what is expected of speed depends on the past alone"
        assert torch.equal(seen[1], unseen_speed[1])
        expected = [model.expected(model.net, c, model.statistics) for c in (clip, other_frames, other_speed)]
        assert torch.equal(expected[0], expected[1]) and torch.equal(expected[0], expected[2])


def test_training_lowers_the_loss_below_that_of_the_bare_background(train, tmp_path):
    model = STAE(dataclasses.replace(CONFIG, steps=250, epoch_steps=125, noise_p=0.0, skip_p=0.0, widths=(16, 24, 24)))
    model.fit(train, tmp_path)
    clips = model.clips(train)
    clip = clips.take(clips.windows.rows[::3])
    speed, made = model.errors(model.net, clip, model.statistics).unbind(2)
    bare = ((clip.frames - model.statistics.background) ** 2).mean(dim=2)
    assert made[:, :4].mean() < 0.9 * bare[:, :4].mean()
    assert speed[:, :4].mean() < 0.9 * (clip.speed[:, :4] ** 2).mean()


def test_scores_cover_every_frame_and_rise_where_an_odd_thing_is(fitted, tmp_path):
    model, _ = fitted
    clean = make_footage(videos=2, frames=16, size=(32, 48), seed=1, name="test")
    odd = make_footage(videos=2, frames=16, size=(32, 48), seed=1, name="test", odd=[(1, 11)])
    before, after = model.score(clean, tmp_path / "clean"), model.score(odd, tmp_path / "odd")
    assert after.values.shape == (32,) and (after.values > 0).all() and after.maps.shape[0] == 32
    rise = (after.maps.astype(np.float32) / np.maximum(before.maps, 1e-3)).max(axis=(1, 2))
    assert np.allclose(rise[:16], 1) and rise.max() > 2
    assert abs(int(rise.argmax()) - (16 + 11)) <= 4
    assert np.array_equal(model.score(odd, tmp_path / "odd").values, after.values)


def test_held_out_scores_come_from_models_that_did_not_see_the_video(fitted, train):
    model, folder = fitted
    held_out = model.held_out(train, folder)
    parts = folds(train, 2)
    assert np.array_equal(parts[0] | parts[1], np.ones(len(train), bool)) and not (parts[0] & parts[1]).any()
    for name in train.video_names():
        assert len({part[train.videos == name].all() for part in parts}) == 2
    assert (folder / "fold0" / "checkpoint.pt").exists() and (folder / "fold1" / "checkpoint.pt").exists()
    assert np.isfinite(held_out.values).all() and len(held_out.values) == len(train)


def test_one_video_is_held_out_in_halves_and_one_frame_by_itself(tmp_path):
    single = make_footage(videos=1, frames=20, size=(32, 48))
    assert [int(p.sum()) for p in folds(single, 2)] == [10, 10]
    model = STAE(dataclasses.replace(CONFIG, steps=2, epoch_steps=2))
    lone = single.select(np.arange(1))
    model.fit(lone, tmp_path)
    assert np.isfinite(model.held_out(lone, tmp_path).values).all()
    assert np.isfinite(model.score(lone, tmp_path).values).all()


def test_weights_that_are_not_what_they_should_be_are_refused(fitted, tmp_path):
    _, folder = fitted
    tensors, card = load_file(folder / "released" / WEIGHTS), read_json(folder / "released" / CARD)
    for part, words in (("net.predict", "do not fit"), ("statistics.speed", "do not describe a model")):
        short = {k: v for k, v in tensors.items() if part not in k}
        assert len(short) < len(tensors)
        write_weights_and_card(tmp_path, save(short), card)
        with pytest.raises(PixelPlayError, match=words):
            STAE.load(tmp_path)
    write_weights_and_card(tmp_path, b"not a weight file", card)
    with pytest.raises(PixelPlayError, match="cannot be read"):
        STAE.load(tmp_path)
    with pytest.raises(PixelPlayError, match="call fit"):
        STAE(CONFIG).score(make_footage(videos=1, frames=2), tmp_path)


def test_steps_alone_say_what_training_costs(tmp_path, monkeypatch):
    """Fit and the held-out models take `folds` times `steps` together, whatever the footage and the other limits."""
    taken, train = [], trainer.train

    def counted(*args, steps, **more):
        taken.append(steps)
        return train(*args, steps=steps, **more)

    monkeypatch.setattr(trainer, "train", counted)
    config = override(CONFIG, {"steps": 4, "passes": 0.01, "most_steps": 2, "folds": 2})
    model, footage = STAE(config), make_footage(videos=4, frames=12)
    model.fit(footage, tmp_path)
    model.held_out(footage, tmp_path)
    assert taken == [4, 2, 2] and sum(taken) == config.folds * config.steps
    lite = STAEConfig.profile("lite")
    assert [STAE(override(lite, {"steps": n})).planned_steps(50) for n in (1, 7, 90_000)] == [1, 7, 90_000]
    assert [STAE(lite).planned_steps(n) for n in (1, 800, 10**6)] == [1, 150, lite.most_steps]
