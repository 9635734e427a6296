"""Both device clients against a server that misbehaves in each way of the table in docs/protocol.md, and then no more."""

import asyncio
import json
import re
import signal
import subprocess
import time

import pytest
from conftest import BUILD, DEADLINE, ROOT, eventually
from test_device_client import Proxy, client, counted, reading, run, stored, url

WELCOME = b'{"kind":"welcome","heartbeat":"30s","limits":{"message_bytes":1048576,"unacked_messages":1024},"resume":{}}'
AGAIN_STATUS = [408, 425, 429, 500, 501, 502, 503, 504, 520]
FINAL_STATUS = [200, 400, 401, 403, 404, 410, 426]
AGAIN_CLOSE = [1000, 1001, 1011, 1012, 1014, 4000]
FINAL_CLOSE = [1002, 1003, 1007, 1008, 1009, 4001]
BROKEN = ["reset", "end", "garbage", "half a head", "end after the welcome", "reset after the welcome"]


def accept(head):
    """The server's answer to an upgrade."""
    import base64
    import hashlib

    key = re.search(rb"(?i)sec-websocket-key: *(\S+)", head).group(1)
    digest = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    return b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + digest + b"\r\nSec-WebSocket-Protocol: penstock.v1\r\n\r\n"


def frame(opcode, payload):
    assert len(payload) < 126 or len(payload) < 65536
    length = bytes([len(payload)]) if len(payload) < 126 else bytes([126]) + len(payload).to_bytes(2)
    return bytes([0x80 | opcode]) + length + payload


class Misbehaving(Proxy):
    """Misbehaves on the first `times` connections, and carries the others to the server."""

    def __init__(self, port, way, times=2, headers=b""):
        self.port, self.way, self.times, self.headers, self.connected = port, way, times, headers, []

    async def carry(self, reader, writer):
        self.connected.append(time.monotonic())
        try:
            if len(self.connected) > self.times:
                upstream, to_upstream = await asyncio.open_connection("127.0.0.1", self.port)
                await asyncio.gather(self.copy(reader, to_upstream), self.copy(upstream, writer))
                return
            if self.way == "reset":
                writer.transport.abort()
                return
            head = await reader.readuntil(b"\r\n\r\n")
            kind, _, detail = self.way.partition(" ")
            if kind == "status":
                writer.write(b"HTTP/1.1 %d Said\r\n%sContent-Length: 4\r\n\r\nsaid" % (int(detail), self.headers))
            elif self.way == "garbage":
                writer.write(b"\x00\x01 this is no HTTP\r\n\r\n")
            elif self.way == "half a head":
                writer.write(b"HTTP/1.1 101 Swit")
            elif self.way != "end":
                writer.write(accept(head) + frame(1, WELCOME))
                if kind == "close":
                    writer.write(frame(8, int(detail).to_bytes(2) + b"said"))
            await writer.drain()
            if self.way.startswith("reset"):
                writer.transport.abort()
            elif kind == "close":
                # Its own close is waited for: what it sent and nobody read would reset the connection, and the frame be lost.
                while await self.opcode(reader) != 8:
                    pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def opcode(self, reader):
        """The opcode of the client's next frame, which is masked, and skipped."""
        head = await reader.readexactly(2)
        more = {126: 2, 127: 8}.get(head[1] & 0x7F, 0)
        length = int.from_bytes(await reader.readexactly(more)) if more else head[1] & 0x7F
        await reader.readexactly(4 + length)
        return head[0] & 15

    async def copy(self, reader, writer):
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()


async def send_by_device(port, source, count, **options):
    async with client.Device(url(port), source, batch=10, **options) as device:
        await device.send_many(reading(n) for n in range(count))
        await device.flush()
        return device.counts


async def send_by_command(port, source, count):
    """The counts, as the Python client's, and what was said; a failure is raised as that client's is."""
    sender = await asyncio.create_subprocess_exec(
        str(BUILD / "penstock"), "send", "-", "--url", url(port), "--batch", "10", "--output", "json",
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    lines = "".join(json.dumps(dict(reading(n), source=source, sequence=n + 1)) + "\n" for n in range(count))
    output, errors = await sender.communicate(lines.encode())
    row = json.loads(output)[0] if output else {}
    if sender.returncode != 0:
        raise client.Refused(errors.decode())
    return client.Counts(row["sent"], row["appended"], row["duplicates"], row["rejected"], reconnects=row["resumed"])


SENDERS = {"device": send_by_device, "send": send_by_command}


@pytest.mark.parametrize("sender", SENDERS)
@pytest.mark.parametrize(
    "way", [*(f"status {status}" for status in AGAIN_STATUS), *(f"close {code}" for code in AGAIN_CLOSE), *BROKEN])
def test_what_may_pass_is_tried_again_until_all_is_there(penstock, way, sender):
    source = f"retries/{sender}/{way.replace(' ', '-')}"

    async def send():
        async with Misbehaving(penstock.ports["ingest"], way) as port:
            return await SENDERS[sender](port, source, 30)

    counts = run(send())
    assert counted(counts) == counts.sent == counts.appended == 30
    assert [event["data"]["value"] for event in stored(penstock.ports["query"], source)] == list(range(30))


@pytest.mark.parametrize("sender", SENDERS)
@pytest.mark.parametrize("way", [*(f"status {status}" for status in FINAL_STATUS), *(f"close {code}" for code in FINAL_CLOSE)])
def test_what_would_come_again_is_not_tried_again(penstock, way, sender):
    async def send():
        misbehaving = Misbehaving(penstock.ports["ingest"], way, times=100)
        async with misbehaving as port:
            with pytest.raises(client.Refused) as refusal:
                await SENDERS[sender](port, "retries/final", 30)
        return len(misbehaving.connected), str(refusal.value)

    connections, why = run(send())
    assert connections == 1
    assert way.split()[1] in why and "said" in why


@pytest.mark.parametrize("sender", SENDERS)
@pytest.mark.parametrize("way", ["close 1013", "status 503"])
def test_a_server_that_is_overloaded_is_left_alone_as_long_as_it_asks(penstock, way, sender):
    async def send():
        misbehaving = Misbehaving(penstock.ports["ingest"], way, times=1, headers=b"Retry-After: 3\r\n")
        async with misbehaving as port:
            return await SENDERS[sender](port, f"retries/overloaded-{sender}", 10), misbehaving.connected

    _, connected = run(send())
    assert len(connected) == 2
    assert connected[1] - connected[0] >= (5 if way == "close 1013" else 3)


def test_a_server_that_accepts_and_closes_at_once_is_out_of_reach_for_as_long_as_it_does(penstock):
    async def send():
        misbehaving = Misbehaving(penstock.ports["ingest"], "close 1001", times=10_000)
        async with misbehaving as port:
            with pytest.raises(client.ConnectionLost):
                await send_by_device(port, "retries/never", 10, reconnect_for=3)
        return len(misbehaving.connected)

    # Pauses of 0.05–0.1, 0.1–0.2, 0.2–0.4, … s in three seconds.
    assert 4 <= run(send()) <= 9


def test_events_that_json_cannot_hold_cost_only_themselves(penstock):
    told = []

    async def send():
        async with client.Device(url(penstock.ports["ingest"]), "retries/nan", on_reject=told.append) as device:
            events = [reading(n) for n in range(6)]
            events[1]["data"] = {"a": [1, {"b": float("nan")}]}
            events[2]["data"] = {"value": object()}
            events[3] = dict(events[3], source="another")
            events[4] = dict(events[4], sequence=-1)
            await device.send_many(events)
            with pytest.raises(client.InvalidEvent, match="data.value is inf"):
                await device.send(reading(float("inf")))
            await device.send(reading(6))
            await device.flush()
            return device.counts

    counts = run(send())
    assert counts == client.Counts(sent=7, appended=3, rejected=4)
    assert [reject.code for reject in told] == ["not_json", "not_json", "wrong_source", "invalid_sequence"]
    assert "data.a[1].b is nan" in told[0].detail
    assert [event["data"]["value"] for event in stored(penstock.ports["query"], "retries/nan")] == [0, 5, 6]
    assert [event["sequence"] for event in stored(penstock.ports["query"], "retries/nan")] == [1, 2, 3]


def test_the_page_has_the_table_that_both_clients_keep_to():
    page = (ROOT / "docs" / "protocol.md").read_text()
    table = page[page.index("## When the connection goes"):page.index("## Time")]
    for code in [*AGAIN_STATUS[:3], *FINAL_CLOSE, 1001, 1006, 1011, 1013]:
        assert str(code) in table, code
    assert "5xx" in table and "Retry-After" in table


class Swallowing(Proxy):
    """Carries what the device says, and keeps back the answers of the first connection, which it cuts once the server has said an ack."""

    def __init__(self, port):
        self.port, self.connections = port, 0

    async def carry(self, reader, writer):
        self.connections += 1
        upstream, to_upstream = await asyncio.open_connection("127.0.0.1", self.port)
        forth = asyncio.create_task(self.copy(reader, to_upstream))
        if self.connections > 1:
            await self.copy(upstream, writer)
        else:
            seen = b""
            while b'"kind":"welcome"' not in seen:
                data = await upstream.read(65536)
                seen += data
                writer.write(data)
            while b'"kind":"ack"' not in seen:
                seen += await upstream.read(65536)
        forth.cancel()
        to_upstream.close()
        writer.close()

    async def copy(self, reader, writer):
        while data := await reader.read(65536):
            writer.write(data)


@pytest.mark.parametrize("sender", SENDERS)
def test_what_an_earlier_run_had_stored_is_a_duplicate_also_when_the_connection_drops(penstock, sender):
    source = f"retries/stored-{sender}"
    own = [dict(reading(n), source=source, sequence=n + 1) for n in range(20)]

    async def by_device(port):
        async with client.Device(url(port), source, compress=False) as device:
            await device.send_many(own)
            await device.flush()
            return device.counts

    async def by_command(port):
        return await send_by_command(port, source, 20)

    send = by_device if sender == "device" else by_command

    async def both():
        first = await send(penstock.ports["ingest"])
        swallowing = Swallowing(penstock.ports["ingest"])
        async with swallowing as port:
            second = await send(port)
        return first, second, swallowing.connections

    first, second, connections = run(both())
    assert connections == 2
    assert (first.sent, first.appended, first.duplicates) == (20, 20, 0)
    assert (second.sent, second.appended, second.duplicates, second.resumed) == (20, 0, 20, 0)


def test_an_interrupted_send_says_what_was_answered_for(penstock):
    sender = subprocess.Popen(
        [BUILD / "penstock", "send", "-", "--url", url(penstock.ports["ingest"]), "--batch", "1", "--output", "json"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        for n in range(5):
            sender.stdin.write(json.dumps(dict(reading(n), source="retries/interrupted", sequence=n + 1)).encode() + b"\n")
        sender.stdin.flush()
        eventually(lambda: len(stored(penstock.ports["query"], "retries/interrupted")) == 5)
        sender.send_signal(signal.SIGINT)
        # Its input stays open: the signal ends it, not the end of what is to be sent.
        sender.wait(timeout=DEADLINE)
        output, errors = sender.communicate()
    finally:
        sender.kill()
    counts = json.loads(output)[0]
    assert sender.returncode == 1
    assert (counts["sent"], counts["appended"]) == (5, 5)
    assert b"interrupted" in errors
