"""When a run's scores are kept and when they are made again."""

import pytest
from footage import make_footage

from pixelplay.pipeline import EXTRACTION, Options, Run


@pytest.mark.parametrize("what", ["version", "sigma"])
def test_scores_of_an_older_model_are_made_again(what, tmp_path, monkeypatch):
    run, footage = Run(Options(output=tmp_path, models=("unet", "stae"))), make_footage(1, 4)
    keys = {name: run.model_key(name, footage, footage) for name in run.models}
    assert keys == {name: run.model_key(name, footage, footage) for name in run.models}
    monkeypatch.setattr(run.models["unet"], what, getattr(run.models["unet"], what) + 1)
    assert run.model_key("unet", footage, footage) != keys["unet"]
    assert run.model_key("stae", footage, footage) == keys["stae"]


@pytest.mark.parametrize("made", ["train.speed", "test.speed"])
def test_scores_follow_what_stage_1_made_beside_the_frames(made, tmp_path):
    run, footage = Run(Options(output=tmp_path, models=("stae",))), make_footage(1, 4)
    found = [run.model_key("stae", footage, footage)]
    (tmp_path / EXTRACTION).mkdir()
    for key in ("a", "b"):
        (tmp_path / EXTRACTION / f"{made}.json").write_text(f'{{"key": "{key}"}}')
        found.append(run.model_key("stae", footage, footage))
    assert len(set(found)) == 3
