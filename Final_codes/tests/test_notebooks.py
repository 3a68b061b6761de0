"""The notebooks: committed files match their sources, Kaggle metadata is valid, all run as on Kaggle."""

from __future__ import annotations

import ast
import json
import logging
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from kaggle_folder import REPOSITORY, contents, make_kaggle, set_writable

import pixelplay
from pixelplay import environment, notebook
from pixelplay.data.manifest import Manifest
from pixelplay.errors import PixelPlayError
from pixelplay.fusion.scores import read_scores
from pixelplay.registry import MODELS, model_class
from pixelplay.two_stream.actor_files import read_actors
from pixelplay.two_stream.local_memory import LocalMemory
from pixelplay.visual.one_crop import score_of_crop
from pixelplay.visual.run_folder import RunFolder

NOTEBOOKS = REPOSITORY / "Final_codes"
sys.path.insert(0, str(NOTEBOOKS / "notebook_sources"))

import build  # noqa: E402  lies beside the sources

STEMS = [s.stem for s in build.sources()]
QUICKSTART, STAGES = STEMS[0], STEMS[1:]
ABSOLUTE = re.compile(r"(?<![\w.:/<~\\-])/(?!kaggle/)[a-z][\w.-]*/[\w.-]")
"""A path from the root of a file system, other than Kaggle's."""


def committed(stem: str) -> nbformat.NotebookNode:
    """The notebook as it lies in the repository."""
    return nbformat.read(NOTEBOOKS / f"{stem}.ipynb", as_version=4)


def code_cells(book: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """Cells that run."""
    return [c for c in book.cells if c["cell_type"] == "code"]


def shown(book: nbformat.NotebookNode) -> list[str]:
    """Every text a reader sees in the outputs."""
    texts = []
    for cell in code_cells(book):
        for output in cell["outputs"]:
            texts.append(output.get("text", ""))
            texts += ["".join(v) for k, v in output.get("data", {}).items() if k.startswith("text/")]
    return texts


def test_there_is_a_quickstart_and_one_a_stage_with_one_source_each():
    assert [s[:2] for s in STEMS] == ["00", "01", "02", "03", "04", "05", "06", "07"]
    assert sorted(p.stem for p in NOTEBOOKS.glob("*.ipynb")) == STEMS
    assert {model_class(m).stage for m in MODELS} <= set(STEMS)


@pytest.mark.parametrize("stem", STEMS)
def test_committed_notebook_is_made_from_its_source(stem):
    made, there = build.make(NOTEBOOKS / "notebook_sources" / f"{stem}.py"), committed(stem)
    nbformat.validate(there)
    wanted = [(c["id"], c["cell_type"], c["source"], c["metadata"].get("tags")) for c in made.cells]
    found = [(c["id"], c["cell_type"], c["source"], c["metadata"].get("tags")) for c in there.cells]
    assert found == wanted, "run `make notebooks`"
    assert len({c["id"] for c in there.cells}) == len(there.cells)


@pytest.mark.parametrize("stem", STEMS)
def test_committed_notebook_is_executed_and_small(stem):
    book = committed(stem)
    assert (NOTEBOOKS / f"{stem}.ipynb").stat().st_size < build.LARGEST
    counts = [c["execution_count"] for c in code_cells(book)]
    assert counts == list(range(1, len(counts) + 1)), "not executed in one go from the top"
    outputs = [o for c in code_cells(book) for o in c["outputs"]]
    assert not [o for o in outputs if o["output_type"] == "error"]
    pictures = [o for o in outputs if {"image/png", "image/jpeg"} & set(o.get("data", {}))]
    assert pictures, "nothing to look at"
    assert not [t for t in shown(book) for _ in ABSOLUTE.finditer(t)]
    assert not any("smoke      True" in t for t in shown(book))


def test_absolute_paths_are_recognised():
    for folder in (Path.home(), Path(tempfile.gettempdir()), Path(sys.prefix)):
        bad = f"saved to {folder / 'x.csv'}, {folder!r}"
        assert ABSOLUTE.search(bad), bad
    for good in ("outputs/scores/x.csv", "/kaggle/working/x.csv", "https://doi.org/10/x", "</td></tr>", "AP/AUC/F1"):
        assert not ABSOLUTE.search(good), good


@pytest.mark.parametrize("stem", STEMS)
def test_sources_parse_and_their_pictures_and_links_are_there(stem):
    book = build.make(NOTEBOOKS / "notebook_sources" / f"{stem}.py")
    for cell in code_cells(book):
        ast.parse(cell["source"])
    words = "\n".join(c["source"] for c in book.cells if c["cell_type"] == "markdown")
    found = re.findall(r"\]\((?!https?:)([^)]+)\)", words)
    assert any(f.endswith((".png", ".jpg")) for f in found), "no picture"
    assert not [f for f in found if not (NOTEBOOKS / f).exists()]


def test_all_share_one_folded_bootstrap_and_the_stages_their_parameters():
    books = [code_cells(build.make(s)) for s in build.sources()]
    text = (NOTEBOOKS / "notebook_sources" / "bootstrap.py").read_text().rstrip()
    for first, second, *_ in books:
        assert first["source"] == text
        assert first["metadata"] == {"jupyter": {"source_hidden": True}, "_kg_hide-input": True}
        assert second["metadata"]["tags"] == ["parameters"]
    assert len({re.sub(r"MODELS = .*", "", b[1]["source"]) for b in books[1:]}) == 1
    for source in build.sources():
        assert "sys.path" not in source.read_text(), "the bootstrap is written once"


def test_with_a_repository_there_are_badges_pictures_and_something_to_clone():
    address = "https://github.com/somebody/pixel-play"
    for source in build.sources():
        plain, known = build.make(source), build.make(source, repository=address)
        first = known.cells[0]["source"]
        page = f"blob/main/Final_codes/{source.stem}.ipynb"
        assert f"https://colab.research.google.com/github/somebody/pixel-play/{page}" in first
        assert f"https://kaggle.com/kernels/welcome?src={address}/{page}" in first
        assert f"({address}/raw/main/Visuals/" in first and "../Visuals" not in first
        assert "colab" not in plain.cells[0]["source"] and "kaggle.com" not in plain.cells[0]["source"]
        assert f'REPOSITORY = "{address}"' in code_cells(known)[0]["source"]
        assert 'REPOSITORY = ""' in code_cells(plain)[0]["source"]


def test_parameters_hold_for_one_execution_alone(tmp_path):
    first = nbformat.v4.new_code_cell("DATA = ''", metadata={"tags": ["parameters"]})
    book = nbformat.v4.new_notebook(cells=[first, nbformat.v4.new_code_cell("print(DATA)")])
    done = build.execute(book, tmp_path, parameters={"DATA": "here"})
    assert done.cells[1]["outputs"][0]["text"] == "here\n"
    assert done.cells[0]["source"] == "DATA = ''"


# ---- kaggle kernels push ------------------------------------------------------------------------------------------

LANGUAGES, TYPES = ("python", "r", "rmarkdown"), ("script", "notebook")
FIELDS = {"id": str, "title": str, "code_file": str, "language": str, "kernel_type": str, "is_private": bool,
          "enable_gpu": bool, "enable_tpu": bool, "enable_internet": bool, "machine_shape": str, "keywords": list,
          "dataset_sources": list, "competition_sources": list, "kernel_sources": list, "model_sources": list}
"""What `kaggle kernels push` (2.2) reads from kernel-metadata.json."""


@pytest.mark.parametrize("stem", STEMS)
def test_kaggle_metadata_is_what_the_cli_takes(stem):
    folder = NOTEBOOKS / "kaggle" / stem
    meta = json.loads((folder / "kernel-metadata.json").read_text())
    for field, value in meta.items():
        assert isinstance(value, FIELDS[field]), field
    assert set(FIELDS) - set(meta) <= {"machine_shape"}
    owner, _, slug = meta["id"].partition("/")
    assert owner and re.fullmatch(r"[a-z0-9-]{5,50}", slug)
    assert 5 <= len(meta["title"]) <= 50
    assert re.sub(r"[^a-z0-9]+", "-", meta["title"].lower()) == slug, "Kaggle makes the slug from the title"
    assert (folder / meta["code_file"]).resolve() == (NOTEBOOKS / f"{stem}.ipynb").resolve()
    assert (folder / meta["code_file"]).is_file()
    assert meta["language"] in LANGUAGES and meta["kernel_type"] in TYPES
    assert meta["competition_sources"] == ["pixel-play-26"]
    earlier = STAGES[:STAGES.index(stem)] if stem in STAGES else []
    assert meta["kernel_sources"] == [f"{owner}/{build.kaggle_slug(s)}" for s in earlier]
    for source in meta["kernel_sources"] + meta["dataset_sources"]:
        assert re.fullmatch(r"[\w-]+/[a-z0-9-]+", source)
    trains = stem in STAGES[1:-1]
    assert meta["enable_gpu"] is trains
    assert meta.get("machine_shape") == ("NvidiaTeslaT4" if trains else None)


def test_metadata_is_generated(tmp_path):
    there = json.loads((NOTEBOOKS / "kaggle" / STEMS[3] / "kernel-metadata.json").read_text())
    source = NOTEBOOKS / "notebook_sources" / f"{STEMS[3]}.py"
    assert there == build.kaggle_metadata(source, there["id"].partition("/")[0])
    assert build.kaggle_metadata(source, "me")["id"].startswith("me/")


# ---- what the first cells do --------------------------------------------------------------------------------------

@pytest.fixture
def kaggle(tmp_path, monkeypatch) -> tuple[Path, Path]:
    """(input, working) stand-ins without data."""
    attached, working = tmp_path / "input", tmp_path / "working"
    attached.mkdir()
    working.mkdir()
    for module in (environment, notebook):
        monkeypatch.setattr(module, "KAGGLE_INPUT", attached)
    monkeypatch.setattr(environment, "KAGGLE_WORKING", working)
    yield attached, working
    logging.basicConfig(force=True)  # open_run logs to the stdout of this test


def test_a_missing_stage_is_named(kaggle):
    run = notebook.open_run(profile="smoke", models=("stae",))
    with pytest.raises(PixelPlayError, match=r"01_frame_extraction.*is missing[\s\S]*01_frame_extraction\.ipynb"):
        run.model("stae")


def test_earlier_outputs_are_adopted_once(kaggle):
    attached, working = kaggle
    first = attached / "pixel-play-01-frame-extraction" / "smoke" / "01_frame_extraction"
    second = attached / "notebooks" / "somebody" / "pixel-play-03-stae" / "smoke"
    real = attached / "other" / "scores"
    for folder, name in ((first, "manifest.csv"), (second / "03_stae", "checkpoint.pt"),
                         (second / "04_roadmap_lite", "weights.safetensors"), (second / "scores", "stae.csv"),
                         (real, "unet.csv")):
        folder.mkdir(parents=True)
        (folder / name).write_text("x")
    set_writable(attached, False)
    run = notebook.open_run(profile="smoke", models=("stae",))
    smoke = working / "smoke"
    assert (smoke / "01_frame_extraction").is_symlink() and (smoke / "04_roadmap_lite").is_symlink()
    assert (smoke / "03_stae" / "checkpoint.pt").is_file() and not (smoke / "03_stae").is_symlink()
    assert (smoke / "03_stae").stat().st_mode & 0o200, "training goes on in this folder"
    assert (smoke / "03_stae" / "checkpoint.pt").stat().st_mode & 0o200
    assert (smoke / "scores" / "stae.csv").is_file()
    assert not (smoke / "scores" / "unet.csv").exists(), "a smoke run takes no real scores, and the reverse"
    (smoke / "scores" / "stae.csv").write_text("mine")
    assert notebook.adopt_earlier(run) == []
    assert (smoke / "scores" / "stae.csv").read_text() == "mine"
    set_writable(attached, True)


def test_empty_parameters_mean_the_default(kaggle):
    run = notebook.open_run(profile="", data="", train="", test="", output="", weights="", models=(), seed=0)
    assert run.options.profile == ("lite" if environment.hardware().device == "cpu" else "full")
    assert run.options.data is None and run.output == kaggle[1] and not run.models


def test_settings_reach_the_models(kaggle):
    run = notebook.open_run(profile="smoke", models=("stae", "unet"), settings={"steps": 7, "unet.batch": 2,
                                                                               "widths": (4, 6, 8)})
    assert run.configs["stae"].steps == run.configs["unet"].steps == 7
    assert run.configs["unet"].batch == 2 != run.configs["stae"].batch
    assert run.configs["unet"].widths == (4, 6, 8)
    with pytest.raises(PixelPlayError, match="no model here has a setting 'step_count'"):
        notebook.open_run(profile="smoke", models=("stae",), settings={"step_count": 7})


# ---- all of them, as on Kaggle --------------------------------------------------------------------------------------

def run_notebook(stem: str, attached: Path, working: Path, parameters: dict[str, str] | None = None
                 ) -> nbformat.NotebookNode:
    """Execute one in a fresh kernel started in the working folder, where Kaggle starts it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIXELPLAY_KAGGLE_INPUT", str(attached))
        patch.setenv("PIXELPLAY_KAGGLE_WORKING", str(working))
        return build.execute(build.make(NOTEBOOKS / "notebook_sources" / f"{stem}.py"), working,
                             parameters={"PROFILE": "smoke"} | (parameters or {}), seconds=600)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Iterator[tuple[Path, Path]]:
    """(input, output): 01 to 06 in one working folder, 07 in another with the first attached as a notebook's output."""
    attached, working = make_kaggle(tmp_path_factory.mktemp("kaggle"))
    before = contents(attached)
    for stem in STAGES[:-1]:
        run_notebook(stem, attached, working)
    assert contents(attached) == before, "inputs are read-only"
    shutil.copytree(working, attached / "notebooks" / "somebody" / "pixel-play-06-joint")
    last = working.with_name("working-07")
    last.mkdir()
    run_notebook(STAGES[-1], attached, last)
    yield attached, last / "smoke"
    set_writable(attached, True)


@pytest.mark.slow
def test_notebooks_in_order_make_every_artifact(finished):
    _, output = finished
    manifest = Manifest.load(output / "01_frame_extraction")
    expected = manifest.split("test")["Id"].tolist()
    for name in MODELS:
        scores = read_scores(output / "scores" / f"{name}.csv", expected)
        assert np.isfinite(scores.values).all() and scores.values.std() > 0
        assert json.loads((output / "scores" / f"{name}.json").read_text())["smoke"] is True
        assert (output / model_class(name).stage).is_dir()
    assert (output / "report" / "index.html").stat().st_size > 1000
    assert json.loads((output / "run.json").read_text())["smoke"] is True


@pytest.mark.slow
def test_submissions_hold_the_samples_ids(finished):
    attached, output = finished
    sample = pd.read_csv(attached / "pixel-play-26" / "sample_submission.csv", dtype={"Id": str})
    for name in ("submission", "submission_two_stream", "submission_quad_ensemble"):
        made = pd.read_csv(output / f"{name}.csv", dtype={"Id": str})
        assert list(made.columns) == list(sample.columns)
        assert made["Id"].tolist() == sample["Id"].tolist()
        assert np.isfinite(made["Predicted"]).all() and made["Predicted"].nunique() > 1
    assert not (output.parent / "submission.csv").exists(), "a smoke run may not look like a real submission"


@pytest.mark.slow
def test_first_notebook_finds_the_new_mount_and_may_run_twice(tmp_path):
    attached, working = make_kaggle(tmp_path, "new")
    run_notebook(STAGES[0], attached, working)
    manifest = working / "smoke" / "01_frame_extraction" / "manifest.csv"
    first = manifest.read_bytes()
    run_notebook(STAGES[0], attached, working)
    assert manifest.read_bytes() == first
    sample = pd.read_csv(attached / "competitions" / "pixel-play-26" / "sample_submission.csv", dtype={"Id": str})
    test = Manifest.load(manifest.parent).split("test")
    assert set(test["Id"]) == set(sample["Id"])
    set_writable(attached, True)


def check_one_crop(run: RunFolder) -> None:
    """The figure of one crop embeds it again and comes to the training crop that the run has noted."""
    score, actors = score_of_crop(run), read_actors(run.paths.actors("local_memory"))
    one = int(np.flatnonzero(np.isclose(actors["appearance_z"], score.deviations))[0])
    fitted = LocalMemory.load(run.paths.trained("local_memory")).fitted
    assert score.deviations == np.nanmax(actors["appearance_z"])
    assert np.allclose(score.neighbours[0], fitted.crops[actors["nearest"][one]].astype(np.float32))
    assert np.allclose(score.distances, np.linalg.norm(score.neighbours - score.features, axis=1), atol=1e-3)
    assert score.pictures[0] is not None


@pytest.mark.slow
def test_quickstart_fits_scores_and_reports(tmp_path):
    attached, working = make_kaggle(tmp_path)
    book = run_notebook(QUICKSTART, attached, working, {
        "DATA": str(tmp_path / "sample"), "DETECTOR": "", "MODELS": ("local_memory", "unet")})
    made = working / "quickstart"
    assert set(pixelplay.load(made / "detector").names) == {"local_memory", "unet"}
    submission = pd.read_csv(made / "scored" / "submission.csv", dtype={"Id": str})
    assert submission["Id"].tolist() == pd.read_csv(tmp_path / "sample" / "sample_submission.csv",
                                                    dtype={"Id": str})["Id"].tolist()
    assert (made / "scored" / "report" / "index.html").exists()
    assert [o for c in code_cells(book) for o in c["outputs"] if "image/png" in o.get("data", {})
            or "image/jpeg" in o.get("data", {})]
    check_one_crop(RunFolder(made / "scored"))
    set_writable(attached, True)


def test_quickstart_opens_a_detector_that_is_shipped():
    parameters, = [c.source for c in code_cells(committed(QUICKSTART)) if "parameters" in c.metadata.get("tags", [])]
    shipped = re.search(r'^DETECTOR = "(.+?)"', parameters, re.MULTILINE)[1]
    assert set(pixelplay.load(NOTEBOOKS / shipped).names) == set(MODELS)
