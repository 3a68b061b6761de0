"""`pixelplay fetch`: one folder with weights, wheels and code; what cannot be had is listed, what is there is kept."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from weights_server import serve

from pixelplay import cli, environment, fetch_command, pretrained
from pixelplay.fetch_command import WHEELS, profile_needs
from pixelplay.files import sha256_of
from pixelplay.pretrained import TABLE, Weights, WeightsFile


@pytest.fixture
def source(tmp_path, monkeypatch):
    """The full profile's weights, served from this machine; nothing else is found."""
    monkeypatch.delenv("PIXELPLAY_WEIGHTS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(environment, "KAGGLE_INPUT", tmp_path / "input")
    with serve({"rn101": b"clip" * 1000, "yolo": b"yolo" * 1000}) as source:
        for name, served, file in (("clip-rn101", "rn101", "clip.safetensors"), ("yolov5s", "yolo", "yolov5su.pt")):
            monkeypatch.setitem(TABLE, name, Weights(name, TABLE[name].licence, (
                WeightsFile(file, f"{source.address}/{served}", "", 1),)))
        yield source


@pytest.fixture
def pip(monkeypatch):
    """pip's place: notes its arguments, writes an empty wheel, fails for the names in `fails`."""
    class Pip:
        def __init__(self):
            self.asked, self.fails = [], set()

        def __call__(self, arguments):
            self.asked.append(arguments)
            name = arguments[-1]
            if name in self.fails:
                return subprocess.CompletedProcess([], 1, "", f"ERROR: no matching distribution found for {name}\n")
            folder, python = (Path(arguments[arguments.index(f"--{o}") + 1]) for o in ("dest", "python-version"))
            folder.mkdir(parents=True, exist_ok=True)
            tag = f"cp{str(python).replace('.', '')}-cp{str(python).replace('.', '')}-manylinux2014_x86_64"
            (folder / f"{name.replace('-', '_')}-1.0-{'py3-none-any' if name == 'ultralytics' else tag}.whl").touch()
            return subprocess.CompletedProcess([], 0, "", "")

    pip = Pip()
    monkeypatch.setattr(fetch_command, "pip_download", pip)
    return pip


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A small checkout with a committed, a new and an ignored file."""
    root = tmp_path / "checkout"
    (root / "Final_codes" / "pixelplay").mkdir(parents=True)
    for name, text in (("Final_codes/run_all.py", "run"), ("Final_codes/pixelplay/__init__.py", "old"),
                       ("requirements.txt", "numpy"), (".gitignore", "outputs/\n")):
        (root / name).write_text(text)
    for command in (["init", "-q"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=b", "commit", "-qm", "c"]):
        subprocess.run(["git", "-C", str(root), *command], check=True)
    (root / "Final_codes" / "pixelplay" / "__init__.py").write_text("changed")
    (root / "new.txt").write_text("new")
    (root / "outputs").mkdir()
    (root / "outputs" / "big.npy").write_text("x")
    monkeypatch.setattr(fetch_command, "PACKAGE", root / "Final_codes" / "pixelplay")
    return root


def files_below(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and p.suffix != ".lock"}


def test_one_call_makes_the_whole_dataset(source, pip, checkout, tmp_path, capsys):
    target = tmp_path / "offline"
    assert cli.main(["fetch", "--to", str(target)]) == 0
    code = {f"pixel-play/{n}" for n in (".gitignore", "requirements.txt", "new.txt", "Final_codes/run_all.py",
                                        "Final_codes/pixelplay/__init__.py")}
    found = files_below(target)
    assert {n for n in found if not n.startswith("wheels/")} == code | {
        "weights/clip.safetensors", "weights/yolov5su.pt", "weights/weights.lock.json", "dataset-metadata.json"}
    assert sum(n.startswith("wheels/") for n in found) == len(WHEELS) == len(pip.asked)
    assert (target / "pixel-play" / "Final_codes" / "pixelplay" / "__init__.py").read_text() == "changed"
    made = json.loads((target / "dataset-metadata.json").read_text())
    assert made["id"] == "YOUR_NAME/pixel-play-offline" and "AGPL-3.0" in made["description"]
    assert "kaggle datasets create" in capsys.readouterr().out
    for arguments in pip.asked:
        assert "--no-deps" in arguments and "--only-binary=:all:" in arguments
        assert arguments[arguments.index("--python-version") + 1] == "3.12" and "manylinux2014_x86_64" in arguments


def test_attached_to_kaggle_the_weights_are_found_without_internet(source, pip, checkout, tmp_path, monkeypatch):
    target = tmp_path / "input" / "datasets" / "someone" / "pixel-play-offline"
    assert cli.main(["fetch", "--to", str(target)]) == 0
    source.files.clear()
    for name in ("clip-rn101", "yolov5s"):
        path = pretrained.obtain(name)
        assert path.parent == target / "weights"
        assert sha256_of(path) in (target / "weights" / pretrained.LOCK).read_text()


def test_what_fails_is_listed_and_a_second_call_fetches_that_alone(source, pip, checkout, tmp_path, capsys):
    target, lost = tmp_path / "offline", source.files.pop("yolo")
    pip.fails = {"av"}
    assert cli.main(["fetch", "--to", str(target)]) == 2
    message = capsys.readouterr().err
    assert "yolov5s" in message and "the wheel of av for Python 3.12: ERROR: no matching" in message
    assert "clip-rn101" not in message and "Traceback" not in message
    assert {"weights/clip.safetensors", "dataset-metadata.json", "pixel-play/requirements.txt"} <= files_below(target)
    (target / "dataset-metadata.json").write_text('{"id": "me/mine"}')
    source.files["yolo"], pip.fails = lost, set()
    before, asked = len(source.asked), len(pip.asked)
    assert cli.main(["fetch", "--to", str(target)]) == 0
    assert [name for name, _ in source.asked[before:]] == ["yolo"]
    assert [arguments[-1] for arguments in pip.asked[asked:]] == ["av"]
    assert (target / "dataset-metadata.json").read_text() == '{"id": "me/mine"}'


def test_weights_on_this_machine_are_copied_not_downloaded(source, pip, checkout, tmp_path):
    (tmp_path / "cache" / "pixelplay").mkdir(parents=True)
    (tmp_path / "cache" / "pixelplay" / "yolov5su.pt").write_bytes(b"mine")
    assert cli.main(["fetch", "--to", str(tmp_path / "offline")]) == 0
    assert (tmp_path / "offline" / "weights" / "yolov5su.pt").read_bytes() == b"mine"
    assert [name for name, _ in source.asked] == ["rn101"]


def test_lite_needs_no_weights_and_another_python_gets_its_own_wheels(source, pip, checkout, tmp_path):
    for python in ("3.12", "3.11"):
        assert cli.main(["fetch", "--to", str(tmp_path / "o"), "--profile", "lite", "--python", python]) == 0
    assert not (tmp_path / "o" / "weights").exists() and source.asked == []
    # one wheel of pure Python serves both
    assert len(list((tmp_path / "o" / "wheels").glob("*.whl"))) == 2 * len(WHEELS) - 1
    assert profile_needs("lite").weights == ("efficientnet-lite0",)
    assert profile_needs("full").weights == ("clip-rn101", "yolov5s")


def test_a_dataset_made_inside_the_checkout_does_not_hold_itself(source, pip, checkout):
    for _ in range(2):
        assert cli.main(["fetch", "--to", str(checkout / "offline"), "--profile", "lite"]) == 0
    assert not (checkout / "offline" / "pixel-play" / "offline").exists()


@pytest.mark.parametrize("kind", ["archive", "installed"])
def test_code_without_git_is_copied_too(source, pip, checkout, tmp_path, capsys, kind):
    shutil.rmtree(checkout / ".git")
    if kind == "installed":
        (checkout / "Final_codes" / "run_all.py").unlink()
    assert cli.main(["fetch", "--to", str(tmp_path / "o"), "--profile", "lite"]) == 0
    found = files_below(tmp_path / "o" / "pixel-play")
    assert "Final_codes/pixelplay/__init__.py" in found and "outputs/big.npy" not in found
    assert ("Final_codes/run_all.py" in found) == (kind == "archive")
    assert ("the installed package only" in capsys.readouterr().out) == (kind == "installed")


@pytest.mark.parametrize(("wheel", "python", "fits"), [
    ("av-19.0-cp312-abi3-manylinux_2_28_x86_64.whl", "3.12", True),
    ("av-19.0-cp312-abi3-manylinux_2_28_x86_64.whl", "3.13", True),
    ("av-19.0-cp312-abi3-manylinux_2_28_x86_64.whl", "3.11", False),
    ("onnxruntime-1.3-cp311-cp311-manylinux_2_28_x86_64.whl", "3.12", False),
    ("ultralytics-8.4-py3-none-any.whl", "3.10", True)])
def test_a_wheel_that_is_there_counts_for_the_pythons_it_runs_on(wheel, python, fits):
    assert fetch_command._fits(wheel, python) is fits
