"""Scenes: told apart and recognised, what is learnt by scene and for a scene nobody knows, one scene as ever."""

import dataclasses

import cv2
import numpy as np
import pytest
import torch
from footage import make_footage

from pixelplay.autoencoders import scorer
from pixelplay.autoencoders.stae import STAE, STAEConfig
from pixelplay.autoencoders.windows import Clips
from pixelplay.data.footage import Footage
from pixelplay.flow import speed
from pixelplay.flow.speed import Baselines, cell_size, choose_baseline, measure, measure_speeds, with_speeds
from pixelplay.scenes.cameras import OWN, recognise, scene_templates
from pixelplay.scenes.medians import pixel_median

SIZE = (48, 80)
CONFIG = dataclasses.replace(STAEConfig.profile("smoke"), steps=4, epoch_steps=4, length=4, step=1)


def joined(*parts: Footage) -> Footage:
    """One footage of several cameras, each video under a name of its own."""
    names = np.concatenate([[f"{k}-{v}" for v in p.videos] for k, p in enumerate(parts)]).astype(object)
    pixels = np.concatenate([p.pixels for p in parts])
    return dataclasses.replace(
        parts[0], videos=names, pixels=pixels, rows=np.arange(len(names)), fingerprint="-".join(p.fingerprint
                                                                                               for p in parts),
        **{k: np.concatenate([getattr(p, k) for p in parts]) for k in ("frames", "reliability", "flags")},
        ids=np.array([f"{v}_{n}" for v, n in zip(names, np.concatenate([p.frames for p in parts]))], object))


def camera(number: int, **kwargs) -> Footage:
    """Footage of one of three cameras: the usual background, and turned."""
    found = make_footage(**{"videos": 2, "frames": 60, "size": SIZE, **kwargs})
    turned = (slice(None), slice(None, None, -1 if number & 1 else 1), slice(None, None, -1 if number & 2 else 1))
    return found.with_pixels(np.ascontiguousarray(found.pixels[turned]))


@pytest.fixture(scope="module")
def two() -> Footage:
    return joined(camera(0), camera(1, seed=1))


def test_cameras_are_told_apart_and_recognised_in_other_footage(two):
    templates = scene_templates(two)
    assert len(templates) == 2
    assert recognise(two, templates).tolist() == [0] * 120 + [1] * 120
    test = joined(camera(1, videos=1, frames=5, seed=7), camera(2, videos=1, frames=5), camera(0, videos=1, frames=1))
    assert recognise(test, templates).tolist() == [1] * 5 + [-1] * 5 + [0]


def test_one_scene_has_none_of_its_own():
    templates = scene_templates(camera(0))
    assert templates.shape[0] == 0
    assert (recognise(camera(0), templates) == -1).all()
    assert scene_templates(camera(0, videos=0)).shape == templates.shape
    assert len(recognise(camera(0, videos=0), templates)) == 0


def test_scenes_of_few_frames_and_of_moving_cameras_are_left_out(two):
    short = camera(2, videos=1, frames=OWN - 1)
    assert len(scene_templates(joined(camera(0), short))) == 1
    noise = np.random.default_rng(0).integers(0, 256, two.pixels[:120].shape, np.uint8)
    wild = camera(0).with_pixels(np.stack([cv2.GaussianBlur(f, (0, 0), 4) for f in noise]))
    assert len(scene_templates(joined(camera(0), wild))) == 1
    blank = joined(camera(0, videos=1, frames=3), wild.with_pixels(np.zeros_like(noise)))
    assert recognise(blank, scene_templates(two)).tolist() == [0] * 3 + [-1] * 120


def test_the_step_of_time_is_that_of_the_scene(two):
    by = Baselines.learn(two)
    assert by.steps.shape == (3,) and by.steps[2] == choose_baseline(two)
    other = dataclasses.replace(by, steps=np.array([1, 3, 5]))
    test = joined(camera(1, videos=1, frames=7, seed=7), camera(2, videos=1, frames=6), camera(0, videos=1, frames=9))
    assert other.of(test).tolist() == [3] * 7 + [5] * 6 + [1] * 9
    found = np.zeros((len(test), *cell_size(*SIZE)), np.float16)
    measure(test, other.of(test), found)
    for step in (1, 3, 5):
        rows = other.of(test) == step
        alone = np.zeros((int(rows.sum()), *cell_size(*SIZE)), np.float16)
        measure(test.select(rows), step, alone)
        assert np.array_equal(found[rows], alone) and alone.any()


def test_stage_one_measures_every_scene_by_its_own_step(two, tmp_path, monkeypatch):
    steps = {120: 4, 240: 2}  # of a part that shows one scene, of all training frames
    monkeypatch.setattr(speed, "choose_baseline", lambda footage: steps[len(footage)])
    test = joined(camera(1, videos=1, frames=7, seed=7, name="test"), camera(2, videos=1, frames=6))
    baselines = Baselines.learn(two)
    assert baselines.steps.tolist() == [4, 4, 2]
    measure_speeds(tmp_path, test, baselines)
    alone = np.zeros((len(test), *cell_size(*SIZE)), np.float16)
    measure(test, np.repeat([4, 2], [7, 6]), alone)
    assert np.array_equal(with_speeds(test, tmp_path).speeds, alone)


def test_the_step_of_one_scene_is_that_of_all_training_frames():
    train = camera(0)
    by = Baselines.learn(train)
    assert by.steps.tolist() == [choose_baseline(train)]
    assert (by.of(camera(1)) == by.steps[0]).all() and len(by.of(train)) == len(train)


@pytest.fixture(scope="module")
def fitted(two, tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    model = STAE(CONFIG)
    model.fit(two, folder)
    model.save(folder / "saved")
    return model, folder


def test_unit_and_level_are_those_of_the_scene_and_of_all_in_an_unknown_one(fitted, tmp_path):
    model, _ = fitted
    known, plain = model.statistics, STAE(CONFIG)
    for number, unit, level in ((0, 2.0, 4.0), (1, 0.5, 0.25), (2, 1.0, 1.0)):
        test = camera(number, videos=1, frames=12, seed=5)
        model.statistics = dataclasses.replace(known, scene_speed=known.speed * torch.tensor([2.0, 0.5]),
                                               scene_level=known.level * torch.tensor([[4.0], [0.25]]))
        plain.net, plain.about = model.net, model.about
        plain.statistics = dataclasses.replace(known, scenes=None, scene_baseline=None, scene_speed=None,
                                               scene_level=None, speed=known.speed * unit, level=known.level * level)
        mine, ever = (m.score(test, tmp_path) for m in (model, plain))
        assert np.array_equal(mine.values, ever.values) and np.array_equal(mine.maps, ever.maps)
        assert model.clips(test).unit.tolist() == [float(known.speed) * unit] * 12
    model.statistics = known


def test_what_is_usual_by_scene_is_saved_loaded_and_held_out(fitted, two, tmp_path):
    model, folder = fitted
    known = {k: v for k, v in model.statistics.tensors().items() if k.startswith("scene_")}
    assert {k: tuple(v.shape) for k, v in known.items()} == {
        "scene_baseline": (2,), "scene_speed": (2,), "scene_level": (2, 2 * CONFIG.length)}
    assert (known["scene_level"] > 0).all() and not torch.equal(*known["scene_level"])
    test = camera(1, videos=1, frames=12, seed=5)
    loaded = STAE.load(folder / "saved")
    assert np.array_equal(model.score(test, tmp_path).values, loaded.score(test, tmp_path).values)
    held = model.held_out(two, tmp_path)
    assert np.isfinite(held.values).all() and len(held.values) == len(two)


def test_a_model_of_one_scene_keeps_what_it_always_kept(tmp_path):
    model, train = STAE(CONFIG), camera(0, videos=2, frames=20)
    model.fit(train, tmp_path)
    assert set(model.statistics.tensors()) == {"baseline", "speed", "background", "noise", "location", "level"}
    clips = Clips(train, model.offsets, model.about["size"], 1, baseline=int(model.statistics.baseline),
                  unit=float(model.statistics.speed))
    once = scorer.score_footage(model._errors, clips, model.target_frames, model.statistics.location,
                                CONFIG.patch, levels=model.statistics.level, weights=model.frame_weights)
    assert np.array_equal(model.score(train, tmp_path).values, once.values)


def test_a_scene_has_the_mean_score_of_its_own_windows_and_the_places_of_all(two):
    clips = Clips(two, (0,), SIZE, 1)

    def errors(clip):
        return (clip.frames.mean(dim=(1, 2, 3, 4)).view(-1, 1, 1, 1, 1) + 1).expand(-1, 1, 1, *SIZE)

    location, level = scorer.usual_errors(errors, clips, 16)
    own = [scorer.usual_scores(errors, clips, 16, location, np.arange(k, k + 120)) for k in (0, 120)]
    assert torch.stack(own).mean(0).tolist() == pytest.approx(level.tolist(), rel=1e-2)
    assert scorer.usual_scores(errors, clips, 16, location, np.arange(1)).shape == (1,)


@pytest.mark.parametrize("count", [1, 4, 5])
def test_a_median_by_blocks_of_rows_is_the_median(count):
    frames = np.random.default_rng(0).integers(0, 256, (count, 70, 3, 2), np.uint8)
    assert np.array_equal(pixel_median(frames), np.median(frames, axis=0))
    lower = torch.from_numpy(frames).median(dim=0).values.numpy()
    assert np.array_equal(pixel_median(frames, np.uint8, lower=True), lower)


def test_other_pixels_have_no_speed_maps():
    found = camera(0, videos=1, frames=3)
    measured = dataclasses.replace(found, speeds=np.zeros((3, *cell_size(*SIZE)), np.float16))
    other = measured.with_pixels(found.pixels[::-1], fingerprint="turned")
    assert other.speeds is None and other.fingerprint == "turned" and np.array_equal(other.pixels, found.pixels[::-1])
