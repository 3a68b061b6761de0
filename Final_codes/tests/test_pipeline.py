"""When fitted models and scores are kept, and when they are made again."""

import dataclasses

import pytest
from footage import make_footage

from pixelplay.detector import FIT, TRAIN_SCORES
from pixelplay.errors import PixelPlayError
from pixelplay.files import write_json, write_text
from pixelplay.pipeline import Options, Run

pytestmark = pytest.mark.slow


@pytest.fixture
def run(tmp_path):
    """A run whose bundle holds something under the names of two models."""
    found = Run(Options(output=tmp_path, models=("unet", "stae")))
    write_text(found.paths.detector / "flow.npz", "speeds")
    for name in found.models:
        for file in ("card.json", TRAIN_SCORES, FIT):
            write_text(found.paths.trained(name) / file, name)
    return found


def test_a_model_of_an_older_version_is_fitted_again(run, monkeypatch):
    train = make_footage(1, 4)
    keys = {name: run.fit_key(name, train) for name in run.models}
    assert keys == {name: run.fit_key(name, train) for name in run.models}
    monkeypatch.setattr(run.models["unet"], "version", run.models["unet"].version + 1)
    assert run.fit_key("unet", train) != keys["unet"] and run.fit_key("stae", train) == keys["stae"]


def test_models_that_read_speeds_follow_how_these_are_measured(run, monkeypatch):
    train, before = make_footage(1, 4), run.fit_key("unet", make_footage(1, 4))
    monkeypatch.setattr(run.models["stae"], "reads_speed", False)
    still = run.fit_key("stae", train)
    write_text(run.paths.detector / "flow.npz", "other speeds")
    assert run.fit_key("unet", train) != before and run.fit_key("stae", train) == still


@pytest.mark.parametrize("file", ["card.json", TRAIN_SCORES])
def test_scores_follow_the_fitted_model_and_the_test_footage(run, file):
    test, found = make_footage(1, 4, name="test"), []
    for content in ("a", "b"):
        write_text(run.paths.trained("unet") / file, content)
        found.append(run.score_key("unet", test))
    found.append(run.score_key("unet", dataclasses.replace(test, fingerprint="other")))
    assert len(set(found)) == 3


def test_another_sigma_or_weight_writes_the_scores_again(run, monkeypatch):
    test = make_footage(1, 4, name="test")
    before = run.score_key("unet", test)
    for what in ("sigma", "weight"):
        monkeypatch.setattr(run.models["unet"], what, 0.123)
        assert run.score_key("unet", test) != before
        monkeypatch.undo()


def test_folders_of_another_layout_are_refused(tmp_path):
    for made in ("run.json", "01_frame_extraction/manifest.csv", "01_frame_extraction/layout.json"):
        folder = tmp_path / made.replace("/", "-")
        write_json(folder / made, {"layout": 1})
        with pytest.raises(PixelPlayError, match="holds a run of another version"):
            Run(Options(output=folder)).paths.claim()
    paths = Run(Options(output=tmp_path / "new")).paths
    paths.claim()
    paths.claim()
    paths.require_layout()
