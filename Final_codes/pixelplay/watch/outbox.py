"""Messages that wait for their receiver on the disk: none is lost over a restart, and none is sent twice.

A message is a file; it is deleted when the receiver has taken it. The name of the file is the key that the receiver is
given with it: if the program is killed between delivery and deletion, the receiver can tell the second copy.
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
"""Seconds before the second attempt to deliver; doubled with each further one, up to the second number."""


class NotDelivered(Exception):
    """The receiver could not be reached, or did not take the message; its text says why."""


class Refused(NotDelivered):
    """The receiver will never take this message."""


class Outbox:
    """A folder of messages and the thread that delivers them, oldest first. Use it in a `with`.

    Args:
        folder: holds the waiting messages; those refused for ever are moved to `refused` in it.
        shown: the receiver, without passwords.
        send: (message, key) -> None; raises `NotDelivered`.
    Attributes:
        delivered, failed: messages taken, and attempts that failed.
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
        """One more attempt for what waits; what is not taken stays for the next start."""
        self._stop.set()
        self.wake()
        self._thread.join(timeout=15)
        if left := len(self.waiting()):
            log.warning("%d alarms for %s wait in %s and are sent at the next start", left, self.shown, self.folder)

    def put(self, key: str, message: dict[str, Any]) -> None:
        """Keep a message; it is on the disk afterwards, and sent after the next `wake`."""
        write_json(self.folder / f"{key}.json", message)

    def wake(self) -> None:
        """Try to deliver now."""
        self._wake.set()

    def waiting(self) -> list[Path]:
        """Files of the messages that are not delivered, oldest first: a key begins with its time, and that of an end is
        the key of its begin and more."""
        return sorted((p for p in self.folder.glob("*.json") if not p.name.startswith(".")), key=lambda p: p.stem)

    def _run(self) -> None:
        pause, down = PAUSES[0], False
        while True:
            if down:
                # a new message does not shorten the pause of a receiver that is down
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
        """Send what waits; False at the first message that could not be delivered."""
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
    """All messages below a folder of outboxes."""
    return [json.loads(p.read_text(encoding="utf-8")) for p in sorted(folder.glob("*/*.json"))
            if not p.name.startswith(".")]
