"""Layers, losses and masks of Roadmap-lite, U-Net and Joint."""

from __future__ import annotations

import itertools

import pytest
import torch

from pixelplay.autoencoders import blocks


def noise(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", [(48, 80), (32, 32), (64, 96)])
@pytest.mark.parametrize("block", [4, 8, 12, 100])
@pytest.mark.parametrize("shift", [(0, 0), (3, 7)])
def test_masks_hide_every_pixel_exactly_once(size, block, shift):
    masks = blocks.complementary_masks(size, block, shift=shift)
    assert masks.shape == (4, 1, *size)
    assert torch.equal(masks.sum(0), torch.ones(1, *size))
    assert set(masks.unique().tolist()) <= {0.0, 1.0}


def test_dead_zone_ignores_what_is_below_the_tolerance_and_only_that():
    r = torch.tensor([-0.3, -0.1, 0.0, 0.1, 0.3])
    assert torch.allclose(blocks.dead_zone(r, 0.1), torch.tensor([0.04, 0, 0, 0, 0.04]), atol=1e-7)
    assert torch.allclose(blocks.dead_zone(r, 0.0), r ** 2)


def test_dead_zone_gradient_vanishes_inside():
    r = torch.tensor([0.05, 0.5], requires_grad=True)
    blocks.dead_zone(r, 0.1).sum().backward()
    assert r.grad[0] == 0 and r.grad[1] == pytest.approx(0.8)


def test_the_reset_gate_is_used():
    torch.manual_seed(0)
    cell, x, state = blocks.ConvGRUCell(4), noise(1, 4, 6, 6), noise(1, 4, 6, 6, seed=1)
    before = cell(x, state)
    with torch.no_grad():
        cell.gates.bias[4:] -= 20  # second half = reset gate: closed
    assert not torch.allclose(before, cell(x, state))


def test_a_closed_update_gate_keeps_the_state_and_an_open_one_replaces_it():
    torch.manual_seed(0)
    cell, x, state = blocks.ConvGRUCell(4), noise(1, 4, 6, 6), 5 + noise(1, 4, 6, 6, seed=1)
    with torch.no_grad():
        cell.gates.bias[:4] = -50
        assert torch.allclose(cell(x, state), state)
        cell.gates.bias[:4] = 50
        assert cell(x, state).abs().max() <= 1  # the candidate, a tanh


def test_the_recurrent_state_stays_float32_under_autocast():
    cell = blocks.ConvGRUCell(4)
    with torch.autocast("cpu", torch.bfloat16):
        assert cell(noise(1, 4, 6, 6), torch.zeros(1, 4, 6, 6)).dtype == torch.float32


def test_ssim_is_one_for_equal_pictures_and_less_for_others():
    a = noise(2, 1, 24, 24)
    assert torch.allclose(blocks.ssim(a, a), torch.ones(()), atol=1e-5)
    assert blocks.ssim(a, 1 - a).mean() < 0
    flat = torch.full((1, 1, 24, 24), 0.5)
    assert torch.allclose(blocks.ssim(flat, flat), torch.ones(()))


def test_gradient_loss_sees_edges_not_brightness():
    a = noise(1, 1, 16, 16)
    assert blocks.gradient_loss(a + 0.3, a) < 1e-6
    assert blocks.gradient_loss(torch.zeros_like(a), a) > 0.1


def test_charbonnier_is_zero_at_zero_and_linear_far_away():
    assert blocks.charbonnier(torch.tensor(0.0)) == 0
    assert blocks.charbonnier(torch.tensor(10.0)) == pytest.approx(10, abs=0.02)


@pytest.mark.parametrize("sigma", [0.02, 0.08, 0.15])
def test_noise_level_is_the_sigma_of_the_noise(sigma):
    ramp = torch.linspace(0.3, 0.7, 64).expand(1, 1, 64, 64)
    noisy = ramp + sigma * torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    assert float(blocks.noise_level(noisy)) == pytest.approx(sigma, rel=0.1)
    assert float(blocks.noise_level(ramp)) < 1e-5


def test_moving_weight_weighs_change_and_not_noise():
    before = torch.full((1, 1, 8, 8), 0.5)
    now = before.clone()
    now[..., :4] += 0.01
    now[..., 4:] += 0.4
    weight = blocks.moving_weight(now, before, 0.02, 4.0)
    assert torch.equal(weight[..., :4], torch.ones(1, 1, 8, 4))
    assert torch.equal(weight[..., 4:], torch.full((1, 1, 8, 4), 5.0))


def test_places_span_the_picture():
    found = blocks.places(torch.zeros(2, 1, 3, 5))
    assert found[0, 0, :, 0].tolist() == [-1, 0, 1] and found[1, 1, 0].tolist() == [-1, -0.5, 0, 0.5, 1]


def test_pyramid_halves_and_loses_nothing_at_its_entrance():
    levels = blocks.PixelPyramid(3, (8, 12, 16))(noise(2, 3, 48, 80))
    assert [tuple(x.shape) for x in levels] == [(2, 8, 12, 20), (2, 12, 6, 10), (2, 16, 3, 5)]


def test_pyramid_rounds_up_and_the_way_back_meets_every_level():
    for size in ((4, 4), (16, 16), (192, 336), (20, 52)):
        x = noise(1, 3, *size)
        levels = blocks.PixelPyramid(3, (2, 2, 2, 2, 2))(x)
        rows, columns = (side // 4 for side in size)
        for fine, coarse in itertools.pairwise(levels):
            rows, columns = -(-rows // 2), -(-columns // 2)
            assert coarse.shape[-2:] == (rows, columns) and blocks.double_size(coarse, fine).shape == fine.shape


def test_double_size_repeats_pixels_up_to_the_size_of_the_level():
    x = torch.tensor([[[[1.0, 2.0]]]])
    assert blocks.double_size(x, torch.empty(2, 4))[0, 0].tolist() == [[1, 1, 2, 2], [1, 1, 2, 2]]
    assert blocks.double_size(x, torch.empty(1, 3))[0, 0].tolist() == [[1, 1, 2]]


def test_sizes_that_fitted_are_not_touched():
    x = noise(1, 2, 48, 84)
    assert blocks.even(x) is x and torch.equal(blocks.even(x[..., 1:, :])[..., :-1, :], x[..., 1:, :])
    plain = x.repeat_interleave(2, -2).repeat_interleave(2, -1)
    assert torch.equal(blocks.double_size(x, torch.empty(96, 168)), plain)


def test_a_cells_value_is_every_pixels_and_back():
    x = torch.rand(2, 1, 3, 5)
    assert blocks.cell_places(x).shape == (2, 1, 12, 20)
    assert torch.allclose(blocks.cells(blocks.cell_places(x)), x)


def test_too_fast_weighs_more_than_too_slow():
    usual = torch.full((1, 1, 2, 2), 1.0)
    fast, slow = blocks.speed_error(usual, usual + 0.5), blocks.speed_error(usual, usual - 0.5)
    assert (fast > slow).all() and (blocks.speed_error(usual, usual) == 0).all()
