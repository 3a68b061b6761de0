"""Joint: the motion target, correspondence, and how its errors become one score."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from footage import make_footage

from pixelplay.autoencoders.joint import AppearanceMotion, Found, Joint, JointConfig, frame_and_past
from pixelplay.autoencoders.windows import Clip

pytestmark = pytest.mark.slow

SMOKE = JointConfig.profile("smoke")


def clip_of(model, batch=2, size=(32, 48)):
    generator, length = torch.Generator().manual_seed(0), len(model.offsets)
    return Clip(torch.rand(batch, length, 1, *size, generator=generator),
                torch.rand(batch, length, 1, size[0] // 4, size[1] // 4, generator=generator))


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    model = Joint(SMOKE, seed=0)
    model.fit(make_footage(videos=3, frames=20, size=(64, 96), speed=1.0), tmp_path_factory.mktemp("joint"))
    return model


def test_the_motion_target_is_the_measured_speed_of_the_judged_frame_whatever_the_network_is_shown(fitted):
    """The same in training and at test: the loss takes it from the target, the score from the clip that was seen."""
    clip = clip_of(fitted)
    shown = clip._replace(frames=torch.rand_like(clip.frames))
    exact = Found(clip.frames[:, -1] - fitted.statistics.background, clip.speed[:, -1], clip.speed[:, -1])
    losses = fitted.loss(lambda *_: exact, shown, clip, torch.Generator(), fitted.statistics)
    assert losses["motion"] == losses["correspondence"] == 0 and losses["appearance"] < 1e-6
    assert fitted.errors(lambda *_: exact, clip, fitted.statistics).max() < 1e-12
    slower = exact._replace(usual_speed=clip.speed[:, -1] / 2)
    found = fitted.errors(lambda *_: slower, clip, fitted.statistics)
    assert torch.allclose(found[:, 0, :1], 0.75 * clip.speed[:, -1] ** 2)


def test_the_judged_frame_is_not_among_the_past_the_motion_code_sees():
    clip = clip_of(Joint(SMOKE), 1)
    frame, past = frame_and_past(clip, torch.zeros(1, 32, 48))
    assert torch.equal(frame, clip.frames[:, -1]) and past.shape == (1, 3, 32, 48)
    clip.frames[:, -1] = 0
    assert torch.equal(frame_and_past(clip, torch.zeros(1, 32, 48))[1], past)


@pytest.mark.parametrize("profile", ["smoke", "lite", "full"])
def test_profiles_give_the_shapes_they_say(profile):
    config = JointConfig.profile(profile)
    net = Joint(config).network((64, 96))
    found = net(torch.rand(2, config.channels, 64, 96), torch.rand(2, config.history, 64, 96))
    assert found.frame.shape == (2, config.channels, 64, 96)
    assert found.usual_speed.shape == found.next_speed.shape == (2, 1, 16, 24)


def test_usual_speed_comes_from_appearance_alone_and_next_speed_from_the_past_alone():
    torch.manual_seed(0)
    net = AppearanceMotion(1, 3, (4, 6, 8))
    frame, past = torch.rand(1, 1, 32, 48), torch.rand(1, 3, 32, 48)
    one, other = net(frame, past), net(frame, 1 - past)
    assert torch.equal(one.usual_speed, other.usual_speed) and torch.equal(one.frame, other.frame)
    assert not torch.equal(one.next_speed, other.next_speed)
    assert torch.equal(one.next_speed, net(1 - frame, past).next_speed)


def test_the_frame_decoder_has_no_skips():
    net = AppearanceMotion(1, 3, (4, 6, 8))
    for parameter in net.appearance.levels[-1].parameters():
        torch.nn.init.zeros_(parameter)
    made = [net(torch.rand(1, 1, 32, 48), torch.zeros(1, 3, 32, 48)).frame for _ in range(2)]
    assert torch.equal(*made)


def test_faster_than_normal_scores_higher(tmp_path):
    config = dataclasses.replace(SMOKE, height=64, widths=(8, 12, 16), steps=25, epoch_steps=25, batch=8, lr=3e-3,
                                 noise_p=0.0)
    model = Joint(config, seed=0)
    size = (64, 96)
    model.fit(make_footage(videos=3, frames=20, size=size, speed=0.5, blobs=4), tmp_path)
    slow, fast = (model.score(make_footage(videos=3, frames=16, size=size, seed=3, speed=v, blobs=4, name="test"),
                              tmp_path / str(v)).values for v in (0.5, 3.0))
    assert np.median(np.log(fast)) > np.median(np.log(slow)) + 0.5
