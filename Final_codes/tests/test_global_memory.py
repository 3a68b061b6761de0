"""The global stream: finds a strange frame, three banks that differ, no leak into held-out scores, safe files."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest
from footage import make_footage

from pixelplay.calibration import calibrate
from pixelplay.errors import PixelPlayError
from pixelplay.files import read_json, write_json
from pixelplay.registry import model_class
from pixelplay.two_stream import global_memory
from pixelplay.two_stream.global_memory import GlobalMemory, GlobalMemoryConfig

pytestmark = pytest.mark.slow

CONFIG = GlobalMemoryConfig(floor=12, folds=3)
ODD = [(0, 3), (0, 4), (1, 7)]


@pytest.fixture(scope="module", autouse=True)
def load_once():
    """One backbone for all models of this file: loading takes longer than what is tested."""
    original = global_memory.load_backbone
    global_memory.load_backbone = functools.cache(original)
    yield
    global_memory.load_backbone = original


@pytest.fixture(scope="module")
def train():
    return make_footage(videos=4, frames=12)


@pytest.fixture(scope="module")
def test_footage():
    return make_footage(videos=2, frames=10, odd=ODD, name="test")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("global")


@pytest.fixture(scope="module")
def fitted(train, folder):
    model = GlobalMemory(CONFIG, seed=3)
    model.fit(train, folder)
    return model


def test_it_is_registered_and_has_profiles():
    assert model_class("global_memory") is GlobalMemory
    assert GlobalMemoryConfig.profile("full").backbone == "clip-rn101"
    assert {GlobalMemoryConfig.profile(p).backbone for p in ("smoke", "lite")} == {"efficientnet-lite0"}


def test_strange_frames_score_highest(fitted, test_footage, folder):
    scores = fitted.score(test_footage, folder)
    assert scores.values.shape == (20,) and np.isfinite(scores.values).all() and not scores.filled.any()
    assert set(np.argsort(scores.values)[-3:]) == {3, 4, 17}
    assert list(scores.parts) == ["seed0", "seed1", "seed2"]


def test_banks_are_averaged_after_calibration_on_held_out_videos(fitted, train, test_footage, folder):
    scores, held_out = fitted.score(test_footage, folder), fitted.held_out(train, folder)
    z = [calibrate(held_out.parts[n], log=True, low=-100, high=100)(d) for n, d in scores.parts.items()]
    np.testing.assert_allclose(np.mean(z, axis=0), scores.values)
    # a bank whose distances are ten times as large says the same as before
    louder = dataclasses.replace(fitted.calibrations[0], centre=fitted.calibrations[0].centre + np.log(10),
                                 eps=10 * fitted.calibrations[0].eps)
    np.testing.assert_allclose(louder(10 * scores.parts["seed0"]), z[0])
    assert abs(np.median(held_out.values)) < 0.5, "normal frames lie around 0"


def test_the_banks_really_differ(fitted):
    banks = [{row.tobytes() for row in bank.vectors} for bank in fitted.banks]
    assert [len(b) for b in banks] == [12, 12, 12]
    assert len({bank.vectors[0].tobytes() for bank in fitted.banks}) > 1, "starts"
    assert banks[0] != banks[1] != banks[2] != banks[0]


def test_the_same_seed_repeats_and_another_differs(fitted, train, folder):
    def vectors(seed):
        model = GlobalMemory(CONFIG, seed=seed)
        model.fit(train, folder)
        return np.concatenate([bank.vectors for bank in model.banks])

    mine = np.concatenate([bank.vectors for bank in fitted.banks])
    assert (vectors(3) == mine).all() and not (vectors(4) == mine).all()


def test_features_are_computed_once_for_all_seeds_and_verbs(fitted, train, test_footage, folder, monkeypatch):
    def forbidden(*args, **kwargs):
        raise AssertionError("the features are there already")

    fitted.score(test_footage, folder)
    monkeypatch.setattr(type(fitted.backbone), "embed", forbidden)
    fitted.held_out(train, folder)
    fitted.score(test_footage, folder)
    GlobalMemory(dataclasses.replace(CONFIG, seeds=5), seed=9).fit(train, folder)


def test_held_out_banks_never_see_the_video_they_score(train, folder):
    """Banks that keep every frame know each training frame exactly, unless it is held out."""
    model = GlobalMemory(dataclasses.replace(CONFIG, floor=len(train), outliers=0.0, neighbours=1))
    model.fit(train, folder)
    known, held_out = model.score(train, folder), model.held_out(train, folder)
    assert known.parts.keys() == held_out.parts.keys() and len(known.parts) == 3
    for name, distances in held_out.parts.items():
        assert known.parts[name].max() < 1e-3 < distances.min() / 10


def test_save_and_load_score_the_same(fitted, test_footage, folder, tmp_path):
    fitted.save(tmp_path)
    again = GlobalMemory.load(tmp_path)
    assert again.config == CONFIG and again.seed == 3
    assert (again.score(test_footage, folder).values == fitted.score(test_footage, folder).values).all()
    card = read_json(tmp_path / "card.json")
    assert card["backbone"] == "efficientnet-lite0" and card["weights_hash"] == fitted.backbone.weights_hash
    assert all(b["vectors"] == 12 and b["radius"] > 0 for b in card["banks"])


def test_banks_of_other_weights_are_refused(fitted, test_footage, folder, tmp_path):
    fitted.save(tmp_path)
    again = GlobalMemory.load(tmp_path)
    again.about["weights_hash"] = "0123456789abcdef"
    with pytest.raises(PixelPlayError, match="banks were made with efficientnet-lite0 weights 0123456789abcdef"):
        again.score(test_footage, folder)


def test_foreign_and_damaged_files_are_named(fitted, tmp_path):
    with pytest.raises(PixelPlayError, match="holds no weights of global_memory"):
        GlobalMemory.load(tmp_path)
    fitted.save(tmp_path)
    (tmp_path / "weights.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1")
    with pytest.raises(PixelPlayError, match=r"weights\.safetensors is not the file its card describes"):
        GlobalMemory.load(tmp_path)
    write_json(tmp_path / "card.json", {"model": "stae"})
    with pytest.raises(PixelPlayError, match="describes the model 'stae'"):
        GlobalMemory.load(tmp_path)


def test_scoring_before_fitting_is_an_error(test_footage, folder):
    for verb in (GlobalMemory(CONFIG).score, GlobalMemory(CONFIG).held_out):
        with pytest.raises(PixelPlayError, match="no banks yet"):
            verb(test_footage, folder)


def test_no_training_frame_is_an_error(train, folder):
    with pytest.raises(PixelPlayError, match="no training frame"):
        GlobalMemory(CONFIG).fit(train.select(np.zeros(len(train), bool)), folder)


@pytest.mark.parametrize(("videos", "frames"), [(1, 1), (1, 2), (1, 9), (2, 1)])
def test_tiny_training_sets(videos, frames, tmp_path):
    tiny, model = make_footage(videos=videos, frames=frames), GlobalMemory(CONFIG)
    model.fit(tiny, tmp_path)
    for scores in (model.score(tiny, tmp_path), model.held_out(tiny, tmp_path)):
        assert scores.values.shape == (videos * frames,) and np.isfinite(scores.values).all()


def test_a_still_camera_gives_zero_and_not_a_failure(tmp_path):
    still, model = make_footage(videos=2, frames=4, blobs=0, noise=0), GlobalMemory(CONFIG)
    model.fit(still, tmp_path)
    np.testing.assert_allclose(model.score(still, tmp_path).values, 0.0, atol=1e-6)


def test_unreliable_frames_and_stride_keep_frames_out_of_the_banks(train, folder, monkeypatch):
    trust = np.ones(len(train), np.float32)
    trust[:24] = 0.0
    seen = []
    monkeypatch.setattr(global_memory, "greedy_coreset",
                        lambda vectors, size, **k: seen.append(len(vectors)) or _first(size))
    model = GlobalMemory(dataclasses.replace(CONFIG, stride=2, subsample=1.0, floor=4, seeds=1))
    model.fit(dataclasses.replace(train, reliability=trust), folder)
    assert seen[0] == 12


def _first(size):
    from pixelplay.two_stream.coreset import Coreset
    return Coreset(np.arange(size), 0.0)


@pytest.mark.real_data
def test_ped2_ranks_frames_better_than_chance(real_data, tmp_path):
    import pandas as pd
    from sklearn.metrics import roc_auc_score

    from pixelplay.data.extraction import extract, open_raw_footage
    from pixelplay.data.ids import canonical_id
    from pixelplay.data.layouts import find_dataset

    extract(find_dataset(real_data / "ped2"), tmp_path)
    train, test = (open_raw_footage(tmp_path, split) for split in ("train", "test"))
    train, test = train.select(np.arange(0, len(train), 25)), test.select(np.arange(0, len(test), 20))
    model = GlobalMemory(GlobalMemoryConfig.profile("lite"))
    model.fit(train, tmp_path)
    labels = pd.read_csv(real_data / "ped2" / "frame_labels.csv")
    truth = labels.set_index(labels["Id"].map(canonical_id))["label"].loc[list(test.ids)]
    assert roc_auc_score(truth, model.score(test, tmp_path).values) > 0.5
