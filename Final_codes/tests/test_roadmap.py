"""Roadmap-lite: what it predicts from, what it tolerates, and that it learns."""

from __future__ import annotations

import dataclasses
import functools

import pytest
import torch
from footage import make_footage

from pixelplay.autoencoders.roadmap import TAU_HIGH, TAU_LOW, MultiPath, Roadmap, RoadmapConfig, tolerance
from pixelplay.autoencoders.windows import Clip

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    model = Roadmap(RoadmapConfig.profile("smoke"), seed=0)
    model.fit(make_footage(videos=3, frames=24), tmp_path_factory.mktemp("roadmap"))
    return model


def clip_of(model, batch=2, size=(32, 48), seed=0):
    generator, length = torch.Generator().manual_seed(seed), len(model.offsets)
    return Clip(torch.rand(batch, length, 1, *size, generator=generator),
                torch.rand(batch, length, 1, size[0] // 4, size[1] // 4, generator=generator))


def test_window_is_history_then_the_horizon_ahead():
    model = Roadmap(RoadmapConfig(history=4, step=2, horizon=4))
    assert model.offsets == (-10, -8, -6, -4, 0) and model.target_frames == (4,)


@pytest.mark.parametrize("profile", ["smoke", "lite", "full"])
def test_profiles_have_three_paths_and_give_the_shapes_they_say(profile):
    config = RoadmapConfig.profile(profile)
    assert len(config.widths) >= 3
    model = Roadmap(config)
    net, past = model.network((32, 48)), torch.rand(2, config.history, config.channels, 32, 48)
    assert [tuple(x.shape) for x in net(past)] == [(2, config.channels, 32, 48), (2, 1, 8, 12)]


def test_without_a_change_the_prediction_is_the_last_frame():
    torch.manual_seed(0)
    net, past = MultiPath(1, (4, 6, 8)), torch.rand(1, 3, 1, 32, 48)
    with torch.no_grad():
        net.head[-1].weight.zero_()
        net.head[-1].bias.zero_()
    assert torch.equal(net(past)[0], past[:, -1])


def test_every_path_and_every_past_frame_matters():
    torch.manual_seed(0)
    net = MultiPath(1, (4, 6, 8))
    past = torch.rand(1, 3, 1, 32, 48, requires_grad=True)
    frame, speed = net(past)
    ((frame - past[:, -1].detach()).square().sum() + speed.sum()).backward()
    assert (past.grad.abs().amax(dim=(0, 2, 3, 4)) > 0).all()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


def test_state_starts_anew_for_every_clip():
    torch.manual_seed(0)
    net = MultiPath(1, (4, 6, 8)).eval()
    clips = torch.rand(3, 3, 1, 32, 48)
    assert torch.allclose(net(clips)[0], torch.cat([net(c[None])[0] for c in clips]), atol=1e-5)


def test_a_perfect_prediction_scores_nothing_and_one_too_slow_or_wrong_does(fitted):
    frames = torch.full((1, len(fitted.offsets), 1, 32, 48), 0.4)
    clip = Clip(frames, torch.full((1, len(fitted.offsets), 1, 8, 12), 2.0))

    def network(speed, shade=0.0):
        return lambda past: (past[:, -1] + shade, torch.full((1, 1, 8, 12), speed))

    assert fitted.errors(network(2.0), clip, fitted.statistics).max() == 0
    motion, appearance = fitted.errors(network(1.0), clip, fitted.statistics)[0, 0]
    assert (motion == 3).all() and appearance.max() == 0
    assert fitted.errors(network(2.0, 0.3), clip, fitted.statistics)[0, 0, 1].min() > 0


def test_tolerance_lies_between_its_bounds_and_grows_with_the_clips_noise():
    noise = torch.tensor([0.0, 0.01, 1.0]).view(1, 1, 3)
    assert torch.allclose(tolerance(noise), torch.tensor([[[TAU_LOW, 0.025, TAU_HIGH]]]))
    still, generator = torch.full((1, 2, 1, 32, 48), 0.5), torch.Generator().manual_seed(0)
    noisy = still + 0.1 * torch.randn(still.shape, generator=generator)
    floor, grain = torch.full((1, 32, 48), 0.004), torch.tensor(0.004)
    assert torch.allclose(tolerance(floor, grain, still), tolerance(floor).expand(1, 1, 32, 48))
    assert tolerance(floor, grain, noisy).min() > 0.18


def test_noise_below_the_floor_costs_nothing_in_the_score(fitted):
    clip = clip_of(fitted)
    noise, replace = fitted.statistics.noise, functools.partial(dataclasses.replace, fitted.statistics)
    wide = fitted.errors(fitted.net, clip, replace(noise=torch.full_like(noise, 10.0)))
    narrow = fitted.errors(fitted.net, clip, replace(noise=torch.zeros_like(noise)))
    assert (wide[:, 0, 1] <= narrow[:, 0, 1]).all() and wide[:, 0, 1].sum() < narrow[:, 0, 1].sum()


def test_skill_is_one_for_a_network_that_copies_and_less_for_one_that_knows(fitted):
    footage = make_footage(videos=2, frames=16, speed=2.0, noise=0.0)
    clips = fitted.clips(footage)
    futures = {round(float(c.frames[0, :-1].sum()), 3): c.frames[:, -1] for c, _ in clips.batches(batch=1)}

    def copy(past):
        return past[:, -1], None

    def halfway(past):
        goals = torch.cat([futures[round(float(p.sum()), 3)] for p in past])
        return (past[:, -1] + goals) / 2, None

    assert float(fitted.after_fit(copy, clips, fitted.statistics)["skill"]) == pytest.approx(1)
    assert float(fitted.after_fit(halfway, clips, fitted.statistics)["skill"]) == pytest.approx(0.25)
