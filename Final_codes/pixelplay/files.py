"""Writing that never leaves half a file under a final name, and hashing of files.

Everything the project writes goes through `atomic_path`: the content is written under `NAME.part` beside the
target and renamed when complete, so a killed process leaves the old file or none.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pixelplay.errors import PixelPlayError


@contextlib.contextmanager
def atomic_path(target: Path | str) -> Iterator[Path]:
    """Yield a temporary path in the target's folder (same suffix); rename it to the target on success."""
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.stem}.{os.getpid()}.part{target.suffix}")
    try:
        yield part
        part.replace(target)
    except OSError as cause:
        if cause.errno == 28:  # ENOSPC
            raise PixelPlayError(f"no space left while writing {target}",
                                 mend="free some space or choose another --output; what was finished is kept"
                                 ) from cause
        raise
    finally:
        part.unlink(missing_ok=True)


def write_text(target: Path | str, text: str) -> None:
    """Write a text file in one step."""
    with atomic_path(target) as part:
        part.write_text(text, encoding="utf-8")


def write_json(target: Path | str, value: Any) -> None:
    """Write JSON (sorted keys, two-space indent) in one step."""
    write_text(target, json.dumps(value, indent=2, sort_keys=True, default=str) + "\n")


def read_json(path: Path | str) -> Any:
    """Read JSON; a file that is missing, cannot be read or is damaged is a PixelPlayError that names it."""
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PixelPlayError(f"{path} is missing") from None
    except OSError as cause:
        raise PixelPlayError(f"{path} cannot be read: {cause.strerror}") from cause
    # not UTF-8 and numbers of thousands of digits are ValueErrors, too; brackets in brackets exhaust the stack
    except (ValueError, RecursionError) as cause:
        raise PixelPlayError(f"{path} is not valid JSON: {cause}", mend="delete it and run the stage again") from cause


def sha256_of(path: Path | str) -> str:
    """Hex sha256 of a file's content, read in blocks."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
