"""Peak memory of a block of code. Needs psutil, which the development extras install."""

from __future__ import annotations

import threading

import psutil


class PeakMemory:
    """Peak memory of this process inside the `with` block, in MiB.

    Sampled every five milliseconds and at both ends, because the kernel's counter cannot be reset on every system, and
    that of a new process starts at its parent's value.

    Attributes:
        mib: resident memory.
        own_mib: the part without mapped files, whose pages the system can reclaim; equal to `mib` if the system does
            not report it.
    """

    def __enter__(self) -> PeakMemory:
        self._process, self._over, self.mib, self.own_mib = psutil.Process(), threading.Event(), 0.0, 0.0
        self._look()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._watcher.join()
        self._look()

    def _watch(self) -> None:
        while not self._over.wait(0.005):
            self._look()

    def _look(self) -> None:
        now = self._process.memory_info()
        self.mib = max(self.mib, now.rss / 2**20)
        self.own_mib = max(self.own_mib, (now.rss - getattr(now, "shared", 0)) / 2**20)
