"""Who is told of an event, how, and how often: webhooks, MQTT and commands.

    webhook   POST of the event as JSON; the header Idempotency-Key is the event's id
    mqtt      the event as JSON to PREFIX/CAMERA/event, at least once (QoS 1); ON or OFF, retained, to
              PREFIX/CAMERA/alarm
    command   a program with the event as JSON on its standard input; no shell sees it

An alarm is sent when an event begins, when it ends, or both. Rate limit and quiet hours hold back alarms, not events.
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
"""HTTP answers that say that this very message is wrong; with any other one it is sent again."""
PREFIX = "pixelplay"
"""First part of MQTT topics where the address names none."""


@dataclasses.dataclass(frozen=True)
class Alarm:
    """One receiver.

    Attributes:
        kind: 'webhook', 'mqtt' or 'command'; target: address or command line.
        when: of 'begin' and 'end', those that are sent.
        timeout: seconds an attempt may take.
    """

    kind: str
    target: str
    when: tuple[str, ...] = ("begin",)
    timeout: float = 10.0

    @property
    def shown(self) -> str:
        """The receiver without passwords, and without the path of a webhook, which is often one."""
        if self.kind == "command":
            return shlex.split(self.target)[0]
        parts = urllib.parse.urlsplit(self.target)
        return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")

    @property
    def key(self) -> str:
        """Names the receiver's queue; differs between receivers, and tells no password."""
        return f"{self.kind}-{hashlib.sha256(self.target.encode()).hexdigest()[:12]}"

    def send(self, message: dict[str, Any], key: str) -> None:
        """Deliver one message. Raises NotDelivered."""
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
    except (OSError, ValueError) as cause:  # URLError, time-outs and connections cut in the middle are OSErrors
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
    """What is sent where nothing else is asked for: a state that goes ON has to go OFF again."""
    return ("begin", "end") if kind == "mqtt" else ("begin",)


@dataclasses.dataclass(frozen=True)
class Quiet:
    """Hours of the day, local time, without alarms; over midnight where `end` comes before `begin`."""

    begin: datetime.time
    end: datetime.time

    def holds(self, now: datetime.time) -> bool:
        """Whether a time of the day lies in it."""
        return self.begin <= now < self.end if self.begin <= self.end else now >= self.begin or now < self.end


class Alarms:
    """The receivers of one camera. Use it in a `with`.

    Args:
        journal: lines of messages that a kill kept out of it are written there first.
        every: seconds between the begins of two events that are told; 0 = all are.
        quiet: hours without alarms.
    Attributes:
        held_back: events that were not told, for either reason.

    An event of which the begin was told, and no other, has its end told: its lines say `"alarm": true`.
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
        """Messages that are not delivered."""
        return sum(len(box.waiting()) for box in self.outboxes)

    def tell(self, entry: dict[str, Any]) -> None:
        """Write the line of a begin or an end, and raise the alarms that are due."""
        if entry["type"] == "begin":
            self._told = self._due()
            self.held_back += not self._told
        entry["alarm"] = self._told
        # first the messages, then the line, then delivery: a kill between any two of them loses nothing
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
