"""What a camera leaves in its folder: one line an occurrence, clips, and what is kept of them.

    events.jsonl     a line when an event begins, one when it ends, one for each notice; never shortened
    clips/ID.mp4     the event's footage; ID.jpg its highest frame; ID.json the event as it stood last
    latest.jpg       the newest scored frame
    status.json      frames, lag, losses and the state of the scene, written anew every second
    outbox/          alarms that are not delivered yet
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pixelplay.errors import PixelPlayError
from pixelplay.files import clear_errors, write_json


class Journal:
    """Appends to events.jsonl; every line is on the disk before the call returns. Use it in a `with`.

    Attributes:
        folder: the camera's; clips: where its clips lie.
    """

    def __init__(self, folder: Path):
        self.folder, self.path, self.clips = folder, folder / "events.jsonl", folder / "clips"

    def __enter__(self) -> Journal:
        with clear_errors(self.path):
            self.clips.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a+b")
            self._cut_torn_line()
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def append(self, entry: dict[str, Any]) -> None:
        """Write one line."""
        with clear_errors(self.path):
            self._file.write(json.dumps(entry, ensure_ascii=False).encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())

    def entries(self) -> Iterator[dict[str, Any]]:
        """All lines so far. Raises PixelPlayError at one that is no JSON object."""
        with self.path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    entry = json.loads(line)
                except ValueError as cause:
                    raise PixelPlayError(f"{self.path} line {number} is no JSON", expected="one object a line",
                                         hint="remove the line, or move the file away") from cause
                yield entry

    def unfinished(self) -> list[dict[str, Any]]:
        """Events that began and never ended: the program was killed."""
        begun: dict[str, dict[str, Any]] = {}
        for entry in self.entries():
            if entry.get("type") == "begin":
                begun[entry["id"]] = entry
            elif entry.get("type") == "end":
                begun.pop(entry["id"], None)
        return list(begun.values())

    def mend(self) -> list[dict[str, Any]]:
        """Give each unfinished event its last line; returns these lines."""
        ended = [{**entry, "type": "end", "interrupted": True} for entry in self.unfinished()]
        for entry in ended:
            write_json(self.clips / f"{entry['id']}.json", entry)
            self.append(entry)
        return ended

    def expire(self, days: float, gigabytes: float, *, open_ids: frozenset[str] = frozenset()) -> list[str]:
        """Delete the oldest clips with what belongs to them; returns their ids.

        Args:
            days: a clip that was last written longer ago goes.
            gigabytes: so much is kept at most.
            open_ids: events that go on, which stay.
        """
        groups: dict[str, list[Path]] = {}
        for path in sorted(self.clips.iterdir()):
            if not path.name.startswith("."):
                groups.setdefault(path.stem, []).append(path)
        states = {name: [p.stat() for p in paths] for name, paths in groups.items()}
        total, gone = sum(s.st_size for found in states.values() for s in found), []
        # a name begins with the time of its event
        for name in sorted(set(groups) - open_ids):
            old = max(s.st_mtime for s in states[name]) < time.time() - days * 86400
            if old or total > gigabytes * 1e9:
                total -= sum(s.st_size for s in states[name])
                for path in groups[name]:
                    path.unlink(missing_ok=True)
                gone.append(name)
        return gone

    def _cut_torn_line(self) -> None:
        """Remove the half line that a power cut may have left."""
        end = self._file.seek(0, os.SEEK_END)
        while end:
            start = max(0, end - 4096)
            self._file.seek(start)
            found = self._file.read(end - start).rfind(b"\n")
            if found >= 0:
                self._file.truncate(start + found + 1)
                return
            end = start
        self._file.truncate(0)
