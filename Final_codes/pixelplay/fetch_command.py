"""`pixelplay fetch --to DIR`: everything that a Kaggle notebook without internet needs, as a dataset to attach.

Writes DIR/weights (for the models of the profile), DIR/wheels (packages missing from Kaggle's image), DIR/pixel-play
(this code) and DIR/dataset-metadata.json. Valid files are kept: a second call fetches only what is missing.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

from pixelplay.checks import new_folder
from pixelplay.config import PROFILES
from pixelplay.errors import PixelPlayError
from pixelplay.files import atomic_path, write_text
from pixelplay.pretrained import PACKAGE, TABLE, download, find, held
from pixelplay.registry import profile_needs

WHEELS = ("av", "ultralytics", "ultralytics-thop", "ultralytics-platform", "onnxruntime")
"""Distributions of `requirements.txt`, and their dependencies, that are missing from Kaggle's image."""
KAGGLE_PYTHON = "3.12"
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux2014_x86_64")
LEFT_OUT = ("__pycache__", ".git", ".venv", "outputs", "*.egg-info", ".*_cache", ".ipynb_checkpoints")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare --to, --profile, --weights and --python."""
    parser.add_argument("--to", type=new_folder, required=True, metavar="DIR",
                        help="folder of the dataset; made if missing")
    parser.add_argument("--profile", choices=PROFILES, default="full",
                        help="fetch the weights of this profile; lite needs only shipped ones (default: full)")
    parser.add_argument("--weights", nargs="+", choices=sorted(TABLE), default=[], metavar="NAME",
                        help="more weights: " + " ".join(sorted(TABLE)))
    parser.add_argument("--python", default=KAGGLE_PYTHON, metavar="VERSION",
                        help=f"Python the wheels are for (default: Kaggle's, {KAGGLE_PYTHON})")


def run(args: argparse.Namespace) -> int:
    """Fetch item by item; a failure does not stop the others."""
    failures = []
    for name in dict.fromkeys([*profile_needs(args.profile).weights, *args.weights]):
        if TABLE[name].files[0].folder:  # shipped with the code
            continue
        try:
            path = fetch_weights(name, args.to / "weights")
            size = path.stat().st_size / 1e6
            print(f"weights  {name}: {path.name}, {size:.1f} MB, {TABLE[name].licence}", flush=True)
        except PixelPlayError as error:
            failures.append(error.problem)
    for name in WHEELS:
        problem = fetch_wheel(name, args.to / "wheels", args.python)
        if problem:
            failures.append(f"the wheel of {name} for Python {args.python}: {problem}")
        else:
            print(f"wheel    {name}", flush=True)
    print(f"code     {copy_code(args.to / 'pixel-play')}")
    if not (args.to / "dataset-metadata.json").exists():  # the user writes the own name into it
        write_text(args.to / "dataset-metadata.json", json.dumps(metadata(), indent=2) + "\n")
    if failures:
        raise PixelPlayError("not everything could be fetched:\n  - " + "\n  - ".join(failures),
                             hint=f"connect to the internet and run it again: files in {args.to} are kept")
    print(f"write your Kaggle name into {args.to / 'dataset-metadata.json'}, then: "
          f"kaggle datasets create -p {args.to} --dir-mode zip")
    return 0


def fetch_weights(name: str, folder: Path) -> Path:
    """Put a weights file into `folder`: keep the one there, else copy it from this machine, else download it."""
    there = held(name, folder)
    if there:
        return there
    elsewhere = find(name)
    if elsewhere is None:
        return download(name, folder)
    with atomic_path(folder / elsewhere.name) as part:
        shutil.copyfile(elsewhere, part)
    return folder / elsewhere.name


def fetch_wheel(name: str, folder: Path, python: str) -> str:
    """Download one wheel with pip, without dependencies. Returns the error, '' on success."""
    if any(_fits(wheel.name, python) for wheel in folder.glob(f"{name.replace('-', '_')}-*.whl")):
        return ""
    done = pip_download(["--no-deps", "--only-binary=:all:", "--python-version", python, "--dest", str(folder),
                         *(word for p in PLATFORMS for word in ("--platform", p)), name])
    if done.returncode == 0:
        return ""
    errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
    return errors[-1] if errors else f"pip ended with status {done.returncode}"


def _fits(wheel: str, python: str) -> bool:
    """Whether a wheel file name fits a Python version such as '3.12'."""
    minor = int(python.partition(".")[2])
    stable = re.search(r"-cp3(\d+)-abi3-", wheel)  # stable ABI: this version and later
    return "-py3-none-any" in wheel or f"-cp3{minor}-cp3{minor}" in wheel or bool(stable and int(stable[1]) <= minor)


def pip_download(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """Run `pip download` with a short timeout in a subprocess."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--retries", "1",
               "--timeout", "20", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def copy_code(target: Path) -> str:
    """Copy this code, including uncommitted changes, to `target`. Returns a description of what was copied."""
    root = PACKAGE.parents[1]
    if not (root / "Final_codes" / "run_all.py").is_file():  # an installed package has no notebooks and scripts
        _copy_tree(PACKAGE, target / "Final_codes" / "pixelplay")
        return f"{target}: the installed package only; run fetch in a checkout to include notebooks and scripts"
    listed = _tracked(root)
    if listed is None:
        for name in ("Final_codes", "README.md", "LICENSE", "requirements.txt", "pyproject.toml"):
            if (root / name).is_dir():
                _copy_tree(root / name, target / name)
            elif (root / name).is_file():
                shutil.copy2(root / name, target / name)
        return f"{target}: this folder (not a git checkout)"
    for name in listed:
        # skip the dataset itself if it lies inside the checkout
        if (root / name).is_file() and target.parent.resolve() not in (root / name).resolve().parents:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, target / name)
    return f"{target}: {len(listed)} files of the checkout"


def _tracked(root: Path) -> list[str] | None:
    """Files of the checkout that git does not ignore; None if `root` is no checkout or git is missing."""
    if not (root / ".git").exists() or shutil.which("git") is None:
        return None
    listed = subprocess.run(["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                            capture_output=True, text=True, check=False)
    return sorted(set(listed.stdout.split("\0")) - {""}) if listed.returncode == 0 else None


def _copy_tree(source: Path, target: Path) -> None:
    shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*LEFT_OUT))


def metadata() -> dict[str, object]:
    """Kaggle's metadata of the dataset. It has one licence field; the licences of the parts go into the description."""
    parts = "; ".join(f"{w.title}: {w.licence}" for w in TABLE.values())
    return {"title": "Pixel Play offline", "id": "YOUR_NAME/pixel-play-offline", "licenses": [{"name": "other"}],
            "description": f"Code (MIT), weights and wheels for Pixel Play with internet off. Weights: {parts}. "
                           "Wheels: see each package; ultralytics is AGPL-3.0."}
