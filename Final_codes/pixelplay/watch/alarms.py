"""Delivery of alarms by webhook, MQTT or command, with rate limit and quiet hours.

    webhook   POST of the event as JSON; the header Idempotency-Key is the event's id
    mqtt      the event as JSON to PREFIX/CAMERA/event, delivered at least once (QoS 1); ON or OFF as a retained
              message to PREFIX/CAMERA/alarm
    command   a program with the event as JSON on its standard input, started without a shell

An alarm is sent when an event begins, when it ends, or both. Rate limit and quiet hours suppress alarms; the events are
still recorded.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import datetime
import hashlib
import http.client
import json
import shlex
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from pixelplay.pretrained import require_package
from pixelplay.version import VERSION
from pixelplay.watch.journal import Journal
from pixelplay.watch.outbox import NotDelivered, Outbox, Refused, known
from pixelplay.watch.source import masked

TAKE_BACK = (400, 413, 415, 422)
"""HTTP status codes that reject the message itself. After any other error it is sent again."""
PREFIX = "pixelplay"
"""Prefix of MQTT topics if the address has no path."""


@dataclasses.dataclass(frozen=True)
class Alarm:
    """A receiver of alarms.

    Attributes:
        kind: 'webhook', 'mqtt' or 'command'.
        target: address or command line.
        when: the phases of an event that are sent: 'begin', 'end' or both.
        timeout: longest duration of an attempt, in seconds.
    """

    kind: str
    target: str
    when: tuple[str, ...] = ("begin",)
    timeout: float = 10.0

    @property
    def shown(self) -> str:
        """The receiver without credentials. The path of a webhook is left out, because it often contains a token."""
        if self.kind == "command":
            return shlex.split(self.target)[0]
        parts = urllib.parse.urlsplit(self.target)
        return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")

    @property
    def key(self) -> str:
        """Name of the receiver's queue: unique, and free of credentials."""
        return f"{self.kind}-{hashlib.sha256(self.target.encode()).hexdigest()[:12]}"

    def send(self, message: dict[str, Any], key: str) -> None:
        """Deliver a message; `key` identifies it. Raises NotDelivered."""
        SENDERS[self.kind](self, message, key)


def _webhook(alarm: Alarm, message: dict[str, Any], key: str) -> None:
    parts = urllib.parse.urlsplit(alarm.target)
    host = parts.netloc.rpartition("@")[2]
    request = urllib.request.Request(
        parts._replace(netloc=host).geturl(), json.dumps(message).encode(), method="POST",
        headers={"Content-Type": "application/json", "Idempotency-Key": key, "User-Agent": f"pixelplay/{VERSION}"})
    if parts.username is not None:
        pair = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
        request.add_header("Authorization", "Basic " + base64.b64encode(pair.encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=alarm.timeout):
            return
    except urllib.error.HTTPError as cause:
        with cause:
            raise (Refused if cause.code in TAKE_BACK else NotDelivered)(f"HTTP {cause.code} {cause.reason}") from cause
    except (OSError, ValueError) as cause:  # includes URLError, timeouts and broken connections
        raise NotDelivered(masked(getattr(cause, "reason", cause))) from cause
    except http.client.HTTPException as cause:
        raise NotDelivered(f"no HTTP answer: {type(cause).__name__}") from cause


def _paho() -> ModuleType:
    return require_package("paho.mqtt.client", by="an MQTT alarm (pip install paho-mqtt)")


def _mqtt(alarm: Alarm, message: dict[str, Any], key: str) -> None:
    mqtt, parts = _paho(), urllib.parse.urlsplit(alarm.target)
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    said, answered = [], threading.Event()

    def connected(client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        said.append(reason)
        answered.set()

    client.on_connect = connected
    if parts.username is not None:
        client.username_pw_set(urllib.parse.unquote(parts.username), urllib.parse.unquote(parts.password or ""))
    if parts.scheme == "mqtts":
        client.tls_set()
    until = time.monotonic() + alarm.timeout
    try:
        client.connect(parts.hostname, parts.port or (8883 if parts.scheme == "mqtts" else 1883))
        client.loop_start()
        if not answered.wait(alarm.timeout):
            raise NotDelivered("the broker does not answer")
        if said[0].is_failure:
            raise NotDelivered(f"the broker says: {said[0]}")
        base = f"{parts.path.strip('/') or PREFIX}/{message['camera']}"
        sent = [client.publish(f"{base}/event", json.dumps({**message, "key": key}), qos=1),
                client.publish(f"{base}/alarm", "ON" if message["type"] == "begin" else "OFF", qos=1, retain=True)]
        for info in sent:
            info.wait_for_publish(max(0.1, until - time.monotonic()))
        if not all(info.is_published() for info in sent):
            raise NotDelivered("the broker did not acknowledge")
    except (OSError, ValueError, RuntimeError) as cause:
        raise NotDelivered(masked(cause)) from cause
    finally:
        client.disconnect()
        client.loop_stop()


def _command(alarm: Alarm, message: dict[str, Any], key: str) -> None:
    try:
        done = subprocess.run(shlex.split(alarm.target), input=json.dumps(message).encode(), timeout=alarm.timeout,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    except subprocess.TimeoutExpired as cause:
        raise NotDelivered(f"not done after {alarm.timeout:g} s: ended") from cause
    except OSError as cause:
        raise NotDelivered(str(cause.strerror)) from cause
    if done.returncode:
        words = masked(done.stderr.decode(errors="replace").strip()[-200:])
        raise NotDelivered(f"exit status {done.returncode}" + (f": {words}" if words else ""))


SENDERS: dict[str, Callable[[Alarm, dict[str, Any], str], None]] = {
    "webhook": _webhook, "mqtt": _mqtt, "command": _command}


def default_when(kind: str) -> tuple[str, ...]:
    """Phases that are sent by default. MQTT sends both, because its state must return to OFF."""
    return ("begin", "end") if kind == "mqtt" else ("begin",)


@dataclasses.dataclass(frozen=True)
class Quiet:
    """Hours of the day, in local time, without alarms. They include midnight if `end` is before `begin`."""

    begin: datetime.time
    end: datetime.time

    def holds(self, now: datetime.time) -> bool:
        """Whether a time of day lies within these hours."""
        return self.begin <= now < self.end if self.begin <= self.end else now >= self.begin or now < self.end


class Alarms:
    """The receivers of one camera. Use it as a context manager.

    The end of an event raises an alarm only if its beginning did. The lines of such an event contain `"alarm": true`.
    On entering, messages that were queued before a crash but are not in the journal are added to it, and unfinished
    events are ended.

    Args:
        journal: the event log of the camera.
        receivers: who gets the alarms.
        every: least time between the beginnings of two events with an alarm, in seconds; 0 for no limit.
        quiet: hours without alarms.
        now: clock of the rate limit and of the quiet hours.
    Attributes:
        held_back: number of events without an alarm, because of the rate limit or of quiet hours.
    """

    def __init__(self, journal: Journal, receivers: Sequence[Alarm], *, every: float = 0.0, quiet: Sequence[Quiet] = (),
                 now: Callable[[], datetime.datetime] = datetime.datetime.now):
        self.journal, self.every, self.quiet, self.now = journal, every, quiet, now
        self.receivers = receivers
        if any(alarm.kind == "mqtt" for alarm in receivers):
            _paho()
        self.folder = journal.folder / "outbox"
        self.outboxes = [Outbox(self.folder / alarm.key, alarm.shown, alarm.send) for alarm in receivers]
        self.held_back, self._last, self._told = 0, None, False

    def __enter__(self) -> Alarms:
        with contextlib.ExitStack() as stack:
            lines = {(e.get("id"), e.get("type")) for e in self.journal.entries()}
            for message in known(self.folder):
                if (message["id"], message["type"]) not in lines:
                    self.journal.append(message)
                    lines.add((message["id"], message["type"]))
            for entry in self.journal.mend():
                self._queue(entry)
            for box in self.outboxes:
                stack.enter_context(box)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *mistake: object) -> None:
        self._stack.__exit__(*mistake)

    @property
    def waiting(self) -> int:
        """Number of messages that are not delivered yet."""
        return sum(len(box.waiting()) for box in self.outboxes)

    def tell(self, entry: dict[str, Any]) -> None:
        """Write the line of a begin or an end to the journal, and send the alarms that are due."""
        if entry["type"] == "begin":
            self._told = self._due()
            self.held_back += not self._told
        entry["alarm"] = self._told
        # the messages are stored first, then the line, and sent last: a crash between these steps loses nothing
        self._queue(entry)
        self.journal.append(entry)
        for box in self.outboxes:
            box.wake()

    def _queue(self, entry: dict[str, Any]) -> None:
        if not entry.get("alarm"):
            return
        key = entry["id"] if entry["type"] == "begin" else f"{entry['id']}-end"
        for alarm, box in zip(self.receivers, self.outboxes):
            if entry["type"] in alarm.when:
                box.put(key, entry)

    def _due(self) -> bool:
        now = self.now()
        if any(q.holds(now.time()) for q in self.quiet):
            return False
        if self._last is not None and (now - self._last).total_seconds() < self.every:
            return False
        self._last = now
        return True
