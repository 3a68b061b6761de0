"""The command line: what is said of mistakes, and when; progress, settings, doctor."""

from __future__ import annotations

import dataclasses
import errno
import io
import logging
import re
import subprocess
import sys

import pytest

from pixelplay import checks, cli, doctor_command, progress, settings_command
from pixelplay.config import PROFILES
from pixelplay.errors import PixelPlayError, did_you_mean
from pixelplay.pretrained import TABLE, Needs
from pixelplay.registry import MODELS, model_class

HEAVY = ("torch", "scipy", "pandas", "cv2", "matplotlib", "timm")


def said(capsys, *argv: str) -> str:
    assert cli.main(argv) == 2
    return capsys.readouterr().err


# ---- mistakes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("argv", "meant"), [
    (["evalute"], "evaluate"), (["run", "--modles", "stae"], "--models"), (["run", "--outptu=x"], "--output"),
    (["run", "--models", "stea"], "stae"), (["run", "--recipe", "defualt", "--models", "stae"], "default"),
    (["run", "--models", "stae", "--set", "stae.heigth=64"], "height"),
    (["run", "--models", "stae", "--set", "sate.height=64"], "stae"), (["settings", "untt"], "unet")])
def test_a_misspelt_word_is_answered_with_what_was_meant(capsys, tmp_path, monkeypatch, argv, meant):
    monkeypatch.chdir(tmp_path)
    assert f"did you mean {meant}?" in said(capsys, *argv)
    assert not any(tmp_path.iterdir())


def test_a_misspelt_choice_is_answered_with_what_was_meant(capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(["run", "--profile", "ful"])
    assert "did you mean full?" in capsys.readouterr().err


def test_a_word_that_is_like_nothing_is_not_guessed_at(capsys):
    assert did_you_mean("xyzzy", MODELS) == ""
    assert "did you mean" not in said(capsys, "xyzzy")
    message = said(capsys, "run", "--xyzzy")
    assert "did you mean" not in message and "pixelplay run --help" in message


def test_without_a_command_the_commands_are_listed(capsys):
    assert cli.main([]) == 0
    listed = capsys.readouterr().out
    assert all(re.search(rf"^    {name}\b", listed, re.M) for name in cli.COMMANDS)


@pytest.mark.parametrize("argv", [
    ["run", "--data", "gone"], ["run", "--labels", "gone"], ["run", "--train", "gone", "--test", "gone"],
    ["run", "--output", "file/x"], ["fit", "gone"], ["fit", ".", "--output", "file/x"], ["score", "gone", "."],
    ["report", "gone"], ["watch-file", "1", "--scores", "gone"], ["sample", "--output", "file/x"],
    ["watch-file", "1", "--scores", ".", "--output", "file/a.mp4"], ["fetch", "--to", "file/x"],
    ["repair", "--data", ".", "--output", "file/x"]])
def test_paths_are_checked_before_anything_heavy_is_imported(tmp_path, argv):
    (tmp_path / "file").touch()
    code = (f"import sys; from pixelplay.cli import main; status = main({argv!r}); "
            f"print(status, [m for m in {HEAVY!r} if m in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False,
                          env={"PYTHONPATH": str(cli.__file__).rsplit("/", 2)[0], "PATH": "/usr/bin:/bin"})
    assert done.stdout == "2 []\n", done.stderr
    assert "Traceback" not in done.stderr
    assert re.search(r"gone does not exist|cannot be written(?: to)?: Not a directory", done.stderr)


def test_a_path_that_is_gone_names_its_neighbour(capsys, tmp_path):
    (tmp_path / "training_videos").mkdir()
    assert "did you mean training_videos?" in said(capsys, "run", "--train", str(tmp_path / "trainig_videos"))


def test_addresses_of_stores_are_refused_and_files_are_paths(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert "mount it" in said(capsys, "run", "--output", "s3://bucket/run")
    assert "mount it" in said(capsys, "fit", "memory://videos")
    assert not any(tmp_path.iterdir()), "no folder is called s3:"
    assert checks.existing(f"file://{tmp_path}") == tmp_path


@pytest.mark.parametrize("argv", [["ensemble", "--output", "file/x.csv"],
                                  ["corrupt", "--data", ".", "--output", "file/x"],
                                  ["evaluate", "--json", "file/x.json"],
                                  ["evaluate", "--figures", "file/x"]])
def test_an_unwritable_output_is_said_before_the_work(capsys, tmp_path, monkeypatch, argv):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    assert "cannot be written" in said(capsys, *argv)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_a_disk_that_refuses_in_the_middle_is_no_traceback(capsys, monkeypatch, tmp_path, number):
    def refuse(*_, **__):
        raise OSError(number, "the reason", str(tmp_path / "x"))

    monkeypatch.setattr("pixelplay.verify_command.verify", refuse)
    message = said(capsys, "verify", str(tmp_path))
    assert "the reason" in message and str(tmp_path / "x") in message


def test_another_error_of_the_system_is_a_defect_and_shows_itself(monkeypatch, tmp_path):
    def fail(*_, **__):
        raise OSError(errno.EBADF, "a defect")

    monkeypatch.setattr("pixelplay.verify_command.verify", fail)
    with pytest.raises(OSError, match="a defect"):
        cli.main(["verify", str(tmp_path)])


# ---- settings -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_every_setting_has_its_values_and_a_meaning(name):
    found = settings_command.settings(name)
    assert [s.name for s in found] == [f.name for f in dataclasses.fields(model_class(name).Config)]
    for setting in found:
        assert setting.values == {p: getattr(model_class(name).Config.profile(p), setting.name) for p in PROFILES}
        assert setting.meaning and not re.fullmatch(r"see `\w+`\.", setting.meaning), f"{name}.{setting.name}"


def test_settings_are_printed_with_defaults_by_profile(capsys):
    assert cli.main(["settings", "stae"]) == 0
    printed = capsys.readouterr().out
    config = model_class("stae").Config
    row = re.search(r"^height +int +(\d+) +(\d+) +(\d+) +rows of the network", printed, re.M)
    assert [int(v) for v in row.groups()] == [config.profile(p).height for p in PROFILES]
    assert "unet" not in printed


def test_the_help_of_run_lists_every_setting(capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main(["run", "--help"])
    printed = capsys.readouterr().out
    for name in MODELS:
        assert f"  {name}: " in printed
        assert all(f"{f.name}=" in printed for f in dataclasses.fields(model_class(name).Config))


@dataclasses.dataclass
class Near:
    """Settings.

    Attributes:
        one, two: both
            of them.
        three: see `Far`.
    """


@dataclasses.dataclass
class Far(Near):
    """More.

    Attributes:
        two: its own.
    """


def test_meanings_come_from_docstrings_the_nearest_class_first():
    assert settings_command.documented(Far) == {"one": "both of them.", "two": "its own.", "three": "see `Far`."}


# ---- doctor ---------------------------------------------------------------------------------------------------


def test_doctor_shows_weights_by_the_table_and_what_mends(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(doctor_command.pretrained, "find", lambda name: tmp_path / name if name == "yolov5s" else None)
    here = doctor_command.environment.installed
    monkeypatch.setattr(doctor_command.environment, "installed",
                        lambda name: name not in ("av", "ultralytics") and here(name))
    status = cli.main(["doctor", "--output", str(tmp_path / "new")])
    printed = capsys.readouterr().out
    assert status == 1 and not (tmp_path / "new").exists()
    assert all(re.search(rf"^  {name} ", printed, re.M) for name in TABLE)
    assert str(tmp_path / "yolov5s") in printed
    assert "profile lite: missing:\n  package av is not installed\n    hint: pip install av" in printed
    assert "weights clip-rn101" in printed and "--weights clip-rn101" in printed


def test_doctor_misses_nothing_where_nothing_is_needed(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(doctor_command, "profile_needs", lambda profile: Needs())
    assert cli.main(["doctor", "--output", str(tmp_path)]) == 0
    assert "profile lite: nothing is missing" in capsys.readouterr().out


# ---- progress -------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar_with_the_time_left(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert list(progress.tqdm(range(3), desc="work", unit="frame")) == [0, 1, 2]
    assert re.search(r"work: 100%.*3/3 \[\d\d:\d\d<\d\d:\d\d", sys.stderr.getvalue())


def test_a_file_gets_lines_and_short_work_none(monkeypatch, caplog):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with caplog.at_level(logging.INFO):
        assert list(progress.tqdm(range(3), desc="short", unit="frame")) == [0, 1, 2]
        assert not caplog.messages
        with progress.tqdm(total=1000, desc="long", unit="frame") as bar:
            bar.start_t -= 60  # as if begun a minute ago
            bar.update(250)
            bar.display()
    assert len(caplog.messages) == 1
    assert re.fullmatch(r"long: 250 of 1,000 frames, about 03:0\d left", caplog.messages[0])
    assert sys.stderr.getvalue() == ""


def test_quiet_leaves_results_alone(monkeypatch, capsys, tmp_path):
    def work(folder):
        logging.getLogger("pixelplay.some").info("a note")
        assert progress.is_quiet() and list(progress.tqdm([1])) == [1]
        return [], 1

    monkeypatch.setattr("pixelplay.verify_command.verify", work)
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert cli.main(["verify", str(tmp_path), "--quiet"]) == 0
    assert sys.stderr.getvalue() == "" and "1 of 1 files" in capsys.readouterr().out
    assert not progress.is_quiet()


def test_unknown_words_of_a_setting_are_refused_by_name():
    with pytest.raises(PixelPlayError, match="there is no model 'x'"):
        settings_command.settings("x")
