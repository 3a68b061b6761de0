"""Progress of long work: a bar with the time left in a terminal or a notebook, log lines elsewhere, nothing when quiet.

`tqdm` here takes the arguments of tqdm's own and is used like it.
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
"""Least time between two log lines of one piece of work."""
QUIET = "PIXELPLAY_QUIET"
"""Environment variable, so that worker processes are as quiet as the one that started them."""


def tqdm(items: Iterable[Any] | None = None, **options: Any) -> std.tqdm:
    """Show how far a loop (or work counted with `update`) has come; see tqdm for the options."""
    if is_quiet():
        options["disable"] = True
    in_a_notebook = auto.tqdm.__module__ == "tqdm.notebook"
    if in_a_notebook or sys.stderr.isatty():
        return auto.tqdm(items, **options)
    return Lines(items, **options)


class Lines(std.tqdm):
    """Progress as log lines, for files and services: none for work that is done within `LINE_SECONDS`."""

    def __init__(self, items: Iterable[Any] | None = None, **options: Any):
        super().__init__(items, **{"file": sys.stderr, "mininterval": LINE_SECONDS, **options})

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Log what a bar would show."""
        seconds = self.format_dict["elapsed"]
        if self.n > self.initial and seconds >= self.mininterval and self.n != self.total:
            rate = (self.n - self.initial) / seconds
            of = f" of {self.total:,}" if self.total else ""
            left = f", about {self.format_interval((self.total - self.n) / rate)} left" if self.total else ""
            log.info("%s: %s%s %ss%s", self.desc.rstrip(": ") or "work", f"{self.n:,}", of, self.unit, left)

    def clear(self, nolock: bool = False) -> None:
        """Nothing to wipe away."""

    def close(self) -> None:
        """End without the empty line a bar leaves."""
        if not self.disable:
            self.disable = True
            self._decr_instances(self)


def is_quiet() -> bool:
    """Whether neither bars nor notes are wanted."""
    return os.environ.get(QUIET, "") == "1"


@contextlib.contextmanager
def quiet(wanted: bool = True) -> Iterator[None]:
    """No bars while this lasts, here and in processes started meanwhile."""
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
