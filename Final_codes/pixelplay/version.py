"""The release, the git revision, and the versions of libraries that affect results."""

from __future__ import annotations

import subprocess
from importlib import metadata
from pathlib import Path

VERSION = "0.2.0"
"""Part of every cache key: results of another release are recomputed."""
LIBRARIES = "torch", "numpy", "opencv-python", "timm", "accelerate"


def git_revision() -> str:
    """Short git revision of the checkout; 'unknown' outside a checkout."""
    try:
        found = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=Path(__file__).parent,
                               capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return "unknown"
    return found.stdout.strip() or "unknown"


def versions() -> dict[str, str]:
    """Versions of libraries that affect results."""
    found = {"pixelplay": VERSION}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "absent"
    return found
