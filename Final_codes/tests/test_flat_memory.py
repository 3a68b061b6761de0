"""Scoring holds a bounded number of frames, however many there are."""

from __future__ import annotations

import numpy as np
import pytest
from footage import make_footage

from pixelplay.autoencoders.windows import Clips
from pixelplay.config import override
from pixelplay.environment import Hardware
from pixelplay.registry import MODELS, model_class
from pixelplay.two_stream import backbones, features

QUAD = [name for name in MODELS if model_class(name).family == "quad"]
SIZE = (32, 48)


@pytest.fixture(scope="module", params=QUAD)
def fitted(request, tmp_path_factory):
    """A small network after one step of training."""
    cls = model_class(request.param)
    config = cls.Config.profile("smoke")
    model = cls(override(config, {"widths": tuple(max(2, width // 8) for width in config.widths), "steps": 1,
                                  "epoch_steps": 1, "batch": 1, "height": SIZE[0], "precision": "float32"}))
    model.fit(make_footage(videos=1, frames=40, size=SIZE), tmp_path_factory.mktemp("fit"))
    return model


def test_an_autoencoder_reads_a_batch_of_windows_at_a_time(fitted, tmp_path, monkeypatch):
    real, held = Clips._read, []
    monkeypatch.setattr(Clips, "_load", lambda clips: pytest.fail("the whole footage is held"))
    monkeypatch.setattr(Clips, "_read", lambda clips, rows: held.append(len(rows)) or real(clips, rows))
    most = []
    for frames in (80, 320):
        held.clear()
        scores = fitted.score(make_footage(videos=1, frames=frames, size=SIZE), tmp_path)
        assert len(scores.values) == frames and isinstance(scores.maps, np.memmap)
        most.append(max(held))
    assert most[0] == most[1] < 80


def test_frames_that_are_embedded_are_read_a_batch_at_a_time(tmp_path):
    held = []

    class Backbone:
        name, weights_hash, dim, source, parts = "test", "", 2, "test", ()
        hardware = type("hardware", (), {"dtype": "float32"})

        def embed(self, pictures, batch_size, fit):
            batches = [np.asarray(pictures[i:i + batch_size]) for i in range(0, len(pictures), batch_size)]
            held.extend(map(len, batches))
            return np.concatenate([batch.reshape(len(batch), -1)[:, :2] for batch in batches]).astype(np.float32)

    for frames in (40, 400):
        table = features.frame_features(make_footage(videos=1, frames=frames, size=SIZE), Backbone(),
                                        tmp_path / str(frames), source="working", batch_size=16)
        assert len(table) == frames and isinstance(table, np.memmap)
    assert max(held) == 16


def test_a_forward_pass_on_a_cpu_is_small_and_gives_the_same_bits(monkeypatch):
    lite = backbones.load_backbone("efficientnet-lite0", hardware=Hardware("cpu", "float32", 1, "test", ""))
    pictures = np.random.default_rng(0).integers(0, 256, (20, 60, 40, 3), np.uint8)
    real, seen = backbones.Backbone._run, []
    monkeypatch.setattr(backbones.Backbone, "_run", lambda self, batch: seen.append(len(batch)) or real(self, batch))
    small = lite.embed(pictures, batch_size=64)
    assert seen == [16, 4]
    monkeypatch.setattr(backbones, "CPU_BATCH", 64)
    assert np.array_equal(lite.embed(pictures, batch_size=64), small) and seen[-1] == 20
