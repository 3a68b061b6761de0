"""A lock that allows one run at a time in an output folder.

`locked(folder)` holds an advisory lock (flock) on `.lock`, which names process and machine of its owner. The system
releases it when the owner ends for any reason, so locks are never stale. Processes of the owner may enter: the other
ranks of a launch (RANK), and child processes, which inherit the environment variable `OWNER`.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from pixelplay.errors import PixelPlayError
from pixelplay.files import clear_errors, clear_orphans

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None

log = logging.getLogger(__name__)

NAME = ".lock"
OWNER = "PIXELPLAY_RUN_FOLDER"
"""Environment variable: folder that this process, or its parent, has locked."""
PAUSE = 1.0
"""Seconds between attempts to take a lock."""


@contextlib.contextmanager
def locked(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold the lock of an output folder; creates the folder and removes partial files of dead processes.

    Args:
        wait: wait for another run to end instead of raising.
    Raises:
        PixelPlayError: another run uses the folder, or it is not writable.
    """
    folder = Path(folder).absolute()
    if os.environ.get(OWNER) == str(folder) or os.environ.get("RANK", "0") != "0":
        yield
        return
    new = [place for place in (folder, *folder.parents) if not place.exists()]
    with _take(folder, wait) as stream:
        with clear_errors(folder / NAME):
            stream.truncate(0)
            stream.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            stream.flush()
        before = os.environ.get(OWNER)
        os.environ[OWNER] = str(folder)
        try:
            for path in clear_orphans(folder):
                log.info("removed %s, left by a process that is gone", path)
            yield
        finally:
            os.environ.pop(OWNER)
            if before is not None:
                os.environ[OWNER] = before
            if new and list(folder.iterdir()) == [folder / NAME]:
                (folder / NAME).unlink()  # a run that failed its checks leaves nothing behind
                for place in new:
                    place.rmdir()


def _take(folder: Path, wait: bool) -> TextIO:
    """The open lock file, once the lock is held."""
    while True:
        with clear_errors(folder / NAME):
            folder.mkdir(parents=True, exist_ok=True)
            stream = (folder / NAME).open("a+", encoding="utf-8")
        try:
            _wait_for(stream, folder, wait)
        except BaseException:
            stream.close()
            raise
        if os.fstat(stream.fileno()).st_nlink:
            return stream
        stream.close()  # the previous owner has removed the file


def _wait_for(stream: TextIO, folder: Path, wait: bool) -> None:
    if fcntl is None:
        log.warning("%s is not locked: this system has no flock; run one process at a time in it", folder)
        return
    announced = False
    while True:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as cause:
            if cause.errno in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL):
                log.warning("%s is not locked: its file system has no locks; run one process at a time in it", folder)
                return
            if cause.errno not in (errno.EAGAIN, errno.EACCES):
                raise
        stream.seek(0)
        owner = stream.read().strip() or "another process"
        if not wait:
            raise PixelPlayError(f"{folder} is in use by {owner}", expected="one run at a time in an output folder",
                                 hint="wait until it ends, or choose another --output")
        if not announced:
            log.info("waiting for %s, which uses %s", owner, folder)
            announced = True
        time.sleep(PAUSE)
