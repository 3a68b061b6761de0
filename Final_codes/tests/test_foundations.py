"""Configuration, files, environment, command line and layers: what every subpackage stands on."""

from __future__ import annotations

import dataclasses
import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from media import write_frames

from pixelplay import cli, environment
from pixelplay.config import config_hash, override
from pixelplay.errors import PixelPlayError
from pixelplay.files import atomic_path, read_json, sha256_of, write_json, write_text
from pixelplay.registry import MODELS, model_class

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


@dataclasses.dataclass(frozen=True)
class Example:
    steps: int = 3
    rate: float = 0.1
    wide: bool = False
    name: str = "a"
    sizes: tuple[int, ...] = (1, 2)


def test_override_parses_each_type():
    changed = override(Example(), {"steps": "5", "rate": "0.5", "wide": "true", "name": "b", "sizes": "3,4"})
    assert changed == Example(5, 0.5, True, "b", (3, 4))


@pytest.mark.parametrize("change", [{"step": "5"}, {"steps": "many"}, {"wide": "perhaps"}, {"steps": 1.5}])
def test_override_refuses_unknown_keys_and_wrong_types(change):
    with pytest.raises(PixelPlayError, match="Example"):
        override(Example(), change)


def test_config_hash_sees_every_field_and_no_key_order():
    assert config_hash(Example()) == config_hash(Example())
    assert config_hash(Example()) != config_hash(Example(steps=4))
    assert config_hash({"a": 1, "b": 2}) == config_hash({"b": 2, "a": 1})


def test_atomic_path_keeps_the_old_file_when_writing_fails(tmp_path):
    target = tmp_path / "deep" / "file.txt"
    write_text(target, "old")
    with pytest.raises(RuntimeError), atomic_path(target) as part:
        part.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert list(target.parent.iterdir()) == [target]


def test_atomic_path_says_when_the_disk_is_full(tmp_path):
    with pytest.raises(PixelPlayError, match="no space left"), atomic_path(tmp_path / "x"):
        raise OSError(errno.ENOSPC, "no space")


def test_json_round_trip_and_damage(tmp_path):
    write_json(tmp_path / "a.json", {"b": 1, "a": [2]})
    assert read_json(tmp_path / "a.json") == {"a": [2], "b": 1}
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(PixelPlayError, match=r"a\.json"):
        read_json(tmp_path / "a.json")
    with pytest.raises(PixelPlayError, match=r"b\.json is missing"):
        read_json(tmp_path / "b.json")


def test_sha256_of_a_known_text(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256_of(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_hardware_names_a_device_that_computes():
    found = environment.hardware()
    assert found.device in ("cpu", "cuda:0")
    assert found.dtype in ("float32", "bfloat16", "float16")
    assert found.threads >= 1


def test_missing_requirements_names_only_what_is_missing(tmp_path):
    (tmp_path / "requirements.txt").write_text("# comment\nnumpy>=1.0  # here\nno-such-package-pixelplay>=3\n\n")
    assert environment.missing_requirements(tmp_path / "requirements.txt") == ["no-such-package-pixelplay>=3"]


@pytest.mark.parametrize("mount", ["pixel-play-offline", "datasets/somebody/pixel-play-offline"])
def test_attached_wheels_come_before_the_internet(tmp_path, monkeypatch, mount):
    (tmp_path / "requirements.txt").write_text("numpy\nno-such-package-pixelplay>=3\n")
    wheels = tmp_path / mount / "wheels"
    wheels.mkdir(parents=True)
    tried: list[list[str]] = []
    statuses: list[int] = []

    def pip(command: list[str], check: bool) -> subprocess.CompletedProcess:
        tried.append(command[command.index("--quiet") + 1:])
        return subprocess.CompletedProcess(command, statuses.pop(0))

    monkeypatch.setattr(environment, "KAGGLE_INPUT", tmp_path)
    monkeypatch.setattr(environment.subprocess, "run", pip)
    line, offline = "no-such-package-pixelplay>=3", ["--no-index", f"--find-links={wheels}"]
    for ends, expected in (([0], [[*offline, line]]), ([1, 0], [[*offline, line], [line]])):
        tried.clear()
        statuses[:] = ends
        assert environment.ensure_requirements(tmp_path / "requirements.txt") == [line]
        assert tried == expected
    statuses[:] = [1, 1]
    with pytest.raises(PixelPlayError, match=r"no-such-package-pixelplay[\s\S]*pixelplay fetch"):
        environment.ensure_requirements(tmp_path / "requirements.txt")


def test_requirements_hold_lower_bounds_only():
    lines = PYPROJECT.with_name("requirements.txt").read_text().splitlines()
    for line in (li for li in lines if li and not li.startswith("#")):
        assert ">=" in line and "==" not in line and "git+" not in line, line


def test_every_registered_model_declares_what_the_pipeline_reads():
    for name in MODELS:
        cls = model_class(name)
        assert cls.name == name
        assert cls.family in ("two_stream", "quad", "other")
        assert cls.kind in ("error", "distance", "zscore", "other")
        for profile in ("smoke", "lite", "full"):
            assert dataclasses.is_dataclass(cls.Config.profile(profile))


def test_unknown_model_is_refused():
    with pytest.raises(PixelPlayError, match="no model 'nonsense'"):
        model_class("nonsense")


@pytest.mark.parametrize("name", sorted(cli.COMMANDS))
def test_every_command_explains_itself(name, capsys):
    with pytest.raises(SystemExit) as leave:
        cli.main([name, "--help"])
    assert leave.value.code == 0
    assert "--help" in capsys.readouterr().out


def test_a_users_mistake_is_no_traceback(tmp_path, capsys):
    status = cli.main(["run", "--data", str(tmp_path / "nowhere"), "--output", str(tmp_path / "out")])
    message = capsys.readouterr().err
    assert status == 2
    assert "nowhere" in message and "Traceback" not in message


@pytest.mark.parametrize(("given", "wanted"), [("train", "test"), ("test", "train")])
def test_half_a_dataset_is_refused_before_any_work(tmp_path, capsys, given, wanted):
    write_frames(tmp_path / "videos" / "door", ["1.png", "2.png"])
    status = cli.main(["run", f"--{given}", str(tmp_path / "videos"), "--output", str(tmp_path / "out")])
    message = capsys.readouterr().err
    assert status == 2
    assert f"--{wanted} DIR" in message and "2 frames" in message and str(tmp_path / "videos") in message
    assert not (tmp_path / "out").exists()


def test_the_layers_and_the_users_of_the_sample_are_as_pyproject_says():
    # in a process of its own: it sets up logging, and would silence the package's loggers for all tests after it
    command = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    seen = subprocess.run([sys.executable, "-c", command, "--config", "pyproject.toml", "--no-cache"], check=False,
                          cwd=PYPROJECT.parent, env=os.environ | {"PYTHONPATH": "Final_codes"}, capture_output=True,
                          text=True)
    assert seen.returncode == 0, seen.stdout + seen.stderr
