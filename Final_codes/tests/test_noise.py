"""Noise: found by level and type, not in clean nor in equally noisy footage; denoising gains and keeps what moves."""

import numpy as np
import pytest
from scene import background, frame

from pixelplay.data.corruption import corrupt_frame, frame_rng, jpeg
from pixelplay.repair.denoise import Denoiser, clipped_mean, wiener_shrink
from pixelplay.repair.noise import NoiseModel, measure

SIZE = (240, 320)


def observed(frames):
    return np.stack([measure(f) for f in frames])


def clean(count=20, start=0, noise=1.0):
    return [frame(t, size=SIZE, noise=noise) for t in range(start, start + count)]


def damaged(kind, strength, count=10):
    return [jpeg(corrupt_frame(frame(900 + t, size=SIZE), kind, strength, frame_rng(t, kind))) for t in range(count)]


def psnr(a, b):
    return 10 * np.log10(255 ** 2 / ((a.astype(float) - b) ** 2).mean())


@pytest.mark.parametrize("sigma", [15, 27, 37])
def test_noise_is_found_and_measured_after_jpeg(sigma):
    model = NoiseModel.of(observed(clean()))
    seen = observed(damaged("noise", sigma))
    assert model.noisy(seen).all() and not model.impulsive(seen).any()
    assert model.sigma(seen) == pytest.approx(sigma, rel=.2)


def test_uniform_noise_counts_as_noise_and_impulses_as_impulses():
    model = NoiseModel.of(observed(clean()))
    assert model.noisy(observed(damaged("uniform", 47))).all()
    impulses = observed(damaged("impulse", .03))
    assert model.impulsive(impulses).all() and not model.noisy(impulses).any()


def test_clean_frames_and_equally_noisy_footage_are_not_flagged():
    quiet = NoiseModel.of(observed(clean()))
    seen = observed(clean(10, 500))
    assert not quiet.noisy(seen).any() and not quiet.impulsive(seen).any()
    grainy = NoiseModel.of(observed(clean(noise=12)))
    assert not grainy.noisy(observed(clean(10, 500, noise=12))).any()
    assert quiet.noisy(observed(clean(10, 500, noise=12))).all()


def test_one_training_frame_black_frames_and_tiny_frames_do_not_break_it():
    model = NoiseModel.of(observed(clean(1)))
    assert model.noisy(observed(damaged("noise", 37, 2))).all()
    black = measure(np.zeros((*SIZE, 3), np.uint8))
    assert np.isfinite(black).all() and black[0] == 0 and black[3] == 1
    assert np.isfinite(measure(np.zeros((4, 6, 3), np.uint8))).all()
    assert NoiseModel.of(black[None]).level == 0


def test_clipping_bias_is_what_simulation_says():
    rng = np.random.default_rng(0)
    for grey in (0, 10, 128, 250):
        simulated = np.clip(grey + rng.normal(0, 37, 200_000), 0, 255).mean()
        assert clipped_mean(37)[grey] == pytest.approx(simulated, abs=.3)
    assert (clipped_mean(0) == np.arange(256)).all()


@pytest.mark.parametrize("sigma", [27, 37])
def test_denoising_gains_seven_decibels_and_keeps_the_walkers(sigma):
    denoise = Denoiser(background(0, SIZE))
    gains = []
    for t in range(4):
        truth = frame(900 + t, size=SIZE)
        noisy = jpeg(corrupt_frame(truth, "noise", sigma, frame_rng(t, "n")))
        mended = denoise(noisy, sigma)
        gains.append(psnr(mended, truth) - psnr(noisy, truth))
        walker = np.abs(truth.astype(int) - background(0, SIZE)).max(-1) > 60
        contrast = np.abs(mended.astype(int) - background(0, SIZE)).max(-1)[walker].mean()
        assert contrast > .7 * np.abs(truth.astype(int) - background(0, SIZE)).max(-1)[walker].mean()
    assert np.mean(gains) > 7


def test_a_faint_newcomer_is_not_blended_into_the_background():
    picture = background(0, SIZE).copy()
    picture[100:160, 140:200] = np.clip(picture[100:160, 140:200].astype(int) + 22, 0, 255)
    noisy = jpeg(corrupt_frame(picture, "noise", 37, frame_rng(0, "f")))
    change = Denoiser(background(0, SIZE))(noisy, 37).astype(int) - background(0, SIZE)
    assert change[105:155, 145:195].mean() > 12
    assert abs(change[10:90, 10:90].mean()) < 2


def test_input_is_kept_and_shrinking_handles_tiny_and_flat_input():
    noisy = damaged("noise", 27, 1)[0]
    before = noisy.copy()
    Denoiser(background(0, SIZE))(noisy, 27)
    assert (noisy == before).all()
    assert wiener_shrink(np.ones((3, 3), np.float32)).shape == (3, 3)
    assert wiener_shrink(np.full((32, 32), 5, np.float32)) == pytest.approx(5, abs=1e-3)
