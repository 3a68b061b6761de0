"""A folder that looks like Kaggle: competition mounted read-only, code attached as a dataset, working folder apart."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from pixelplay.sample.dataset import make_sample

REPOSITORY = Path(__file__).resolve().parents[2]
MOUNTS = {"old": "pixel-play-26", "new": "competitions/pixel-play-26"}
"""Below the input folder, before and since 2026."""


def make_kaggle(root: Path, style: str = "old") -> tuple[Path, Path]:
    """(input, working) folders with the tiny sample as competition data and this code as a dataset."""
    attached, working = root / "input", root / "working"
    mount = attached / MOUNTS[style]
    made = make_sample(root / "sample", size="tiny")
    dataset = mount / "Pixel_Play_Dataset" / "Dataset"
    for split in ("training_videos", "testing_videos"):
        shutil.copytree(made / split, dataset / split)
    shutil.copy(made / "sample_submission.csv", mount)
    code = attached / ("pixel-play-offline/pixel-play" if style == "old"
                       else "datasets/somebody/pixel-play-offline/pixel-play")
    link_code(code)
    working.mkdir()
    set_writable(mount, False)
    return attached, working


def link_code(target: Path) -> None:
    """A fresh clone's stand-in: links to what is committed, not to outputs of earlier runs beside it."""
    target.mkdir(parents=True)
    for name in ("Final_codes", "Experiments", "Visuals", "README.md", "requirements.txt", "pyproject.toml",
                 "Makefile"):
        (target / name).symlink_to(REPOSITORY / name)


def set_writable(folder: Path, writable: bool) -> None:
    """Allow or forbid writing to a folder and everything in it (root may write all the same)."""
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | stat.S_IWUSR if writable else mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    """Path -> (size, modification time) of every file, without following links to other folders."""
    return {str(Path(at, name).relative_to(folder)): (os.lstat(Path(at, name)).st_size,
                                                      os.lstat(Path(at, name)).st_mtime_ns)
            for at, _, names in os.walk(folder) for name in names}
