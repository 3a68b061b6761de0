"""Persistent queue of messages for a receiver; undelivered messages survive a restart.

A message is a file that is deleted after delivery. Its name is an idempotency key, which is sent with the message: if
the program is killed between delivery and deletion, the receiver can recognise the duplicate.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pixelplay.files import clear_errors, read_json, write_json

log = logging.getLogger(__name__)

PAUSES = (1.0, 300.0)
"""First and largest delay between attempts to deliver, in seconds; it doubles after every failure."""


class NotDelivered(Exception):
    """The receiver could not be reached or did not accept the message; the text gives the reason."""


class Refused(NotDelivered):
    """The receiver rejects this message permanently."""


class Outbox:
    """A folder of messages and a thread that delivers them, oldest first. Use it as a context manager.

    Args:
        folder: folder of the waiting messages; rejected ones are moved to its subfolder `refused`.
        shown: description of the receiver for log messages, without passwords.
        send: (message, key) -> None; raises `NotDelivered`.
    Attributes:
        delivered: number of delivered messages.
        failed: number of failed attempts.
    """

    def __init__(self, folder: Path, shown: str, send: Callable[[dict[str, Any], str], None]):
        self.folder, self.shown, self.send = folder, shown, send
        self.delivered, self.failed = 0, 0
        self._wake, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name=f"alarms to {shown}")

    def __enter__(self) -> Outbox:
        with clear_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        self._thread.start()
        self.wake()
        return self

    def __exit__(self, *_: object) -> None:
        """Try once more to deliver the waiting messages; the rest stays for the next start."""
        self._stop.set()
        self.wake()
        self._thread.join(timeout=15)
        if left := len(self.waiting()):
            log.warning("%d alarms for %s wait in %s and are sent at the next start", left, self.shown, self.folder)

    def put(self, key: str, message: dict[str, Any]) -> None:
        """Store a message on disk; it is sent after the next `wake`."""
        write_json(self.folder / f"{key}.json", message)

    def wake(self) -> None:
        """Make the thread deliver the waiting messages now."""
        self._wake.set()

    def waiting(self) -> list[Path]:
        """Files of the undelivered messages, oldest first. Keys begin with the time of the event, and the key of its
        end extends the key of its beginning, so the order of the names is the order in time."""
        return sorted((p for p in self.folder.glob("*.json") if not p.name.startswith(".")), key=lambda p: p.stem)

    def _run(self) -> None:
        pause, down = PAUSES[0], False
        while True:
            if down:
                # new messages do not shorten the delay for an unreachable receiver
                self._stop.wait(pause)
                pause = min(2 * pause, PAUSES[1])
            else:
                self._wake.wait()
                pause = PAUSES[0]
            self._wake.clear()
            last = self._stop.is_set()
            down = not self._deliver()
            if last:
                return

    def _deliver(self) -> bool:
        """Send the waiting messages; stops and returns False at the first failure."""
        for path in self.waiting():
            try:
                self.send(read_json(path), path.stem)
            except Refused as cause:
                log.error("%s refused the alarm %s: %s", self.shown, path.stem, cause)
                (self.folder / "refused").mkdir(exist_ok=True)
                path.rename(self.folder / "refused" / path.name)
                continue
            except Exception as cause:
                if not isinstance(cause, NotDelivered):
                    log.exception("a defect while an alarm was sent; it is kept")
                self.failed += 1
                log.warning("%s did not take the alarm %s: %s; %d wait", self.shown, path.stem, cause,
                            len(self.waiting()))
                return False
            path.unlink()
            self.delivered += 1
        return True


def known(folder: Path) -> list[dict[str, Any]]:
    """All messages in the outboxes within a folder."""
    return [json.loads(p.read_text(encoding="utf-8")) for p in sorted(folder.glob("*/*.json"))
            if not p.name.startswith(".")]
