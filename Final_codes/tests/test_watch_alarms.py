"""Alarms: a receiver that is down, answers that differ, limits and quiet hours, commands, and no password anywhere."""

from __future__ import annotations

import datetime
import http.server
import json
import logging
import sys
import threading
import time

import pytest

from pixelplay.watch import outbox
from pixelplay.watch.alarms import Alarm, Alarms, Quiet
from pixelplay.watch.journal import Journal
from pixelplay.watch.outbox import NotDelivered, Outbox, Refused


class Receiver:
    """A webhook on loopback; `status` is what it answers, and what it took lies in `got` as (key, message, headers)."""

    def __init__(self, port=0, status=200):
        outer, self.status, self.got = self, status, []

        class Answer(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if outer.status == 200:
                    outer.got.append((self.headers["Idempotency-Key"], body, dict(self.headers)))
                self.send_response(outer.status)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Answer)
        self.port = self.server.server_address[1]
        self.address = f"http://127.0.0.1:{self.port}/hook"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(outbox, "PAUSES", (0.02, 0.1))


def until(condition):
    """Wait for what another thread does."""
    end = time.monotonic() + 60
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    assert condition()


def event(name, kind="begin"):
    return {"type": kind, "id": name, "camera": "door", "score": 5.0}


def test_a_receiver_that_is_down_for_a_while_gets_everything_once_and_in_order(tmp_path):
    with Receiver(status=503) as receiver, Journal(tmp_path) as journal:
        with Alarms(journal, [Alarm("webhook", receiver.address)]) as alarms:
            for i in range(5):
                alarms.tell(event(f"{i}"))
            until(lambda: alarms.outboxes[0].failed > 2)
            receiver.status = 200
            until(lambda: not alarms.waiting)
            alarms.tell(event("5"))
            until(lambda: not alarms.waiting)
        assert [key for key, *_ in receiver.got] == list("012345")
        assert [e["id"] for e in journal.entries() if e["type"] == "begin"] == list("012345")


def test_what_waits_is_sent_after_a_restart_and_once(tmp_path):
    with Receiver() as gone:
        address = gone.address
    with Journal(tmp_path) as journal, Alarms(journal, [Alarm("webhook", address)]) as alarms:
        alarms.tell(event("a"))
        alarms.tell(event("a", "end"))
    assert [p.stem for p in alarms.outboxes[0].waiting()] == ["a"]
    for _ in range(2):
        with Receiver(int(address.split(":")[2].split("/")[0])) as receiver, Journal(tmp_path) as journal, Alarms(
                journal, [Alarm("webhook", address)]) as alarms:
            until(lambda alarms=alarms: not alarms.waiting)
        assert [key for key, *_ in receiver.got] == (["a"] if _ == 0 else [])


def test_a_message_that_a_kill_kept_out_of_the_journal_gets_its_line(tmp_path):
    alarm = Alarm("webhook", "http://127.0.0.1:9/x")
    box = Outbox(tmp_path / "outbox" / alarm.key, "", alarm.send)
    box.put("a", {**event("a"), "alarm": True})
    (tmp_path / "clips").mkdir()
    with Journal(tmp_path) as journal, Alarms(journal, [alarm]):
        assert [(e["id"], e["type"]) for e in journal.entries()] == [("a", "begin"), ("a", "end")]


@pytest.mark.parametrize(("status", "kind"), [(400, Refused), (413, Refused), (401, NotDelivered),
                                              (404, NotDelivered), (429, NotDelivered), (500, NotDelivered)])
def test_only_a_message_that_is_wrong_itself_is_set_aside(tmp_path, status, kind):
    with Receiver(status=status) as receiver:
        with pytest.raises(NotDelivered, match=str(status)) as found:
            Alarm("webhook", receiver.address).send(event("a"), "a")
        assert found.type is kind
        with Outbox(tmp_path, "hook", Alarm("webhook", receiver.address).send) as box:
            box.put("a", event("a"))
            box.wake()
            until(lambda: box.failed or not box.waiting())
        assert (tmp_path / "refused" / "a.json").exists() == (kind is Refused)


def test_an_end_waits_behind_its_begin(tmp_path):
    box = Outbox(tmp_path, "hook", lambda *_: None)
    for key in ("20260101-1-end", "20260101-1", "20260101-0-end", "20260101-0"):
        box.put(key, event("a"))
    assert [p.stem for p in box.waiting()] == ["20260101-0", "20260101-0-end", "20260101-1", "20260101-1-end"]


def test_rate_limit_and_quiet_hours_hold_back_alarms_and_not_events(tmp_path):
    now = [datetime.datetime(2026, 1, 1, 21, 0)]
    with Receiver() as receiver, Journal(tmp_path) as journal:
        quiet = [Quiet(datetime.time(22), datetime.time(6))]
        with Alarms(journal, [Alarm("webhook", receiver.address, ("begin", "end"))], every=60, quiet=quiet,
                    now=lambda: now[0]) as alarms:
            for name, minutes in (("a", 0), ("b", 0.5), ("c", 1), ("d", 60), ("e", 8.9 * 60), ("f", 9 * 60)):
                now[0] = datetime.datetime(2026, 1, 1, 21, 0) + datetime.timedelta(minutes=minutes)
                alarms.tell(event(name))
                alarms.tell(event(name, "end"))
            until(lambda: not alarms.waiting)
        assert [key for key, *_ in receiver.got] == ["a", "a-end", "c", "c-end", "f", "f-end"]
        assert alarms.held_back == 3 and len(list(journal.entries())) == 12


@pytest.mark.parametrize(("begin", "end", "inside", "outside"), [
    ((22, 0), (6, 0), [(22, 0), (23, 59), (0, 0), (5, 59)], [(6, 0), (21, 59), (12, 0)]),
    ((9, 30), (17, 0), [(9, 30), (16, 59)], [(17, 0), (9, 29), (0, 0)]), ((8, 0), (8, 0), [], [(8, 0), (0, 0)])])
def test_quiet_hours_may_pass_midnight(begin, end, inside, outside):
    quiet = Quiet(datetime.time(*begin), datetime.time(*end))
    assert all(quiet.holds(datetime.time(*t)) for t in inside)
    assert not any(quiet.holds(datetime.time(*t)) for t in outside)


def test_a_command_gets_the_event_and_no_shell_sees_it(tmp_path):
    target = tmp_path / "got; echo $HOME"
    code = "import sys; open(sys.argv[1], 'w').write(sys.stdin.read())"
    Alarm("command", f"{sys.executable} -c \"{code}\" '{target}'").send(event("a"), "a")
    assert json.loads(target.read_text()) == event("a")


@pytest.mark.parametrize(("line", "words"), [("false", "exit status 1"), ("sleep 60", "not done after 0.3 s"),
                                             ("/nowhere/x", "No such file")])
def test_a_command_that_fails_is_tried_again(line, words):
    with pytest.raises(NotDelivered, match=words):
        Alarm("command", line, timeout=0.3).send(event("a"), "a")


@pytest.mark.parametrize("scheme", ["webhook", "mqtt"])
def test_no_password_in_logs_lines_and_files(tmp_path, caplog, scheme):
    if scheme == "mqtt":
        pytest.importorskip("paho.mqtt.client")
    caplog.set_level(logging.DEBUG)
    with Receiver() as gone:
        port = gone.port
    address = f"{'http' if scheme == 'webhook' else 'mqtt'}://user:S3cretPw@127.0.0.1:{port}/S3cretPath"
    with Journal(tmp_path) as journal, Alarms(journal, [Alarm(scheme, address)]) as alarms:
        alarms.tell(event("a"))
        until(lambda: alarms.outboxes[0].failed)
    text = caplog.text + "".join(f"{p}{p.read_text()}" for p in tmp_path.rglob("*") if p.is_file())
    assert "127.0.0.1" in text and "S3cret" not in text


def test_user_and_password_of_a_webhook_go_into_its_header():
    with Receiver() as receiver:
        Alarm("webhook", receiver.address.replace("://", "://user:p%40ss@")).send(event("a"), "a")
    assert receiver.got[0][2]["Authorization"] == "Basic dXNlcjpwQHNz"


# ---- MQTT -----------------------------------------------------------------------------------------------------------

class Broker(threading.Thread):
    """As much of MQTT 3.1.1 as one publisher needs: CONNACK with a code, PUBACK; topics and payloads in `got`."""

    def __init__(self, code=0):
        super().__init__(daemon=True)
        import socket

        self.code, self.got, self.listener = code, [], socket.create_server(("127.0.0.1", 0))
        self.address = f"mqtt://127.0.0.1:{self.listener.getsockname()[1]}"

    def run(self):
        connection, _ = self.listener.accept()
        with connection, connection.makefile("rb") as stream:
            while head := stream.read(1):
                length = shift = 0
                while True:
                    byte = stream.read(1)[0]
                    length |= (byte & 127) << shift
                    shift += 7
                    if byte < 128:
                        break
                body, kind = stream.read(length), head[0] >> 4
                if kind == 1:
                    connection.sendall(bytes([0x20, 2, 0, self.code]))
                elif kind == 3:
                    size = int.from_bytes(body[:2], "big")
                    self.got.append((body[2:2 + size].decode(), body[4 + size:].decode(), head[0] & 1))
                    connection.sendall(bytes([0x40, 2]) + body[2 + size:4 + size])


def test_mqtt_publishes_the_event_and_a_state():
    pytest.importorskip("paho.mqtt.client")
    broker = Broker()
    broker.start()
    Alarm("mqtt", broker.address + "/home/cams").send(event("a"), "a")
    (topic, payload, kept), state = broker.got
    assert topic == "home/cams/door/event" and json.loads(payload) == {**event("a"), "key": "a"} and not kept
    assert state == ("home/cams/door/alarm", "ON", 1)


def test_a_broker_that_refuses_the_password_is_said():
    pytest.importorskip("paho.mqtt.client")
    broker = Broker(code=5)
    broker.start()
    with pytest.raises(NotDelivered, match="Not authorized"):
        Alarm("mqtt", broker.address, timeout=20).send(event("a"), "a")
