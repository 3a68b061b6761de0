"""A detector: learnt once from normal footage, it scores other footage without training, anywhere, to the bit."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from footage import make_footage

import pixelplay
from pixelplay.autoencoders.base import Autoencoder
from pixelplay.cli import main
from pixelplay.detector import Detector
from pixelplay.errors import PixelPlayError
from pixelplay.files import sha256_of
from pixelplay.fusion.events import threshold_from_training
from pixelplay.pipeline import Options, Run
from pixelplay.registry import MODELS, model_class
from pixelplay.sample.dataset import make_sample
from pixelplay.two_stream.local_memory import LocalMemory

pytestmark = pytest.mark.slow
NAMES = ("local_memory", "unet", "stae")


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A detector of the sample's training videos, which are deleted, and the sample's folder without them."""
    root = tmp_path_factory.mktemp("detector")
    sample = make_sample(root / "sample", size="tiny")
    normal = root / "normal"
    shutil.copytree(sample / "training_videos", normal)
    detector = pixelplay.fit(normal, root / "door", profile="smoke", models=NAMES)
    shutil.rmtree(normal)
    return detector, sample


def tables(folder):
    """Name -> content of every score table below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*.csv"))
            if "scores" in p.parts or p.name.startswith("submission")}


@pytest.fixture(scope="module")
def scored(fitted, tmp_path_factory):
    out = tmp_path_factory.mktemp("scored") / "run"
    result = fitted[0].score(fitted[1] / "testing_videos", out)
    return result, tables(out)


def test_the_bundle_holds_the_models_and_no_frame(fitted):
    detector, _ = fitted
    assert detector.names == tuple(m for m in MODELS if m in NAMES)
    found = {p.relative_to(detector.folder).as_posix() for p in detector.folder.rglob("*")
             if p.is_file() and not p.name.startswith(".")}
    assert found == {"detector.json", *detector.about["files"]}
    assert {"norms.npz", "training.csv", "local_memory/crops.npz", "unet/weights.safetensors"} < found
    assert not detector.folder.with_name("door.work").exists()
    assert sum(p.stat().st_size for p in detector.folder.rglob("*") if p.is_file()) < 8e6


def test_scoring_trains_nothing_and_needs_no_training_frame(fitted, scored, tmp_path, monkeypatch):
    detector, sample = fitted
    for cls, verb in ((Autoencoder, "_learn"), (LocalMemory, "fit")):
        monkeypatch.setattr(cls, verb, lambda *_, **__: pytest.fail("a finished detector was trained"))
    result = detector.score(sample / "testing_videos", tmp_path / "again")
    assert tables(tmp_path / "again") == scored[1]
    other = sorted((sample / "testing_videos").iterdir())[0]
    one = detector.score(other, tmp_path / "one")
    assert set(one.frames["video"]) == {result.frames["video"].iloc[0]}


def test_a_copied_bundle_gives_the_same_scores_to_the_bit(fitted, scored, tmp_path):
    moved = shutil.copytree(fitted[0].folder, tmp_path / "elsewhere" / "bundle",
                            ignore=shutil.ignore_patterns(".*"))  # as git or a zip file leaves it
    result = pixelplay.load(moved).score(fitted[1] / "testing_videos", tmp_path / "run")
    assert tables(result.folder) == scored[1]


def test_a_run_is_a_fit_and_a_score(fitted, scored, tmp_path):
    run = Run(Options(data=fitted[1], output=tmp_path, profile="smoke", models=NAMES))
    run.all()
    assert tables(tmp_path / "smoke") == scored[1]
    again = Detector.load(run.paths.detector)
    assert again.about["files"] | {} == {**again.about["files"]}
    for name in NAMES:
        for file in ("weights.safetensors", "train_scores.csv"):
            assert sha256_of(again.folder / name / file) == sha256_of(fitted[0].folder / name / file), (name, file)


def test_result_says_what_happened(fitted, scored, tmp_path):
    result, _ = scored
    assert set(NAMES) | {"Id", "score", "rarity", "event", "reliability"} <= set(result.frames.columns)
    file = pd.read_csv(result.submission, dtype={"Id": str})
    assert dict(zip(file["Id"], file["Predicted"])) == dict(zip(result.frames["Id"], result.frames["score"]))
    assert (result.events["rarity"].diff().dropna() <= 0).all()
    assert (result.frames["event"] >= 0).any() == bool(len(result.events))
    page = result.report(tmp_path / "page")
    assert page == tmp_path / "page" / "index.html" and "unet" in page.read_text().lower().replace("-", "")


def test_nothing_of_test_footage_is_in_a_training_key(fitted, tmp_path):
    run, train = Run(Options(output=tmp_path, profile="smoke", models=NAMES)), make_footage(1, 4, name="train")
    run.paths.detector.mkdir(parents=True)
    (run.paths.detector / "flow.npz").write_bytes(b"speeds")
    keys = {n: run.fit_key(n, train) for n in NAMES}
    other = Run(Options(output=tmp_path, profile="smoke", models=NAMES, test=tmp_path / "others", repair=False))
    assert keys == {n: other.fit_key(n, train) for n in NAMES}
    changed = Run(Options(output=tmp_path, profile="smoke", models=NAMES, settings={"unet.lr": "0.1"}))
    assert [n for n in NAMES if changed.fit_key(n, train) != keys[n]] == ["unet"]
    assert run.fit_key("unet", dataclasses.replace(train, fingerprint="other")) != keys["unet"]


def test_other_test_footage_trains_nothing_again(fitted, tmp_path, monkeypatch):
    _, sample = fitted
    shutil.copytree(sample / "training_videos", tmp_path / "train")
    videos = sorted((sample / "testing_videos").iterdir())
    for number, video in enumerate(videos[:2]):
        shutil.copytree(video, tmp_path / f"test{number}" / video.name)
    wanted = {"train": tmp_path / "train", "output": tmp_path / "out", "profile": "smoke", "models": ("unet",)}
    Run(Options(test=tmp_path / "test0", **wanted)).all()
    monkeypatch.setattr(Autoencoder, "_learn", lambda *_, **__: pytest.fail("trained again for other test footage"))
    done = Run(Options(test=tmp_path / "test1", **wanted)).all()
    assert done["submissions"]["submission"].exists()


# ---- what does not fit is said ------------------------------------------------------------------------------------

@pytest.fixture
def copy(fitted, tmp_path):
    return shutil.copytree(fitted[0].folder, tmp_path / "copy", ignore=shutil.ignore_patterns(".*"))


def test_every_file_that_is_damaged_or_missing_is_named(copy):
    for name in json.loads((copy / "detector.json").read_text())["files"]:
        whole = (copy / name).read_bytes()
        for bad in (whole[:-1] + bytes([whole[-1] ^ 1]), whole[:len(whole) // 2], None):
            (copy / name).unlink()
            if bad is not None:
                (copy / name).write_bytes(bad)
            with pytest.raises(PixelPlayError, match=name):
                pixelplay.load(copy)
            (copy / name).write_bytes(whole)
    pixelplay.load(copy)


@pytest.mark.parametrize(("change", "words"), [
    ({"bundle": 99}, "a detector of version 99"), ({"models": {"unet": 99}}, "version 99 of unet"),
    ({"models": {"nobody": 1}}, "'nobody'"), ({"files": None}, "is no detector of this version"),
])
def test_a_bundle_of_another_release_is_refused(copy, change, words):
    about = json.loads((copy / "detector.json").read_text())
    (copy / "detector.json").write_text(json.dumps(about | change))
    with pytest.raises(PixelPlayError, match=words):
        pixelplay.load(copy)


def test_mistakes_are_said(fitted, tmp_path, capsys):
    detector, sample = fitted
    with pytest.raises(PixelPlayError, match=r"holds no detector\.json"):
        pixelplay.load(tmp_path)
    with pytest.raises(PixelPlayError, match="has no model joint"):
        detector.score(sample, tmp_path / "x", models=["joint"])
    with pytest.raises(PixelPlayError, match="changes nothing"):
        Run(Options(detector=detector.folder, output=tmp_path, settings={"unet.lr": "1"}))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(PixelPlayError, match="is no detector"):
        pixelplay.fit(sample, tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").exists()
    assert main(["score", str(detector.folder), str(tmp_path / "nothing"), "--output", str(tmp_path / "y")]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_weights_and_thresholds_follow_the_models_that_take_part(fitted):
    detector, _ = fitted
    assert sum(detector.weights().values()) == pytest.approx(1)
    assert detector.weights(["unet"]) == {"unet": 1.0}
    one = detector.threshold(["unet"])
    assert one != detector.threshold() and one.high >= one.low
    values = np.arange(1000.0)
    assert threshold_from_training(values).high == pytest.approx(994.005)


def test_a_model_named_like_another_models_stage_keeps_to_its_own_folder(tmp_path, monkeypatch):
    class Net(model_class("unet")):
        name = "net"

    monkeypatch.setitem(MODELS, "net", "somewhere:Net")
    monkeypatch.setattr("pixelplay.registry.model_class", lambda name: Net if name == "net" else model_class(name))
    paths = Run(Options(output=tmp_path, models=("unet",))).paths
    net, unet = paths.work("net"), paths.work("unet")
    assert net != unet and net not in unet.parents and unet not in net.parents
