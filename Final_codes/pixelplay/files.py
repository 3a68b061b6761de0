"""Writing that survives kills, power cuts and full disks, and files that prove what they hold.

`atomic_path`: the content is written under `.NAME.PID.part` beside the target, flushed to the disk, and renamed when
complete, so a killed process leaves the old file or none. `sealed` does the same and leaves a seal, `.NAME.digest`,
beside the file: the BLAKE2b digest of its content, one line in the format of `b2sum` (`b2sum -c .NAME.digest`). Whoever
uses a sealed file calls `check` (an error names the file) or `damaged` (the caller makes it again). A file without a
seal is taken as it is: somebody else's score file has none.
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
"""Bytes from which on a process checks a file once, as long as its size and time of change stay the same. A smaller one
is checked every time: the clock of file systems is too coarse to tell two writes within a few milliseconds."""
_BLOCK = 1 << 20
_FULL = (errno.ENOSPC, errno.EDQUOT)
_UNWRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.EIO,
               errno.EFBIG, errno.ENAMETOOLONG)
_FULL_WORDS = re.compile(r"No space left|\d+ requested and \d+ written|PytorchStreamWriter|file write failed")
"""How NumPy and PyTorch tell of a full disk: without an error number."""
_PART = re.compile(r"\..+\.(\d{1,7})\.part(\.\w+)?")

_checked: dict[Path, tuple[int, int, int]] = {}


# ---- writing ----------------------------------------------------------------------------------------------------

@contextlib.contextmanager
def atomic_path(target: Path | str) -> Iterator[Path]:
    """Yield a temporary path in the target's folder (same suffix); flush it and rename it to the target on success.

    Raises:
        PixelPlayError: the disk is full, or the place cannot be written to.
    """
    with _part_of(Path(target)) as part:
        yield part
        flush(part)
        unseal(Path(target))  # of what lay here before
        part.replace(target)
        flush(Path(target).parent)


@contextlib.contextmanager
def sealed(target: Path | str) -> Iterator[Path]:
    """`atomic_path` for a file that has to prove itself later: a seal is written with it."""
    with _part_of(Path(target)) as part:
        yield part
        adopt(part, Path(target))


def adopt(part: Path, target: Path) -> None:
    """Give a complete file its final name, flushed and sealed."""
    flush(part)
    digest, mark = digest_of(part), seal_path(target)
    with _part_of(mark) as seal_part:
        _write_seal(seal_part, digest, target.name)
        # the old seal goes first: a kill in between leaves a file without a seal, never one with a wrong seal
        mark.unlink(missing_ok=True)
        part.replace(target)
        seal_part.replace(mark)
        flush(target.parent)
    _remember(target)


def unseal(path: Path) -> None:
    """Forget a file's seal: its content changes, or it goes."""
    seal_path(path).unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Wait until a file's content (or a folder's names) are on the disk: a power cut must not leave an empty file."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as cause:
        if cause.errno != errno.EINVAL:  # a file system that cannot flush a folder has nothing to be waited for
            raise
    finally:
        os.close(handle)


def write_text(target: Path | str, text: str) -> None:
    """Write a text file in one step."""
    with atomic_path(target) as part:
        part.write_text(text, encoding="utf-8")


def write_json(target: Path | str, value: Any, *, seal: bool = False) -> None:
    """Write JSON (sorted keys, two-space indent) in one step; `seal` it where results depend on it."""
    with (sealed if seal else atomic_path)(target) as part:
        part.write_text(json.dumps(value, indent=2, sort_keys=True, default=str) + "\n", encoding="utf-8")


def remove(path: Path) -> None:
    """Delete a file, where there is one, and its seal."""
    Path(path).unlink(missing_ok=True)
    unseal(path)


def clear_orphans(folder: Path) -> list[Path]:
    """Remove the parts of processes of this machine that are gone; returns them. Call it with the folder locked."""
    gone = []
    for path in Path(folder).rglob(".*.part*"):
        found = _PART.fullmatch(path.name)
        if found and path.is_file() and not _alive(int(found[1])):
            path.unlink(missing_ok=True)
            gone.append(path)
    return gone


@contextlib.contextmanager
def clear_errors(target: Path) -> Iterator[None]:
    """Turn what a disk can do while `target` is written into a PixelPlayError; any other error passes."""
    try:
        yield
    except (OSError, RuntimeError) as cause:
        # torch.save covers the disk's own error with one about positions in its file
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
            with contextlib.suppress(OSError):  # a read-only or full place must not hide the first error
                part.unlink(missing_ok=True)


# ---- reading ----------------------------------------------------------------------------------------------------

def read_json(path: Path | str) -> Any:
    """Read JSON; a file that is missing, cannot be read or is damaged is a PixelPlayError that names it."""
    path = Path(path)
    check(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PixelPlayError(f"{path} is missing") from None
    except OSError as cause:
        raise PixelPlayError(f"{path} cannot be read: {cause.strerror}") from cause
    # not UTF-8 and numbers of thousands of digits are ValueErrors, too; brackets in brackets exhaust the stack
    except (ValueError, RecursionError) as cause:
        raise PixelPlayError(f"{path} is not valid JSON: {cause}", hint="delete it and run the stage again") from cause


def check(path: Path | str) -> None:
    """Raise PixelPlayError where a file's content is not what was sealed; a file without a seal passes, and so does a
    missing one: whoever opens it knows what makes it."""
    path = Path(path)
    if path.exists() and not _fits(path):
        raise PixelPlayError(
            f"{path} is damaged or was changed after it was written: its content does not fit its digest",
            expected=f"the content named in {seal_path(path).name}",
            hint="run again with the same --output: what does not fit is made again. If you changed it on purpose, "
            f"delete {seal_path(path)}")


def damaged(paths: Iterable[Path]) -> list[Path]:
    """Those of some files that lost their content, or themselves, since they were sealed; each is named in the log."""
    found = [p for p in map(Path, paths) if not _fits(p)]
    for path in found:
        log.warning("%s is damaged or was changed after it was written: it is made again", path)
    return found


def verify(folder: Path) -> tuple[list[Path], int]:
    """Check every sealed file below a folder, whole; returns those that do not fit, and how many seals there are."""
    files = sealed_files(folder, "**")
    _checked.clear()
    return [f for f in files if not _fits(f)], len(files)


def sealed_files(folder: Path, where: str = ".") -> list[Path]:
    """Files of a folder that have a seal, whether or not they are still there; with '**' those below it, too."""
    return sorted(p.with_name(p.name[1:-len(".digest")]) for p in Path(folder).glob(f"{where}/.*.digest")
                  if not _PART.fullmatch(p.name))


def seal_path(path: Path | str) -> Path:
    """Where the seal of a file lies."""
    path = Path(path)
    return path.with_name(f".{path.name}.digest")


def digest_of(path: Path | str) -> str:
    """Hex BLAKE2b (128 bits) of a file's content, read in blocks: over 1 GB a second on one core."""
    return _hash_of(path, hashlib.blake2b(digest_size=DIGEST_BITS // 8))


def sha256_of(path: Path | str) -> str:
    """Hex sha256 of a file's content, read in blocks."""
    return _hash_of(path, hashlib.sha256())


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
    if _checked.get(path.absolute()) == _state(path):
        return True
    if digest_of(path) != wanted:
        return False
    _remember(path)
    return True


def _write_seal(part: Path, digest: str, name: str) -> None:
    part.write_text(f"{digest}  {name}\n", encoding="utf-8", errors="surrogateescape")
    flush(part)


def _state(path: Path) -> tuple[int, int, int]:
    about = path.stat()
    return about.st_size, about.st_mtime_ns, about.st_ino


def _remember(path: Path) -> None:
    if path.stat().st_size >= REMEMBERED:
        _checked[path.absolute()] = _state(path)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
