"""`pixelplay doctor`: check this machine for a run, and name the command that installs what is missing.

Reads installed packages, the hardware, the weights of `pretrained.TABLE` and the disk; changes nothing.
"""

from __future__ import annotations

import argparse
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from pixelplay import checks, environment, pretrained
from pixelplay.checks import Problem
from pixelplay.environment import default_output, hardware
from pixelplay.errors import PixelPlayError
from pixelplay.pretrained import TABLE, Needs
from pixelplay.registry import profile_needs
from pixelplay.tables import text_table
from pixelplay.version import VERSION

CODECS = {"h264": "r", "hevc": "r", "mpeg4": "r", "av1": "r", "libx264": "w"}
"""Codecs that videos are read with ('r') and reports are written with ('w')."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare --output."""
    parser.add_argument("--output", type=Path, default=default_output(), metavar="DIR",
                        help="where a run would write (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Print what is present and what is missing. Returns 0 if the lite profile can run, 1 otherwise."""
    needed = {profile: Needs(packages=("av",)) | profile_needs(profile) for profile in ("lite", "full")}
    for title, rows in (("machine", machine(args.output)), ("packages", installed_packages()),
                        ("videos", codecs()), ("weights", weights())):
        print(title)
        print("\n".join(f"  {line}" for line in text_table(["", ""], [[a, ""] for a, _ in rows],
                                                            notes=[b for _, b in rows])[1:]) + "\n")
    lacking = {"lite": [*needs_problems(needed["lite"]), *checks.unwritable(args.output)],
               "full": [*needs_problems(needed["full"]), *no_gpu()]}
    for profile, problems in lacking.items():
        print(f"profile {profile}: " + ("nothing is missing" if not problems else "missing:"))
        for problem in problems:
            print(f"  {problem.what}\n    hint: {problem.hint}")
    return 1 if lacking["lite"] else 0


def needs_problems(needs: Needs) -> list[Problem]:
    """Missing packages and weights, without network access."""
    gone = [name for name in needs.weights if _found(name) is None]
    return [*checks.packages(needs), *(Problem(
        f"weights {name}: {TABLE[name].title}, {TABLE[name].licence}, {TABLE[name].files[0].megabytes} MB",
        "downloaded by the first run that needs them; for a machine without internet: pixelplay fetch --to DIR "
        f"--weights {name}") for name in gone)]


def no_gpu() -> Iterator[Problem]:
    """Check that there is a GPU, for the full profile."""
    if hardware().device == "cpu":
        yield Problem(hardware().note or "torch finds no GPU here", "use --profile lite, which is made for CPUs")


def machine(output: Path) -> list[tuple[str, str]]:
    """Versions, device, memory and disk."""
    free, disk = environment.free_memory(), shutil.disk_usage(checks.nearest(output))
    return [("pixelplay", VERSION), ("python", f"{platform.python_version()}, {platform.platform()}"),
            ("device", f"{hardware().name}; {hardware().dtype}, {hardware().threads} threads"),
            ("memory", "unknown" if free is None else f"{free / 1e9:.1f} GB free"),
            ("disk", f"{disk.free / 1e9:.1f} GB of {disk.total / 1e9:.1f} GB free on the disk of {output}")]


def installed_packages() -> list[tuple[str, str]]:
    """Declared dependencies, required and optional, with their installed versions."""
    try:
        declared = metadata.requires("pixelplay") or []
    except metadata.PackageNotFoundError:
        declared = (pretrained.PACKAGE.parents[1] / "requirements.txt").read_text().splitlines()
    rows = {}
    for line in declared:
        name = re.match(r"[A-Za-z0-9_.-]+", line)
        older = re.search(r"python_version < ['\"]3\.(\d+)", line)
        extra = re.search(r"extra == ['\"](\w+)['\"]", line)
        optional = extra[1] if extra else ""
        if (name is None or name[0] == "pixelplay" or optional == "dev"
                or (older and sys.version_info >= (3, int(older[1])))):
            continue
        rows.setdefault(name[0], metadata.version(name[0]) if environment.installed(name[0]) else (
            f"missing{f' (optional: {optional})' if optional else ''}; pip install {name[0]}"))
    return list(rows.items())


def codecs() -> list[tuple[str, str]]:
    """PyAV with its codecs, and the ffmpeg program (optional)."""
    program = shutil.which("ffmpeg") or "not installed (not needed: PyAV brings its own libraries)"
    if not environment.installed("av"):
        return [("PyAV", "missing: folders of frames can be read, videos cannot; pip install av"), ("ffmpeg", program)]
    import av
    from av.codec import codecs_available

    names = ", ".join(f"{name} ({'reads' if mode == 'r' else 'writes'})" for name, mode in CODECS.items()
                      if name in codecs_available)
    gone = [name for name in CODECS if name not in codecs_available]
    return [("PyAV", f"{av.__version__}: {names}" + (f"; without {', '.join(gone)}" if gone else "")),
            ("ffmpeg", program)]


def weights() -> list[tuple[str, str]]:
    """Location of the weights in `pretrained.TABLE`."""
    rows = []
    for name, entry in TABLE.items():
        try:
            path = pretrained.find(name)
            words = str(path) if path else f"not here ({entry.files[0].megabytes} MB, {entry.licence})"
        except PixelPlayError as error:
            words = error.problem
        rows.append((name, words))
    return rows


def _found(name: str) -> Path | None:
    """Path of weights on this machine; None if missing or with a wrong digest."""
    try:
        return pretrained.find(name)
    except PixelPlayError:
        return None
