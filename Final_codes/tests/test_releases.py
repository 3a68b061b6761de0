"""Shipped detectors: complete, whole, without pictures of a dataset's people, and still giving the scores they gave."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from footage import make_footage

import pixelplay
from pixelplay.files import read_json
from pixelplay.registry import MODELS

HOME = Path(__file__).parents[1] / "Final_models"
KNOWN = {
    "avenue": {"global_memory": 16.63, "local_memory": 0.0, "stae": 2.79, "roadmap": 0.87, "unet": 2.37,
               "joint": 2.04},
    "sample": {"global_memory": 23.1, "local_memory": 0.0, "stae": 2.56, "roadmap": 1.84, "unet": 2.09, "joint": 2.37},
    "ped2": {"global_memory": 22.94, "local_memory": 8.16, "stae": 4.32, "roadmap": 3.35, "unet": 4.18,
             "joint": 3.96},
}
"""Median raw score of a moving synthetic scene by each model; bfloat16 and float32 differ by some percent."""
LOGGED = ("stae", "roadmap", "unet", "joint")
"""Errors, which are compared by their logarithms."""


@pytest.fixture(scope="module", params=sorted(KNOWN))
def release(request):
    return pixelplay.load(HOME / request.param)


def median_score(release, name: str, folder: Path) -> float:
    test = make_footage(videos=1, frames=40, size=(192, 288), speed=1.5, blobs=4, seed=3, name="test")
    values = release.model(name).score(test, folder).values
    return float(np.median(np.log(values) if name in LOGGED else values))


def test_all_six_are_there_with_their_calibration(release):
    assert release.names == tuple(MODELS)
    assert len(release.training.ids) == release.about["training_frames"] > 500
    for name, file in release.members().items():
        assert len(file.train_values) == len(release.training.ids) and np.ptp(file.train_values) > 0, name
    assert sum(release.weights().values()) == pytest.approx(1)
    for live in (False, True):
        assert release.threshold(live=live).high > release.threshold(live=live).low


def test_no_picture_beyond_what_a_model_needs(release):
    names = {p.relative_to(release.folder).as_posix() for p in release.folder.rglob("*") if p.is_file()}
    assert names == {"detector.json", *release.about["files"]}
    ours = release.folder.name == "sample"  # the project draws it, so its actors may be shown
    assert not any(name.endswith((".jpg", ".png")) or (name.endswith("crops.npz") and not ours) for name in names)
    assert release.config("local_memory").thumbnails is ours
    assert sum(p.stat().st_size for p in release.folder.rglob("*") if p.is_file()) < 16e6


def test_a_release_says_what_made_it(release):
    assert release.profile == "lite" and not release.about["smoke"] and release.about["training_videos"]
    for name in release.names:
        made = read_json(release.folder / name / "fit.json")
        assert made["hardware"] and made["seconds"] > 0 and made["versions"]["torch"]


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_a_model_gives_its_known_score(release, name, tmp_path):
    assert median_score(release, name, tmp_path) == pytest.approx(
        KNOWN[release.folder.name][name], rel=0.05, abs=0.15)
