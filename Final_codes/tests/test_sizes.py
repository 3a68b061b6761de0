"""Frames of any size: every model in every profile learns from them and scores them, and stage 1 takes them.

Sizes are (height, width) of the source; models see the working size that stage 1 makes of it. What does not bear on
shapes is cut: one step of one or two windows, a few frames, channels an eighth of the profile's (the number of levels
is the profile's own); true widths are tried on the competition's size alone.
"""

from __future__ import annotations

import dataclasses

import cv2
import hypothesis
import numpy as np
import pytest
import torch
from footage import make_footage
from hypothesis import strategies as st
from torch import nn

from pixelplay.autoencoders.windows import WIDEST, network_size
from pixelplay.config import PROFILES, override
from pixelplay.data.extraction import working_size
from pixelplay.data.layouts import find_dataset
from pixelplay.errors import PixelPlayError
from pixelplay.flow.speed import learn_baselines, measure_speeds, with_speeds
from pixelplay.registry import MODELS, model_class
from pixelplay.repair.stage import open_footage, prepare
from pixelplay.two_stream import backbones

pytestmark = pytest.mark.slow

QUAD = [name for name in MODELS if model_class(name).family == "quad"]
MEMORIES = [name for name in MODELS if model_class(name).family == "two_stream"]
COMPETITION = (360, 640)
KNOWN = [COMPETITION, (640, 360), (720, 1280), (1080, 1920), (576, 704), (158, 238), (359, 641), (48, 64)]
EXTREME = [(1, 1), (3, 2), (1, 2000), (2000, 1), (16, 1000), (1000, 16)]
LEAST = 8
"""Pixels that a side of a frame must have."""
SIDES = st.tuples(st.integers(8, 2200), st.integers(8, 2200))


def every_known_size(test):
    """Give the test all known and extreme sizes, besides those that hypothesis draws."""
    for size in reversed(KNOWN + EXTREME):
        test = hypothesis.example(source=size)(test)
    return test


def draws(count: int):
    return hypothesis.settings(max_examples=count, deadline=None, derandomize=True, database=None,
                               suppress_health_check=list(hypothesis.HealthCheck))


def learns_and_scores(name: str, config, source: tuple[int, int], folder) -> None:
    """One step of training on the shortest footage that holds two windows, then scores of two windows."""
    cls, size = model_class(name), working_size(source)
    config = override(config, {"steps": 1, "epoch_steps": 1, "batch": 1, "precision": "float32"})
    model = cls(config)
    frames = model.offsets[-1] - model.offsets[0] + 2
    train = make_footage(videos=1, frames=frames, size=size, full_size=source)
    # speed maps have tests of their own and take most of the time here
    speeds = np.random.default_rng(0).uniform(0, 2, (frames, size[0] // 4, size[1] // 4)).astype(np.float16)
    train = dataclasses.replace(train, speeds=speeds)
    model.fit(train, folder)
    scores = model.score(dataclasses.replace(train, name="test"), folder)
    assert scores.values.shape == (frames,) and np.isfinite(scores.values).all() and (scores.values > 0).all()
    assert scores.maps.shape[0] == frames and np.isfinite(np.asarray(scores.maps, np.float32)).all()
    height, width = network_size(size, config.height)
    assert model.about["size"] == [height, width]
    clip = model.clips(train).take(model.clips(train).windows.rows[:1])
    assert model.expected(model.net, clip, model.statistics).shape[-2:] == (height, width)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", QUAD)
def test_autoencoders_take_any_size(name, profile, tmp_path_factory):
    config = model_class(name).Config.profile(profile)
    narrow = override(config, {"widths": tuple(max(2, width // 8) for width in config.widths)})

    @draws(3)
    @every_known_size
    @hypothesis.given(source=SIDES)
    def check(source):
        learns_and_scores(name, narrow, source, tmp_path_factory.mktemp("size"))

    check()


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", QUAD)
def test_autoencoders_of_true_width_take_the_competitions_size(name, profile, tmp_path):
    learns_and_scores(name, model_class(name).Config.profile(profile), COMPETITION, tmp_path)


@draws(50)
@every_known_size
@hypothesis.given(source=SIDES)
def test_networks_of_any_source_have_a_bounded_area(source):
    size = working_size(source)
    assert all(side % 16 == 0 and side >= 16 for side in size)
    for height in (32, 96, 128, 192):
        rows, columns = network_size(size, height)
        assert rows % 16 == columns % 16 == 0 and 16 <= rows <= height and 16 <= columns <= WIDEST * height


class Tiny(nn.Module):
    """Two maps of strides 8 and 16, random."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.fine, self.coarse = nn.Conv2d(3, 6, 8, 8), nn.Conv2d(6, 10, 2, 2)

    def forward(self, x):
        fine = self.fine(x)
        return [fine, self.coarse(fine)]


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", MEMORIES)
def test_memories_take_any_size(name, profile, tmp_path_factory, monkeypatch):
    monkeypatch.setitem(backbones.BACKBONES, "tiny", lambda weights, hardware: backbones.Backbone(
        "tiny", Tiny(), (("fine", 6), ("coarse", 10)), mean=(0.5,) * 3, std=(0.25,) * 3, source="test",
        hardware=hardware))
    config = override(model_class(name).Config.profile(profile), {"backbone": "tiny"})
    if name == "local_memory":
        # detectors with weights have tests of their own
        config = override(config, {"detectors": ("foreground",)})

    @draws(2)
    @every_known_size
    @hypothesis.given(source=SIDES)
    def check(source):
        folder, size = tmp_path_factory.mktemp("size"), working_size(source)
        train, test = (make_footage(videos=2, frames=4, size=size, full_size=source, seed=seed, name=split)
                       for seed, split in enumerate(("train", "test")))
        model = model_class(name)(config)
        model.fit(train, folder)
        for scores in (model.score(test, folder), model.held_out(train, folder)):
            assert scores.values.shape == (8,) and np.isfinite(scores.values).all()

    check()


@pytest.mark.parametrize("source", KNOWN + EXTREME, ids=lambda size: "{1}x{0}".format(*size))
def test_stage_one_takes_any_size(source, tmp_path):
    """Decoding, repair of noise and flips, speed maps; what is too small to show anything is refused."""
    data, frames = tmp_path / "data", 6
    for seed, (split, video) in enumerate((("training_videos", "01"), ("testing_videos", "01"))):
        footage = make_footage(videos=1, frames=frames, size=tuple(min(side, 400) for side in source), seed=seed)
        (data / split / video).mkdir(parents=True)
        for number, picture in enumerate(footage.pixels):
            picture = cv2.resize(picture, source[::-1])
            if split == "testing_videos" and number == 2:
                picture = picture[::-1]
            if split == "testing_videos" and number == 4:
                noise = np.random.default_rng(0).normal(0, 40, picture.shape)
                picture = np.clip(picture + noise, 0, 255).astype(np.uint8)
            cv2.imwrite(str(data / split / video / f"frame_{number:05d}.jpg"), picture)
    if min(source) < LEAST:
        with pytest.raises(PixelPlayError, match="{1} x {0} pixels|{0} x {1} pixels".format(*source)):
            prepare(find_dataset(data), tmp_path / "made", workers=1)
        return
    prepare(find_dataset(data), tmp_path / "made", workers=1)
    parts = [open_footage(tmp_path / "made", split, workers=1) for split in ("train", "test")]
    baselines = learn_baselines(tmp_path / "made", parts[0])
    for part in parts:
        measure_speeds(tmp_path / "made", part, baselines)
    for part in parts:
        assert len(part) == frames and part.size == working_size(source) and part.full_size == source
        assert next(iter(part.open_stream(np.array([4])))).shape == (*source, 3)
    speeds = with_speeds(parts[1], tmp_path / "made").speeds
    assert len(speeds) == frames and np.isfinite(speeds[:].astype(np.float32)).all()
