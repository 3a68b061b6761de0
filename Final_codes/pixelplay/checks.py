"""Checks of what a command needs, made before anything is imported, read or trained.

Reads paths, package names, names of weights; gives the paths back or says what is wrong. `existing`, `new_folder` and
`new_file` are argparse types; the others give `Problem`s, which a preflight collects and `pixelplay doctor` shows.
"""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pixelplay import environment, pretrained
from pixelplay.errors import PixelPlayError, did_you_mean
from pixelplay.pretrained import Needs


@dataclasses.dataclass(frozen=True)
class Problem:
    """One thing that stands in the way: what, and the line or flag that mends it."""

    what: str
    hint: str


def local(text: str) -> Path:
    """A path, of a plain one or of file://; nothing is asked of what it names.

    Raises:
        PixelPlayError: an address of a store. Runs rename finished files into place, lock folders, and read from the
            middle of files, which file systems can, network ones too, and stores of objects cannot.
    """
    scheme, is_address, rest = text.partition("://")
    if is_address and scheme != "file":
        raise PixelPlayError(f"{text} is an address, not a path", expected="a folder or file of a file system",
                             hint=f"mount it (for example: rclone mount) and name the path where it is mounted; "
                             f"pixelplay does not read {scheme}:// itself")
    return Path(rest if is_address else text).expanduser()


def existing(text: str) -> Path:
    """A path that is there. Raises PixelPlayError otherwise, with the neighbour whose name is most like it."""
    path = local(text)
    if path.exists():
        return path
    there = nearest(path)
    wanted = path.absolute().relative_to(there.absolute()).parts[0]
    names = [p.name for p in there.iterdir()] if there.is_dir() else []
    raise PixelPlayError(f"{path} does not exist", expected=f"something in {there}" if there != path else "",
                         hint=did_you_mean(wanted, names) or "check the path")


def new_folder(text: str) -> Path:
    """A folder that can be made, or is there and can be written to. Raises PixelPlayError otherwise."""
    path = local(text)
    for problem in unwritable(path):
        raise PixelPlayError(problem.what, expected="a folder that can be written to", hint=problem.hint)
    return path


def new_file(text: str) -> Path:
    """A file that can be written, in a folder that is there or can be made. Raises PixelPlayError otherwise."""
    path = local(text)
    if reason := _refused(path if path.is_dir() else path.parent):
        raise PixelPlayError(f"{path} cannot be written: {reason}", expected="a file in a folder of your own")
    return path


def nearest(path: Path) -> Path:
    """The path, or the nearest folder above it that is there."""
    return next(place for place in (path, *path.absolute().parents) if place.exists())


def unwritable(folder: Path) -> Iterator[Problem]:
    """Whether an output folder can be made and written to; nothing is left behind where it is not there yet."""
    if reason := _refused(folder):
        yield Problem(f"output {folder} cannot be written to: {reason}",
                      "choose a folder of your own with --output DIR")


def _refused(folder: Path) -> str:
    """Why nothing can be written below a folder; '' where it can."""
    try:
        with tempfile.TemporaryFile(dir=nearest(folder)):
            return ""
    except OSError as cause:
        return cause.strerror


def packages(needs: Needs) -> Iterator[Problem]:
    """Optional packages that are missing."""
    for name in needs.packages:
        if not environment.installed(name):
            yield Problem(f"package {name} is not installed", f"pip install {name}")


def weights(needs: Needs, download: bool) -> Iterator[Problem]:
    """Weights are found on this machine with the right digest, or are downloaded (if not: their source answers)."""
    for name in needs.weights:
        try:
            if pretrained.find(name) is None:
                (pretrained.obtain if download else pretrained.require_source)(name)
        except PixelPlayError as mistake:
            yield Problem(mistake.problem, mistake.hint)


def space(folder: Path, needed: float) -> Iterator[Problem]:
    """Whether a disk has so many bytes left."""
    free = shutil.disk_usage(nearest(folder)).free
    if free < needed:
        yield Problem(f"{folder} has {free / 1e9:.1f} GB left, this run writes about {needed / 1e9:.1f} GB",
                      "free some space or choose another disk with --output DIR")


def memory(needed: float) -> Iterator[Problem]:
    """Whether so many bytes of memory are free, where the system tells."""
    free = environment.free_memory()
    if free is not None and free < needed:
        yield Problem(f"{free / 1e9:.1f} GB of memory are free, this run needs about {needed / 1e9:.1f} GB more",
                      "close other programs, or run fewer models at a time with --models")
