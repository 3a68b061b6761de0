"""Memory that does not suffice: the same training and the same scores, in smaller parts, down to one window."""

from __future__ import annotations

import dataclasses
import logging

import numpy as np
import pytest
import test_trainer
import torch
from footage import grey, make_footage
from torch import nn

from pixelplay.autoencoders import trainer
from pixelplay.autoencoders.joint import Joint
from pixelplay.autoencoders.parts import InParts
from pixelplay.autoencoders.unet import UNet
from pixelplay.autoencoders.windows import Clip
from pixelplay.errors import PixelPlayError
from pixelplay.registry import MODELS, model_class

QUAD = [name for name in MODELS if model_class(name).family == "quad"]


class Small(nn.Module):
    """A network on a device that holds `most` windows; `seen` are the batches it was given."""

    def __init__(self, net: nn.Module, most: int):
        super().__init__()
        self.net, self.most, self.seen = net, most, []

    def forward(self, *inputs):
        self.seen.append(len(inputs[0]))
        if len(inputs[0]) > self.most:
            raise torch.cuda.OutOfMemoryError("out of memory")
        return self.net(*inputs)


class SmallInBackward(torch.autograd.Function):
    """The identity; its backward pass runs out of memory above two windows."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        if len(gradient) > 2:
            raise torch.cuda.OutOfMemoryError("out of memory")
        return gradient


class Two(nn.Module):
    """Two inputs, two outputs."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 2, 3, 1, 1)

    def forward(self, a, b):
        made = self.layer(torch.cat([a, b], 1))
        return made.tanh(), made.exp()


@pytest.mark.parametrize("most", [1, 2, 3, 5, 8, None])
def test_parts_give_the_values_and_gradients_of_the_whole(most):
    torch.manual_seed(0)
    parts, a, b = InParts(Two()), torch.rand(7, 1, 6, 5), torch.rand(7, 2, 6, 5)
    parts.most = most
    whole, made = parts.net(a, b), parts(a, b)
    assert isinstance(made, tuple) and all(torch.allclose(x, y, atol=1e-6) for x, y in zip(made, whole))
    wanted, found = (torch.autograd.grad((x * y).square().mean(), parts.net.parameters()) for x, y in (whole, made))
    assert all(torch.allclose(x, y, atol=1e-6) for x, y in zip(wanted, found))
    with torch.no_grad():
        assert all(torch.allclose(x, y, atol=1e-6) for x, y in zip(parts(a, b), whole))


def test_named_outputs_keep_their_names():
    net = Joint(Joint.Config.profile("smoke")).network((32, 48))
    parts, inputs = InParts(net), (torch.rand(3, 1, 32, 48), torch.rand(3, 3, 32, 48))
    parts.most = 1
    assert torch.allclose(parts(*inputs).usual_speed, net(*inputs).usual_speed, atol=1e-6)


def test_without_memory_the_batch_is_halved_until_it_fits(caplog):
    net = Small(nn.Identity(), 3)
    parts = InParts(net, "stae")
    with torch.no_grad(), caplog.at_level(logging.WARNING):
        assert parts(torch.arange(16)).tolist() == list(range(16))
        assert net.seen == [16, 8, 4] + [2] * 8 and parts.most == 2
        net.seen.clear()
        assert parts(torch.arange(5)).tolist() == list(range(5)) and net.seen == [2, 2, 1]
    assert "stae: out of memory with 16 windows at once; going on with 8" in caplog.text
    with torch.no_grad(), pytest.raises(PixelPlayError, match=r"stae: .* does not hold a single window"):
        InParts(Small(nn.Identity(), 0), "stae")(torch.arange(4))


def test_training_in_parts_ends_in_the_weights_of_training_at_once(tmp_path):
    whole = test_trainer.train(tmp_path / "whole")
    assert whole.windows_at_once == test_trainer.CONFIG.batch == 4

    def trained(net, folder):
        return trainer.train(net, test_trainer.loss, test_trainer.clips(), test_trainer.CONFIG, folder, steps=12,
                             seed=5, key="k", title="test")

    small = trained(Small(test_trainer.network(), 1), tmp_path / "small")
    backward = trained(nn.Sequential(test_trainer.network(), Apply(SmallInBackward)), tmp_path / "backward")
    start = torch.cat([p.flatten() for p in test_trainer.network().parameters()])
    for done, at_once in ((small, 1), (backward, 2)):
        assert done.windows_at_once == at_once
        moved = (test_trainer.weights_of(whole) - start).abs().max()
        assert (test_trainer.weights_of(done) - test_trainer.weights_of(whole)).abs().max() < 1e-3 * moved
        assert np.allclose(done.curve["held_out"], whole.curve["held_out"], rtol=1e-3)


class Apply(nn.Module):
    """An autograd function as a layer."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function.apply(x)


def test_a_window_too_large_for_training_is_an_error_that_says_so(tmp_path):
    with pytest.raises(PixelPlayError, match=r"test: .* does not hold a single window"):
        trainer.train(Small(test_trainer.network(), 0), test_trainer.loss, test_trainer.clips(), test_trainer.CONFIG,
                      tmp_path, steps=2, seed=5, key="k", title="test")


def test_one_of_several_processes_does_not_start_a_step_again_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(trainer.Accelerator, "num_processes", property(lambda self: 2))
    with pytest.raises(PixelPlayError, match="test: out of memory in process 0"):
        trainer.train(Small(test_trainer.network(), 1), test_trainer.loss, test_trainer.clips(), test_trainer.CONFIG,
                      tmp_path, steps=2, seed=5, key="k", title="test")


@pytest.mark.parametrize("name", QUAD)
def test_every_autoencoder_trains_and_scores_in_parts_as_at_once(name, tmp_path, monkeypatch):
    """Fit, held-out scores and scores, on a device that holds one window; the card says so."""
    cls = model_class(name)
    config = dataclasses.replace(cls.Config.profile("smoke"), steps=3, epoch_steps=3)
    train, test = (make_footage(videos=2, frames=34, seed=s, name=n) for s, n in ((0, "train"), (1, "test")))
    whole, network = cls(config), cls.network
    whole.fit(train, tmp_path / "whole")
    monkeypatch.setattr(cls, "network", lambda self, size: Small(network(self, size), 1))
    small = cls(config)
    small.fit(train, tmp_path / "small")
    assert small.about["windows_at_once"] == 1 and whole.about["windows_at_once"] == config.batch
    assert max(small.net.seen) > 1, "it was never too much"
    one, two = (model.score(test, tmp_path / "scores").values for model in (whole, small))
    assert np.allclose(np.log(one), np.log(two), atol=0.02)


def test_unet_learns_from_a_picture_too_narrow_for_two_blocks():
    """A mask may then hide nothing of a window: nothing is to be learnt from it, and 0 / 0 is no loss."""
    model, size = UNet(UNet.Config.profile("smoke")), (192, 16)
    net, clip = model.network(size), Clip(torch.rand(1, 3, 1, *size), torch.rand(1, 3, 1, 48, 4))
    statistics, hidden = grey((1, *size)), []
    for seed in range(40):
        losses = model.loss(net, clip, clip, torch.Generator().manual_seed(seed), statistics)
        assert all(torch.isfinite(v) for v in losses.values())
        hidden.append(float(losses["hidden"].detach()))
    assert min(hidden) == 0 < max(hidden)
