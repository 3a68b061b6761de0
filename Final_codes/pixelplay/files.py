"""Atomic writes, and files sealed with a digest of their content.

`atomic_path` writes to `.NAME.PID.part` beside the target, flushes it to disk and renames it when complete: a killed
process leaves the old file or none. `sealed` also writes a seal, `.NAME.digest`: the BLAKE2b digest of the content in
the format of `b2sum` (check it with `b2sum -c .NAME.digest`). Readers of a sealed file call `check`, which raises an
error, or `damaged`, if they can recreate the file. A file without a seal, such as a score file of another tool, passes.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pixelplay.errors import PixelPlayError

log = logging.getLogger(__name__)

DIGEST_BITS = 128
REMEMBERED = 1 << 24
"""Files of at least this many bytes are checked once per process while size and modification time stay the same.
Smaller files are checked every time: time stamps are too coarse to separate two writes within a few milliseconds."""
_BLOCK = 1 << 20
_FULL = (errno.ENOSPC, errno.EDQUOT)
_UNWRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.EIO,
               errno.EFBIG, errno.ENAMETOOLONG)
_FULL_WORDS = re.compile(r"No space left|\d+ requested and \d+ written|PytorchStreamWriter|file write failed")
"""Messages of NumPy and PyTorch about a full disk, which carry no error number."""
_PART = re.compile(r"\..+\.(\d{1,7})\.part(\.\w+)?")

_checked: dict[Path, tuple[int, int, int]] = {}


# ---- writing ----------------------------------------------------------------------------------------------------

@contextlib.contextmanager
def atomic_path(target: Path | str) -> Iterator[Path]:
    """Yield a temporary path in the folder of the target (same suffix); on success, flush it and rename it.

    Raises:
        PixelPlayError: the disk is full, or the folder is not writable.
    """
    with _part_of(Path(target)) as part:
        yield part
        flush(part)
        unseal(Path(target))  # the seal of the previous content
        part.replace(target)
        flush(Path(target).parent)


@contextlib.contextmanager
def sealed(target: Path | str) -> Iterator[Path]:
    """As `atomic_path`, and write a seal."""
    with _part_of(Path(target)) as part:
        yield part
        adopt(part, Path(target))


def adopt(part: Path, target: Path) -> None:
    """Flush, seal and rename a complete file."""
    flush(part)
    digest, mark = digest_of(part), seal_path(target)
    with _part_of(mark) as seal_part:
        _write_seal(seal_part, digest, target.name)
        # remove the old seal first: a kill in between leaves a file without a seal, never with a wrong one
        mark.unlink(missing_ok=True)
        part.replace(target)
        seal_part.replace(mark)
        flush(target.parent)
    _remember(target)


def unseal(path: Path) -> None:
    """Delete the seal of a file, before its content changes."""
    seal_path(path).unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Sync a file or folder to disk, so that a power cut leaves no empty file."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as cause:
        if cause.errno != errno.EINVAL:  # some file systems cannot sync a folder
            raise
    finally:
        os.close(handle)


def write_text(target: Path | str, text: str) -> None:
    """Write a text file atomically."""
    with atomic_path(target) as part:
        part.write_text(text, encoding="utf-8")


def write_json(target: Path | str, value: Any, *, seal: bool = False) -> None:
    """Write JSON (sorted keys, two-space indent) atomically; `seal` it if results depend on it."""
    with (sealed if seal else atomic_path)(target) as part:
        part.write_text(json.dumps(value, indent=2, sort_keys=True, default=str) + "\n", encoding="utf-8")


def remove(path: Path) -> None:
    """Delete a file and its seal, if they exist."""
    Path(path).unlink(missing_ok=True)
    unseal(path)


def clear_orphans(folder: Path) -> list[Path]:
    """Remove partial files of dead processes of this machine; returns their paths. The folder must be locked."""
    gone = []
    for path in Path(folder).rglob(".*.part*"):
        found = _PART.fullmatch(path.name)
        if found and path.is_file() and not _alive(int(found[1])):
            path.unlink(missing_ok=True)
            gone.append(path)
    return gone


@contextlib.contextmanager
def clear_errors(target: Path) -> Iterator[None]:
    """Turn disk errors while writing `target` into PixelPlayError; other errors pass."""
    try:
        yield
    except (OSError, RuntimeError) as cause:
        # torch.save masks the disk error with one about positions in its file
        first = cause.__context__ if type(cause) is RuntimeError and isinstance(cause.__context__, OSError) else cause
        number = getattr(first, "errno", None)
        if number in _FULL or _FULL_WORDS.search(str(cause)):
            raise PixelPlayError(f"no space left while writing {target}",
                                 hint="free some space or choose another --output; what was finished is kept"
                                 ) from cause
        about = getattr(first, "filename", None)
        if number in _UNWRITABLE and (about is None or Path(os.fsdecode(about)).parent in (target.parent,
                                                                                          *target.parent.parents)):
            raise PixelPlayError(f"{target} cannot be written: {os.strerror(number)}",
                                 expected="a folder that can be written to",
                                 hint="choose another --output, or change the folder's permissions") from cause
        raise


@contextlib.contextmanager
def _part_of(target: Path) -> Iterator[Path]:
    part = target.with_name(f".{target.stem}.{os.getpid()}.part{target.suffix}")
    with clear_errors(target):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            yield part
        finally:
            with contextlib.suppress(OSError):  # a failing clean-up must not hide the first error
                part.unlink(missing_ok=True)


# ---- reading ----------------------------------------------------------------------------------------------------

def read_json(path: Path | str) -> Any:
    """Read JSON. Raises PixelPlayError: the file is missing, unreadable or damaged."""
    path = Path(path)
    check(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PixelPlayError(f"{path} is missing") from None
    except OSError as cause:
        raise PixelPlayError(f"{path} cannot be read: {cause.strerror}") from cause
    # wrong encodings and numbers of thousands of digits raise ValueError, deep nesting RecursionError
    except (ValueError, RecursionError) as cause:
        raise PixelPlayError(f"{path} is not valid JSON: {cause}", hint="delete it and run the stage again") from cause


def check(path: Path | str) -> None:
    """Raise PixelPlayError if the content of a file does not match its seal.

    Files without a seal pass, and so do missing ones: the reader knows how to recreate them.
    """
    path = Path(path)
    if path.exists() and not _fits(path):
        raise PixelPlayError(
            f"{path} is damaged or was changed after it was written: its content does not match its digest",
            expected=f"the content named in {seal_path(path).name}",
            hint="run again with the same --output: damaged files are recreated. If you changed it on purpose, "
            f"delete {seal_path(path)}")


def damaged(paths: Iterable[Path]) -> list[Path]:
    """Those files that no longer match their seal, or that have a seal but are missing; logs a warning for each."""
    found = [p for p in map(Path, paths) if not _fits(p)]
    for path in found:
        log.warning("%s is damaged or was changed after it was written: recreating it", path)
    return found


def verify(folder: Path) -> tuple[list[Path], int]:
    """Check every sealed file below a folder; returns the files that do not match, and the number of seals."""
    files = sealed_files(folder, "**")
    _checked.clear()
    return [f for f in files if not _fits(f)], len(files)


def sealed_files(folder: Path, where: str = ".") -> list[Path]:
    """Files of a folder that have a seal, existing or not; with '**', also in subfolders."""
    return sorted(p.with_name(p.name[1:-len(".digest")]) for p in Path(folder).glob(f"{where}/.*.digest")
                  if not _PART.fullmatch(p.name))


def seal_path(path: Path | str) -> Path:
    """Path of the seal of a file."""
    path = Path(path)
    return path.with_name(f".{path.name}.digest")


def digest_of(path: Path | str) -> str:
    """Hex BLAKE2b (128 bits) of the content of a file, read in blocks."""
    return _hash_of(path, hashlib.blake2b(digest_size=DIGEST_BITS // 8))


def sha256_of(path: Path | str) -> str:
    """Hex sha256 of the content of a file, read in blocks."""
    return _hash_of(path, hashlib.sha256())


def state_of(path: Path) -> tuple[int, int, int]:
    """Size, modification time in ns and inode of a file: equal while it is unchanged."""
    about = path.stat()
    return about.st_size, about.st_mtime_ns, about.st_ino


def _hash_of(path: Path | str, digest: Any) -> str:
    with Path(path).open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _fits(path: Path) -> bool:
    try:
        wanted = seal_path(path).read_text(encoding="utf-8", errors="replace").split(" ")[0]
    except (FileNotFoundError, NotADirectoryError):
        return True
    if not path.exists():
        return False
    if _checked.get(path.absolute()) == state_of(path):
        return True
    if digest_of(path) != wanted:
        return False
    _remember(path)
    return True


def _write_seal(part: Path, digest: str, name: str) -> None:
    part.write_text(f"{digest}  {name}\n", encoding="utf-8", errors="surrogateescape")
    flush(part)


def _remember(path: Path) -> None:
    if path.stat().st_size >= REMEMBERED:
        _checked[path.absolute()] = state_of(path)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
