"""A finished run whose files lose bits, ends or lines: the next run names them and ends in the same submission."""

from __future__ import annotations

import logging
import shutil

import pytest
from test_files import flip, lose_last_line, truncate

from pixelplay.errors import PixelPlayError
from pixelplay.files import damaged, sealed_files
from pixelplay.flow.speed import Baselines, with_speeds
from pixelplay.fusion.stage import merge
from pixelplay.pipeline import EXTRACTION, Options, Run
from pixelplay.repair.stage import open_footage
from pixelplay.sample.dataset import make_sample
from pixelplay.two_stream.global_memory import GlobalMemory

pytestmark = pytest.mark.slow
MODELS = ("global_memory", "unet")
DAMAGES = {"a flipped bit": flip, "a lost end": truncate, "a lost line": lose_last_line}


def finish(output, sample):
    """Everything but the report; the submission's bytes."""
    run = Run(Options(data=sample, output=output, profile="smoke", models=MODELS))
    run.extract()
    for name in MODELS:
        run.model(name)
    return run.ensemble()["submission"].read_bytes()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    root = tmp_path_factory.mktemp("damaged")
    sample = make_sample(root / "sample", size="tiny")
    return root / "run", sample, finish(root / "run", sample)


@pytest.fixture
def copy(finished, tmp_path):
    return shutil.copytree(finished[0], tmp_path / "run")


def test_everything_results_depend_on_is_sealed(finished):
    names = {str(p.relative_to(finished[0] / "smoke")) for p in sealed_files(finished[0], "**")}
    kept = {str(p.relative_to(finished[0] / "smoke")) for p in finished[0].rglob("*") if p.is_file()}
    free = {n for n in kept - names if not n.endswith(".digest")}
    assert {n for n in free if "curve.csv" not in n and "key.txt" not in n} == {
        ".lock", "01_frame_extraction/layout.json", "ensemble.json", "submission.csv",
        "submission_quad_ensemble.csv", "submission_two_stream.csv"}
    assert len(names) > 40


@pytest.mark.parametrize("damage", DAMAGES)
def test_no_damage_of_any_file_goes_unnoticed(copy, damage):
    files = sealed_files(copy, "**")
    for path in files:
        DAMAGES[damage](path)
    assert damaged(files) == files


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_run_with_every_file_damaged_ends_in_the_same_submission(copy, finished, damage):
    for path in sealed_files(copy, "**"):
        DAMAGES[damage](path)
    assert finish(copy, finished[1]) == finished[2]
    assert damaged(sealed_files(copy, "**")) == []


@pytest.mark.parametrize("name", [
    f"{EXTRACTION}/videos", f"{EXTRACTION}/manifest.csv", f"{EXTRACTION}/test.speed.json",
    f"{EXTRACTION}/norms.npz", f"{EXTRACTION}/flow.npz", f"{EXTRACTION}/repair.csv",
    "scores/unet.csv", "scores/unet.train.csv", "scores/unet.json",
    "detector/global_memory/weights.safetensors"])
def test_one_damaged_file_is_named_and_made_again(copy, finished, caplog, name):
    caplog.set_level(logging.WARNING)
    path = copy / "smoke" / name
    path = sealed_files(path)[0] if path.is_dir() else path
    lose_last_line(path) if path.suffix == ".csv" else flip(path)
    assert finish(copy, finished[1]) == finished[2]
    assert f"{path} is damaged" in caplog.text
    assert damaged(sealed_files(copy, "**")) == []


@pytest.mark.parametrize(("name", "use"), [
    ("repair.csv", lambda f: open_footage(f / EXTRACTION, "test")),
    ("extraction.json", lambda f: open_footage(f / EXTRACTION, "test")),
    ("manifest.csv", lambda f: open_footage(f / EXTRACTION, "test")),
    ("test.speed.json", lambda f: with_speeds(open_footage(f / EXTRACTION, "test"), f / EXTRACTION)),
    ("norms.npz", lambda f: open_footage(f / EXTRACTION, "test")),
    ("flow.npz", lambda f: Baselines.load(f / EXTRACTION)),
    *[(f"unet.{end}", lambda f: merge(f, smoke=True)) for end in ("csv", "train.csv", "json")],
    ("card.json", lambda f: GlobalMemory.load(f / "detector/global_memory")),
])
@pytest.mark.parametrize("damage", DAMAGES)
def test_whoever_reads_a_damaged_file_says_so(copy, name, use, damage):
    folder = copy / "smoke"
    path = next(p for p in sealed_files(folder, "**") if p.name == name)
    DAMAGES[damage](path)
    with pytest.raises(PixelPlayError, match=f"{name} is damaged"):
        use(folder)


@pytest.mark.parametrize("name", ["manifest.csv", "repair.csv"])
def test_rows_are_counted_where_there_is_no_digest(copy, name):
    path = copy / "smoke" / EXTRACTION / name
    for sealed in sealed_files(path.parent):
        sealed.with_name(f".{sealed.name}.digest").unlink()
    lose_last_line(path)
    with pytest.raises(PixelPlayError, match=name):
        open_footage(path.parent, "test")
