"""Checks of the requirements of a command, before anything is imported, read or trained.

Reads paths, package names and names of weights. `existing`, `new_folder` and `new_file` are argparse types; the other
functions yield `Problem`s, which the preflight collects and `pixelplay doctor` shows.
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
    """A failed check, and the command or option that fixes it."""

    what: str
    hint: str


def local(text: str) -> Path:
    """Path from a plain path or a file:// address; it need not exist.

    Raises:
        PixelPlayError: another address such as s3://. A run needs atomic renames, locks and partial reads, which
            (network) file systems support and object stores do not.
    """
    scheme, is_address, rest = text.partition("://")
    if is_address and scheme != "file":
        raise PixelPlayError(f"{text} is an address, not a path", expected="a folder or file of a file system",
                             hint=f"mount it (for example: rclone mount) and name the path where it is mounted; "
                             f"pixelplay does not read {scheme}:// itself")
    return Path(rest if is_address else text).expanduser()


def existing(text: str) -> Path:
    """An existing path. Raises PixelPlayError otherwise, suggesting the sibling with the most similar name."""
    path = local(text)
    if path.exists():
        return path
    there = nearest(path)
    wanted = path.absolute().relative_to(there.absolute()).parts[0]
    names = [p.name for p in there.iterdir()] if there.is_dir() else []
    raise PixelPlayError(f"{path} does not exist", expected=f"something in {there}" if there != path else "",
                         hint=did_you_mean(wanted, names) or "check the path")


def new_folder(text: str) -> Path:
    """A folder that is writable or can be created. Raises PixelPlayError otherwise."""
    path = local(text)
    for problem in unwritable(path):
        raise PixelPlayError(problem.what, expected="a folder that can be written to", hint=problem.hint)
    return path


def new_file(text: str) -> Path:
    """A file in a folder that is writable or can be created. Raises PixelPlayError otherwise."""
    path = local(text)
    if reason := _refused(path if path.is_dir() else path.parent):
        raise PixelPlayError(f"{path} cannot be written: {reason}", expected="a file in a folder of your own")
    return path


def nearest(path: Path) -> Path:
    """The path itself, or its nearest existing parent."""
    return next(place for place in (path, *path.absolute().parents) if place.exists())


def unwritable(folder: Path) -> Iterator[Problem]:
    """Check that an output folder is writable or can be created, without creating it."""
    if reason := _refused(folder):
        yield Problem(f"output {folder} cannot be written to: {reason}",
                      "choose a folder of your own with --output DIR")


def _refused(folder: Path) -> str:
    """Why a folder is not writable; '' if it is."""
    try:
        with tempfile.TemporaryFile(dir=nearest(folder)):
            return ""
    except OSError as cause:
        return cause.strerror


def packages(needs: Needs) -> Iterator[Problem]:
    """Check that optional packages are installed."""
    for name in needs.packages:
        if not environment.installed(name):
            yield Problem(f"package {name} is not installed", f"pip install {name}")


def weights(needs: Needs, download: bool) -> Iterator[Problem]:
    """Check that weights are on this machine; otherwise download them, or only check that their source responds."""
    for name in needs.weights:
        try:
            if pretrained.find(name) is None:
                (pretrained.obtain if download else pretrained.require_source)(name)
        except PixelPlayError as error:
            yield Problem(error.problem, error.hint)


def space(folder: Path, needed: float) -> Iterator[Problem]:
    """Check that the disk of a folder has `needed` bytes free."""
    free = shutil.disk_usage(nearest(folder)).free
    if free < needed:
        yield Problem(f"{folder} has {free / 1e9:.1f} GB left, this run writes about {needed / 1e9:.1f} GB",
                      "free some space or choose another disk with --output DIR")


def memory(needed: float) -> Iterator[Problem]:
    """Check that `needed` bytes of memory are free, if the system reports it."""
    free = environment.free_memory()
    if free is not None and free < needed:
        yield Problem(f"{free / 1e9:.1f} GB of memory are free, this run needs about {needed / 1e9:.1f} GB more",
                      "close other programs, or run fewer models at a time with --models")
