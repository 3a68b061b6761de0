"""What the preflight finds before stage 1, and what a run does with a model that fails."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from media import write_frames

from pixelplay import checks, cli, environment, pipeline, preflight, pretrained
from pixelplay.data.layouts import find_dataset
from pixelplay.errors import PixelPlayError
from pixelplay.model import Forecast, Model, Scores
from pixelplay.pipeline import Options, Run
from pixelplay.pretrained import Needs
from pixelplay.registry import MODELS
from pixelplay.sample.dataset import make_sample

pytestmark = pytest.mark.slow


@dataclasses.dataclass(frozen=True)
class Settings:
    """No settings but the steps that --hours changes."""

    steps: int = 100

    @classmethod
    def profile(cls, name):
        return cls()


class Difference(Model):
    """A model of a few lines: how far a frame is from grey. Its class attributes are what the tests change."""

    name, family, stage, kind, sigma, Config = "difference", "other", "08_difference", "error", 3.0, Settings
    asks, fails, takes, reach = Needs(), None, Forecast(rest=1.0), 0

    @classmethod
    def needs(cls, config):
        return cls.asks

    def fit(self, train, folder):
        if self.fails:
            raise self.fails

    def score(self, footage, folder):
        far = [np.abs(footage.batch([i]).astype(float) - 128).mean() + i for i in range(len(footage))]
        return Scores(np.array(far), np.zeros(len(footage), bool))

    def held_out(self, train, folder):
        return self.score(train, folder)

    def forecast(self, train, test, folder, frames):
        super().forecast(train, test, folder, frames)
        return self.takes

    def save(self, folder):
        pass

    @classmethod
    def load(cls, folder):
        return cls(Settings())


class Second(Difference):
    """Another one, which may fail beside the first."""

    name, stage = "second", "09_second"


@pytest.fixture
def two_models(monkeypatch):
    """The two small models, known like every other."""
    classes = {"difference": Difference, "second": Second}
    for name, cls in classes.items():
        monkeypatch.setitem(MODELS, name, f"{__name__}:{cls.__name__}")
    for cls in classes.values():
        for attribute in ("asks", "fails", "takes"):
            monkeypatch.setattr(cls, attribute, getattr(Difference, attribute))
    return classes


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Frame folders in the competition's layout."""
    return make_sample(tmp_path_factory.mktemp("data") / "sample", size="tiny")


@pytest.fixture
def options(data, tmp_path, two_models):
    """Options of a lite run of the two models."""
    return Options(data=data, output=tmp_path / "out", models=("difference", "second"))


def problems(options, **settings):
    """The preflight's problems, as one text each."""
    return [f"{p.what} | {p.hint}" for p in preflight.preflight(Run(options), **settings).problems]


def test_a_run_with_nothing_in_its_way_gets_a_forecast_of_every_stage(options):
    found = preflight.preflight(Run(options))
    assert found.problems == ()
    assert set(found.models) == {"difference", "second"} and set(found.stages) == {pipeline.EXTRACTION, pipeline.REPORT}
    assert all(seconds > 0 for seconds in found.stages.values())
    assert not (options.output / pipeline.EXTRACTION).exists(), "a trial leaves nothing in the run's folder"


def test_all_problems_are_listed_at_once(options, monkeypatch, two_models, tmp_path):
    monkeypatch.setattr(Difference, "asks", Needs(packages=("no-such-package",), weights=("no-such-weights",)))
    monkeypatch.setitem(pretrained.TABLE, "no-such-weights", pretrained.Weights(
        "a network", "MIT", (pretrained.WeightsFile("network.bin", "http://127.0.0.1:9/network.bin"),)))
    monkeypatch.setattr(Second, "fails", RuntimeError("Sizes of tensors must match"))
    options = dataclasses.replace(options, labels=tmp_path / "nowhere.csv")
    found = problems(options)
    assert [text.split(" ")[0] for text in found] == ["labels", "package", "the", "second"]
    assert "pip install no-such-package" in found[1]
    assert "a network" in found[2] and "PIXELPLAY_WEIGHTS" in found[2]
    assert "RuntimeError: Sizes of tensors must match" in found[3]
    with pytest.raises(PixelPlayError, match="4 problems found before the first stage"):
        preflight.preflight(Run(options)).require()


def test_weights_are_only_asked_for_where_nothing_is_to_be_downloaded(options, monkeypatch):
    asked = []
    monkeypatch.setattr(Difference, "asks", Needs(weights=("yolox-nano",)))
    monkeypatch.setattr(pretrained, "find", lambda name: None)
    monkeypatch.setattr(pretrained, "obtain", lambda name: asked.append(("obtain", name)))
    monkeypatch.setattr(pretrained, "require_source", lambda name: asked.append(("ask", name)))
    assert problems(options, download=False) == [] and asked == [("ask", "yolox-nano")]
    assert problems(options) == [] and asked[1:] == [("obtain", "yolox-nano")]


def test_the_full_profile_needs_a_gpu_that_works(options, monkeypatch):
    why = "GPU 0, Tesla P100, is of architecture sm_60"
    machine = dataclasses.replace(environment.hardware(), device="cpu", note=why)
    monkeypatch.setattr(preflight, "hardware", lambda: machine)
    full = dataclasses.replace(options, profile="full")
    found = problems(full)
    assert len(found) == 1 and why in found[0] and "--profile lite" in found[0]
    forced = preflight.preflight(Run(dataclasses.replace(full, force=True)))
    assert len(forced.problems) == 1 and set(forced.models) == {"difference", "second"}, "a forced run is tried, too"
    machine = dataclasses.replace(machine, device="cuda:0", note="")
    assert problems(full) == []


def test_video_files_need_pyav_and_frames_do_not(options, monkeypatch, tmp_path):
    real = environment.installed
    monkeypatch.setattr(environment, "installed", lambda name: name != "av" and real(name))
    assert problems(options) == []
    manifest = find_dataset(options.data, None, None)
    table = manifest.table.assign(path="door.mp4")
    monkeypatch.setattr(Run, "find_data", lambda self: dataclasses.replace(manifest, table=table))
    assert problems(options) == ["package av is not installed | pip install av"]


def test_an_output_that_cannot_be_written_to_is_a_problem(options, tmp_path):
    (tmp_path / "file").write_text("")
    found = problems(dataclasses.replace(options, output=tmp_path / "file" / "out"))
    assert len(found) == 1 and "cannot be written to" in found[0] and "--output" in found[0]


def test_a_disk_that_is_too_small_is_a_problem(options, monkeypatch):
    # of the output folder alone: the trial's own disk has space
    monkeypatch.setattr(checks, "shutil", SimpleNamespace(disk_usage=lambda folder: SimpleNamespace(free=1000)))
    found = problems(options)
    assert len(found) == 1 and "0.0 GB left" in found[0] and "--output" in found[0]


def test_a_trial_takes_neighbouring_frames_from_all_over_the_dataset(data):
    manifest = find_dataset(data, None, None)
    few = preflight.few_frames(manifest)
    for split, places in preflight.PLACES.items():
        rows = few.split(split)
        assert len(rows) == places * preflight.CHUNK
        steps = np.diff(rows["frame"])[rows["video"].to_numpy()[1:] == rows["video"].to_numpy()[:-1]]
        assert (steps == 1).sum() >= places * (preflight.CHUNK - 2)
    assert few.split("train")["video"].nunique() > 1
    assert few.fingerprint != manifest.fingerprint


@pytest.mark.parametrize("frames", [1, 2, 9])
def test_a_trial_of_less_footage_than_it_wants_takes_what_there_is(tmp_path, frames):
    for split in ("training_videos", "testing_videos"):
        write_frames(tmp_path / split / "01", [f"{i}.png" for i in range(frames)])
    few = preflight.few_frames(find_dataset(tmp_path, None, None))
    assert 0 < len(few.split("train")) <= frames and 0 < len(few.split("test")) <= frames


def test_preflight_alone_only_checks(options, capsys):
    status = cli.main(["run", "--data", str(options.data), "--output", str(options.output),
                       "--models", "difference", "second", "--preflight"])
    assert status == 0 and not (options.output / "scores").exists()
    assert "no problems found" in capsys.readouterr().out


@pytest.mark.parametrize("failure", [PixelPlayError("no actor was found"), RuntimeError("index out of range")])
def test_one_failing_model_does_not_take_the_run_with_it(options, monkeypatch, capsys, failure):
    monkeypatch.setattr(Second, "fails", failure)
    arguments = ["run", "--data", str(options.data), "--output", str(options.output),
                 "--models", "difference", "second"]
    assert cli.main(arguments) == 2, "found in the trial, before stage 1"
    assert cli.main([*arguments, "--force"]) == 3
    said = capsys.readouterr().out
    assert "second is not part of the submission: " in said and str(failure) in said
    assert (options.output / "submission.csv").exists()
    assert sorted(p.stem for p in (options.output / "scores").glob("*.json")) == ["difference"]
    if isinstance(failure, RuntimeError):
        assert "index out of range" in (options.output / "logs" / "second.txt").read_text()
    monkeypatch.setattr(Second, "fails", None)
    first = (options.output / "scores" / "difference.csv").stat().st_mtime_ns
    assert cli.main(arguments) == 0, "the same command runs what is missing"
    assert (options.output / "scores" / "difference.csv").stat().st_mtime_ns == first, "and keeps the rest"


def test_scores_of_other_settings_never_enter_the_submission_of_a_run_whose_model_fails(options, monkeypatch):
    assert Run(options).all()["failed"] == {}
    monkeypatch.setattr(Second, "version", 2)
    monkeypatch.setattr(Second, "fails", RuntimeError("broken"))
    run = Run(options)
    assert run.all()["failed"].keys() == {"second"}
    left = sorted(p.name for p in (options.output / "scores").glob("*.csv"))
    assert left == ["difference.csv", "difference.train.csv"]


def test_a_run_in_which_every_model_fails_says_why(options, monkeypatch):
    for cls in (Difference, Second):
        monkeypatch.setattr(cls, "fails", RuntimeError(f"{cls.name} is broken"))
    with pytest.raises(PixelPlayError, match=r"no model finished(.|\n)*difference is broken(.|\n)*second is broken"):
        Run(options).all()


def test_hours_shorten_training_and_an_interrupted_run_keeps_the_same_steps(options, monkeypatch, capsys):
    monkeypatch.setattr(Difference, "takes", Forecast(7200.0, 0.0, 100))
    arguments = ["run", "--data", str(options.data), "--output", str(options.output),
                 "--models", "difference", "second", "--hours", "1"]
    assert cli.main(arguments) == 0
    assert "training steps fitted to --hours: difference " in capsys.readouterr().out
    receipt = pipeline.read_json(options.output / "run.json")
    steps = receipt["steps_scaled_to_hours"]["difference"]
    assert 20 < steps < 60 and receipt["configs"]["difference"]["steps"] == steps
    monkeypatch.setattr(Difference, "takes", Forecast(9000.0, 0.0, 100))  # measured again on a busier machine
    made = (options.output / "scores" / "difference.csv").stat().st_mtime_ns
    assert cli.main(arguments) == 0
    assert (options.output / "scores" / "difference.csv").stat().st_mtime_ns == made


def test_when_time_is_up_the_submission_is_made_of_what_is_finished(options, monkeypatch):
    def slow(self, train, folder):
        while True:
            time.sleep(0.01)

    monkeypatch.setattr(Second, "fit", slow)
    run = Run(dataclasses.replace(options, hours=1.0))

    def finished(name, reason):
        if name == "difference":
            run.deadline = time.monotonic() + 0.2

    done = run.all(finished=finished)
    assert done["failed"] == {"second": "time was up"}
    assert Path(done["submissions"]["submission"]).exists()


@pytest.mark.parametrize(("built", "card", "right"), [
    (["sm_75", "sm_80", "sm_90"], (7, 5), True), (["sm_75", "sm_80"], (8, 9), True),
    (["sm_75", "sm_80"], (6, 0), False), (["sm_80"], (7, 5), False),
    (["sm_70", "compute_70"], (9, 0), True), (["sm_80"], (9, 0), False),
    (["sm_90a"], (9, 0), True), ([], (8, 0), False), (["gfx90a", "gfx942"], (9, 0), True)])
def test_torch_runs_on_cards_it_was_built_for(built, card, right):
    assert environment.runs_on(built, card) is right


def test_memory_is_told_in_bytes():
    free, used = environment.free_memory(), environment.used_memory()
    assert free is None or 0 < free < 1 << 50
    assert 1 << 20 < used < 1 << 40
