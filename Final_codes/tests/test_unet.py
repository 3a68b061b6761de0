"""U-Net: it must rebuild what it cannot see, and fail on what does not belong."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from footage import grey, make_footage

from pixelplay.autoencoders import blocks
from pixelplay.autoencoders.unet import InPainter, UNet, UNetConfig
from pixelplay.autoencoders.windows import Clip

pytestmark = pytest.mark.slow

SMOKE = UNetConfig.profile("smoke")


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    config = dataclasses.replace(SMOKE, channels=3, widths=(12, 16, 24), steps=80, epoch_steps=80, batch=8, lr=3e-3,
                                 noise_p=0.0)
    model = UNet(config, seed=0)
    model.fit(make_footage(videos=4, frames=24), tmp_path_factory.mktemp("unet"))
    return model


@pytest.mark.parametrize("profile", ["smoke", "lite", "full"])
def test_profiles_give_the_shapes_they_say(profile):
    config = UNetConfig.profile(profile)
    net, clip = UNet(config).network((64, 96)), torch.rand(2, 3, config.channels, 64, 96)
    made, speed = net(clip, torch.rand(2, 1, 16, 24), torch.zeros(2, 1, 64, 96))
    assert made.shape == (2, config.channels, 64, 96) and speed.shape == (2, 1, 16, 24)


def test_a_hidden_pixel_and_its_speed_do_not_reach_their_own_rebuilding():
    torch.manual_seed(0)
    net = InPainter(1, (4, 6, 8))
    clip, speed = torch.rand(1, 3, 1, 32, 48), torch.rand(1, 1, 8, 12)
    mask = blocks.complementary_masks((32, 48), 8)[:1]
    other = clip.clone()
    other[:, 1] = torch.where(mask.bool(), 1 - clip[:, 1], clip[:, 1])
    one = net(clip, speed, mask)
    two = net(other, torch.where(blocks.cells(mask).bool(), 9 * speed, speed), mask)
    assert torch.equal(one[0], two[0]) and torch.equal(one[1], two[1])


def test_no_skip_above_an_eighth():
    """Features at 1/4 of the resolution reach the output only through those at 1/8."""
    net = InPainter(1, (4, 6, 8))
    for parameter in net.pyramid.levels[1].parameters():
        torch.nn.init.zeros_(parameter)
    made = [net(torch.rand(1, 3, 1, 32, 48), torch.rand(1, 1, 8, 12), torch.zeros(1, 1, 32, 48)) for _ in range(2)]
    assert torch.equal(made[0][0], made[1][0]) and torch.equal(made[0][1], made[1][1])


def test_masks_follow_the_generator():
    model = UNet(SMOKE)
    net, clip = model.network((32, 48)), Clip(torch.rand(4, 3, 1, 32, 48), torch.rand(4, 3, 1, 8, 12))
    statistics = grey((1, 32, 48))
    generators = [torch.Generator().manual_seed(s) for s in (1, 1, 2)]
    totals = [model.loss(net, clip, clip, g, statistics)["hidden"].item() for g in generators]
    assert totals[0] == totals[1] != totals[2]


def test_it_does_not_copy_a_foreign_patch(fitted):
    """A patch from elsewhere, pasted into a frame and its neighbours alike, is not rebuilt."""
    clean = make_footage(videos=2, frames=24, seed=9, name="test")
    clips = fitted.clips(clean)
    clip = clips.take(clips.windows.rows)
    pasted = clip._replace(frames=clip.frames.clone())
    patch = clip.frames[:, :, :, :8, 8:16].flip(-1).flip(-2)
    foreign = (clip.frames[:, :, :, 16:24, 32:40] - patch).abs().mean() > 0.02
    assert foreign, "the patch is no different from what it replaces: the test would say nothing"
    pasted.frames[:, :, :, 16:24, 32:40] = patch
    made = [fitted.expected(fitted.net, c, fitted.statistics)[:, 0] for c in (pasted, clip)]
    errors = [(m - c.frames[:, 1])[..., 16:24, 32:40].square().mean() for m, c in zip(made, (pasted, clip))]
    assert errors[0] / errors[1] > 3


def test_error_maps_have_one_value_a_cell(fitted):
    clip = Clip(torch.rand(2, 3, 3, 32, 48), torch.rand(2, 3, 1, 8, 12))
    maps = fitted.errors(fitted.net, clip, fitted.statistics)
    assert maps.shape == (2, 1, 2, 8, 12) and (maps >= 0).all() and torch.isfinite(maps).all()
