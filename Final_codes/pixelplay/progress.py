"""Progress of long work: a bar in terminals and notebooks, log lines elsewhere, nothing when quiet.

`tqdm` has the interface of the tqdm package.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from tqdm import auto, std

log = logging.getLogger(__name__)

LINE_SECONDS = 30.0
"""Minimum seconds between two log lines of one loop."""
QUIET = "PIXELPLAY_QUIET"
"""Environment variable, so that worker processes inherit it."""


def tqdm(items: Iterable[Any] | None = None, **options: Any) -> std.tqdm:
    """Show the progress of a loop, or of work counted with `update`; see tqdm for the options."""
    if is_quiet():
        options["disable"] = True
    in_a_notebook = auto.tqdm.__module__ == "tqdm.notebook"
    if in_a_notebook or sys.stderr.isatty():
        return auto.tqdm(items, **options)
    return Lines(items, **options)


class Lines(std.tqdm):
    """Progress as log lines, for files and services; silent for work shorter than `LINE_SECONDS`."""

    def __init__(self, items: Iterable[Any] | None = None, **options: Any):
        super().__init__(items, **{"file": sys.stderr, "mininterval": LINE_SECONDS, **options})

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Log the progress and the estimated time left."""
        seconds = self.format_dict["elapsed"]
        if self.n > self.initial and seconds >= self.mininterval and self.n != self.total:
            rate = (self.n - self.initial) / seconds
            of = f" of {self.total:,}" if self.total else ""
            left = f", about {self.format_interval((self.total - self.n) / rate)} left" if self.total else ""
            log.info("%s: %s%s %ss%s", self.desc.rstrip(": ") or "work", f"{self.n:,}", of, self.unit, left)

    def clear(self, nolock: bool = False) -> None:
        """Do nothing: log lines are not erased."""

    def close(self) -> None:
        """End without the empty line of a bar."""
        if not self.disable:
            self.disable = True
            self._decr_instances(self)


def is_quiet() -> bool:
    """Whether progress is switched off."""
    return os.environ.get(QUIET, "") == "1"


@contextlib.contextmanager
def quiet(wanted: bool = True) -> Iterator[None]:
    """Switch progress off inside the block, here and in child processes."""
    before = os.environ.get(QUIET)
    if wanted:
        os.environ[QUIET] = "1"
    try:
        yield
    finally:
        if wanted:
            os.environ.pop(QUIET)
            if before is not None:
                os.environ[QUIET] = before
