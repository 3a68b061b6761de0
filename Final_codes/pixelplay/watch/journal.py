"""The event log of a camera and the deletion of old clips.

The folder of a camera contains:

    events.jsonl     one line for the beginning of an event, for its end, and for each notice; only appended to
    clips/ID.mp4     footage of the event; ID.jpg: highest-scoring frame; ID.json: latest description of the event
    latest.jpg       latest scored frame
    status.json      frames, lag, losses and the state of the scene, replaced every second
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
    """Appends lines to events.jsonl, each synchronised to disk. Use it as a context manager.

    Attributes:
        folder: folder of the camera.
        path: its events.jsonl.
        clips: folder of its clips.
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
        """Append a line; it is on disk when the call returns."""
        with clear_errors(self.path):
            self._file.write(json.dumps(entry, ensure_ascii=False).encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())

    def entries(self) -> Iterator[dict[str, Any]]:
        """Yield all entries. Raises PixelPlayError for a line that is not JSON."""
        with self.path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    entry = json.loads(line)
                except ValueError as cause:
                    raise PixelPlayError(f"{self.path} line {number} is no JSON", expected="one object a line",
                                         hint="remove the line, or move the file away") from cause
                yield entry

    def unfinished(self) -> list[dict[str, Any]]:
        """First lines of the events without an end, because the program was killed."""
        begun: dict[str, dict[str, Any]] = {}
        for entry in self.entries():
            if entry.get("type") == "begin":
                begun[entry["id"]] = entry
            elif entry.get("type") == "end":
                begun.pop(entry["id"], None)
        return list(begun.values())

    def mend(self) -> list[dict[str, Any]]:
        """Append an end, marked as interrupted, for each unfinished event; returns these entries."""
        ended = [{**entry, "type": "end", "interrupted": True} for entry in self.unfinished()]
        for entry in ended:
            write_json(self.clips / f"{entry['id']}.json", entry)
            self.append(entry)
        return ended

    def expire(self, days: float, gigabytes: float, *, open_ids: frozenset[str] = frozenset()) -> list[str]:
        """Delete the oldest clips with their pictures and descriptions; returns their ids.

        Args:
            days: largest age of a clip since it was last written.
            gigabytes: largest total size.
            open_ids: events that are still being written; they are kept.
        """
        groups: dict[str, list[Path]] = {}
        for path in sorted(self.clips.iterdir()):
            if not path.name.startswith("."):
                groups.setdefault(path.stem, []).append(path)
        states = {name: [p.stat() for p in paths] for name, paths in groups.items()}
        total, gone = sum(s.st_size for found in states.values() for s in found), []
        # ids begin with the time of the event: sorted names are oldest first
        for name in sorted(set(groups) - open_ids):
            old = max(s.st_mtime for s in states[name]) < time.time() - days * 86400
            if old or total > gigabytes * 1e9:
                total -= sum(s.st_size for s in states[name])
                for path in groups[name]:
                    path.unlink(missing_ok=True)
                gone.append(name)
        return gone

    def _cut_torn_line(self) -> None:
        """Remove an incomplete last line, as left by a power failure."""
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
