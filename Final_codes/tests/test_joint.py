"""Joint: the motion target, correspondence, and how its three errors become one score."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from footage import make_footage

from pixelplay.autoencoders.flow import flow_speed
from pixelplay.autoencoders.joint import AppearanceMotion, Joint, JointConfig

SMOKE = JointConfig.profile("smoke")


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    model = Joint(SMOKE, seed=0)
    model.fit(make_footage(videos=3, frames=20, size=(64, 96), speed=1.0), tmp_path_factory.mktemp("joint"))
    return model


def textured(shift: float, size=(96, 144)) -> torch.Tensor:
    """(1, 1, H, W): a smooth random texture moved to the right by `shift` pixels."""
    generator = torch.Generator().manual_seed(0)
    x = torch.nn.functional.interpolate(torch.rand(1, 1, 24, 36, generator=generator), size=size, mode="bicubic")
    return torch.roll(x.clamp(0, 1), round(shift), dims=-1)


@pytest.mark.parametrize("shift", [1, 3, 6])
def test_flow_speed_is_pixels_and_is_not_rescaled(shift):
    found = flow_speed(textured(0), textured(shift))
    assert found.shape == (1, 1, 96, 144)
    assert float(found[..., 20:-20, 30:-30].median()) == pytest.approx(shift, rel=0.15)


def test_flow_of_equal_or_flat_frames_is_nothing():
    assert float(flow_speed(textured(0), textured(0)).max()) < 0.05
    flat = torch.full((2, 3, 32, 48), 0.5)
    assert float(flow_speed(flat, flat).max()) == 0


def test_the_motion_target_is_the_same_in_training_and_at_test():
    """Whatever the network is shown, the target comes from the clean judged frame and the one `span` before it."""
    model = Joint(dataclasses.replace(SMOKE, history=3, step=2, span=4))
    assert model.offsets == (-6, -4, -2, 0)
    clip = torch.rand(1, 4, 1, 32, 48, generator=torch.Generator().manual_seed(0))
    assert torch.equal(model.speed(clip), model.speed(clip.clone()))
    changed = clip.clone()
    changed[:, [0, 2]] = 0  # frames -6 and -2 are no part of it
    assert torch.equal(model.speed(changed), model.speed(clip))


def test_the_judged_frame_is_not_among_the_past_the_motion_code_sees():
    model = Joint(SMOKE)
    clip = torch.rand(1, len(model.offsets), 1, 32, 48)
    frame, past = model.frame_and_past(clip, torch.zeros(1, 32, 48))
    assert torch.equal(frame, clip[:, -1]) and past.shape == (1, 3, 32, 48)
    other = clip.clone()
    other[:, -1] = 0
    assert torch.equal(model.frame_and_past(other, torch.zeros(1, 32, 48))[1], past)


def test_a_span_that_is_no_past_frame_gets_its_own():
    model = Joint(dataclasses.replace(SMOKE, history=2, step=2, span=5))
    assert model.offsets == (-5, -4, -2, 0)
    assert model.frame_and_past(torch.rand(1, 4, 1, 32, 48), torch.zeros(1, 32, 48))[1].shape[1] == 2


@pytest.mark.parametrize("profile", ["smoke", "lite", "full"])
def test_profiles_give_the_shapes_they_say(profile):
    config = JointConfig.profile(profile)
    net = Joint(config).network((64, 96))
    found = net(torch.rand(2, config.channels, 64, 96), torch.rand(2, config.history, 64, 96))
    assert found.frame.shape == (2, config.channels, 64, 96)
    assert found.usual_speed.shape == found.next_speed.shape == (2, 1, 16, 24)
    assert found.code.shape[1] == 2 * config.widths[-1]


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


def test_every_parameter_learns(fitted):
    torch.manual_seed(0)
    net = fitted.network((32, 48))
    clip = torch.rand(2, len(fitted.offsets), 1, 32, 48)
    losses = fitted.loss(net, clip, clip, torch.Generator(), fitted.prior)
    losses["total"].backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())
    assert losses["total"].item() == pytest.approx(sum(v.item() for k, v in losses.items() if k != "total"), rel=1e-5)


def test_score_is_taken_where_the_motion_error_is_largest(fitted):
    fitted_location = fitted.prior["location"]
    patches = torch.ones(1, 3, *fitted_location.shape[-2:])
    base = float(fitted.reduce(patches)[0, 0])
    patches[0, 1, 0, 0] = 1e6  # a bad rebuilding where nothing moves oddly
    moved = patches.clone()
    moved[0, 0, -1, -1] = 50.0
    here = moved.clone()
    here[0, 1, -1, -1] = 50.0
    scores = [float(fitted.reduce(p)[0, 0]) for p in (moved, here)]
    assert scores[0] > base and scores[1] / scores[0] == pytest.approx(50 ** 0.2, rel=1e-3)


def test_faster_than_normal_scores_higher(tmp_path):
    config = dataclasses.replace(SMOKE, height=64, widths=(8, 12, 16), steps=25, epoch_steps=25, batch=8, lr=3e-3,
                                 noise_p=0.0)
    model = Joint(config, seed=0)
    size = (64, 96)
    model.fit(make_footage(videos=3, frames=20, size=size, speed=0.5, blobs=4), tmp_path)
    slow, fast = (model.score(make_footage(videos=3, frames=16, size=size, seed=3, speed=v, blobs=4, name="test"),
                              tmp_path / str(v)).values for v in (0.5, 3.0))
    assert np.median(np.log(fast)) > np.median(np.log(slow)) + 0.5


def test_scores_are_finite_complete_and_repeatable(fitted, tmp_path):
    test = make_footage(videos=2, frames=16, seed=5, size=(64, 96), name="test")
    one, two = (fitted.score(test, tmp_path / str(i)) for i in range(2))
    assert len(one.values) == len(test) and np.isfinite(one.values).all() and (one.values > 0).all()
    assert np.array_equal(one.values, two.values)


@pytest.mark.parametrize("kwargs", [dict(videos=1, frames=1), dict(videos=2, frames=3),
                                    dict(videos=2, frames=15, blobs=0, noise=0.0)])
def test_degenerate_footage_is_survived(kwargs, tmp_path):
    footage = make_footage(**kwargs)
    model = Joint(dataclasses.replace(SMOKE, steps=3, epoch_steps=3), seed=0)
    model.fit(footage, tmp_path)
    assert np.isfinite(model.score(footage, tmp_path).values).all()


def test_saved_and_loaded_it_scores_the_same(fitted, tmp_path):
    fitted.save(tmp_path / "weights")
    test = make_footage(videos=1, frames=16, seed=5, size=(64, 96), name="test")
    one = fitted.score(test, tmp_path / "a").values
    assert np.allclose(one, Joint.load(tmp_path / "weights").score(test, tmp_path / "b").values, rtol=0.1)
