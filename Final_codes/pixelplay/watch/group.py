"""Several cameras: one process per camera, restarted after a failure.

Each process runs the same command with `--camera NAME`, so addresses and their passwords stay out of the process list.
"""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

log = logging.getLogger(__name__)

PAUSES = (1.0, 60.0)
"""First and largest delay before a failed process is restarted, in seconds; it doubles after every failure."""
STEADY = 60.0
"""Running time after which the restart delay is reset, in seconds."""
PATIENCE = 20.0
"""Seconds a process has to exit before it is killed."""


def command(file: Path, name: str, options: Sequence[str]) -> list[str]:
    """The command line that watches one camera of a configuration file."""
    return [sys.executable, "-m", "pixelplay", "watch", "--config", str(file), "--camera", name, *options]


class Group:
    """Supervises the processes of several cameras.

    Args:
        names: names of the cameras.
        start: name -> command line of its process.
    """

    def __init__(self, names: Sequence[str], start: Callable[[str], list[str]]):
        self.names, self.start = names, start
        self.stop = threading.Event()
        self._running: dict[str, subprocess.Popen] = {}
        self._due = dict.fromkeys(names, 0.0)
        self._pause = dict.fromkeys(names, PAUSES[0])
        self._begun: dict[str, float] = {}

    def run(self) -> int:
        """Run until the footage of all cameras has ended, or until Ctrl-C or SIGTERM; returns 0."""
        before = {s: signal.signal(s, lambda *_: self.stop.set()) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            while self._due or self._running:
                self._step()
                if self.stop.wait(0.2):
                    break
        finally:
            self._end()
            for number, handler in before.items():
                signal.signal(number, handler)
        return 0

    def _step(self) -> None:
        now = time.monotonic()
        for name in [n for n, due in self._due.items() if due <= now]:
            del self._due[name]
            self._begun[name] = now
            # own session: Ctrl-C reaches only this process, which then stops the others
            self._running[name] = subprocess.Popen(self.start(name), start_new_session=True)
        for name, process in list(self._running.items()):
            status = process.poll()
            if status is None:
                continue
            del self._running[name]
            if status == 0:
                continue
            if now - self._begun[name] >= STEADY:
                self._pause[name] = PAUSES[0]
            log.warning("%s ended with status %d; started again in %.3g s", name, status, self._pause[name])
            self._due[name] = now + self._pause[name]
            self._pause[name] = min(2 * self._pause[name], PAUSES[1])

    def _end(self) -> None:
        for process in self._running.values():
            process.terminate()
        until = time.monotonic() + PATIENCE
        for name, process in self._running.items():
            try:
                process.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.warning("%s does not end: killed", name)
                process.kill()
                process.wait()
