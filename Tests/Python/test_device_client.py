"""clients/python against a real server: numbering, windows, rejects, and connections and servers that go away."""

import asyncio
import dataclasses
import json
import pathlib
import re
import signal
import socket
import subprocess
import sys

import pytest
from conftest import BUILD, DEADLINE, ROOT, Penstock
from test_http import request

CLIENT = ROOT / "clients" / "python"
sys.path.insert(0, str(CLIENT / "src"))

import penstock as client  # noqa: E402


def url(port):
    return f"ws://127.0.0.1:{port}/v1/stream"


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, timeout=2 * DEADLINE))


def reading(value):
    return {"type": "test.reading", "time": "2024-05-01T12:00:00Z", "data": {"value": value}}


def stored(port, source):
    """The events of a source, through the query service."""
    found, cursor = [], None
    while True:
        path = f"/v1/events?source={source}&limit=10000" + (f"&cursor={cursor}" if cursor else "")
        status, _, body = request(port, "GET", path)
        assert status == 200, body
        page = json.loads(body)
        found += page["events"]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


def counted(counts):
    return counts.appended + counts.duplicates + counts.rejected + counts.resumed


def test_the_types_hold():
    result = subprocess.run([sys.executable, "-m", "mypy", "--strict", str(CLIENT / "src")], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_events_are_numbered_and_counted_and_a_second_run_goes_on(penstock):
    async def send(count, source="client/numbered"):
        async with client.Device(url(penstock.ports["ingest"]), source, batch=7) as device:
            await device.send(reading(0))
            await device.send_many(reading(n) for n in range(1, count))
            await device.flush()
            return device.counts, device.offsets

    first, offsets = run(send(100))
    assert (first.sent, first.appended, first.duplicates, first.rejected) == (100, 100, 0, 0)
    assert sum(offsets.values()) >= 100
    second, _ = run(send(50))
    assert (second.sent, second.appended, second.duplicates) == (50, 50, 0)
    events = stored(penstock.ports["query"], "client/numbered")
    assert [event["sequence"] for event in events] == list(range(1, 151))


def test_rejects_come_with_their_events(penstock):
    told = []

    async def send():
        async with client.Device(url(penstock.ports["ingest"]), "client/rejects", on_reject=told.append) as device:
            await device.send_many([reading(1), dict(reading(2), time="yesterday"), reading(3)])
            await device.send({"data": 4})
            with pytest.raises(TypeError):
                await device.send(reading(object()))
            with pytest.raises(ValueError):
                await device.send(dict(reading(5), source="another"))
            await device.flush()
            return device.counts

    counts = run(send())
    assert (counts.sent, counts.appended, counts.rejected) == (4, 2, 2)
    assert [(reject.code, reject.event["data"]) for reject in told] == [("invalid_time", {"value": 2}), ("missing_type", 4)]


def test_a_message_too_large_for_the_server_is_split_and_an_event_too_large_is_refused(start_penstock):
    service = start_penstock("ingest.message_bytes_max=4KiB")

    async def send():
        async with client.Device(url(service.ports["ingest"]), "client/large") as device:
            await device.send_many(dict(reading(n), subject="x" * 100) for n in range(200))
            with pytest.raises(ValueError):
                await device.send(dict(reading(0), data="x" * 5000))
            await device.flush()
            return device.counts

    assert run(send()).appended == 200


def test_what_cannot_go_on_is_an_error_at_once(penstock):
    async def open_at(address, **options):
        async with client.Device(address, "client/refused", **options):
            pass

    with pytest.raises(client.Refused):
        run(open_at(f"ws://127.0.0.1:{penstock.ports['ingest']}/nowhere"))
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(client.ConnectionLost):
            run(open_at(url(closed.getsockname()[1]), reconnect_for=0.3))

    async def be_fenced():
        async with client.Device(url(penstock.ports["ingest"]), "client/fenced", epoch=3) as device:
            await device.send(reading(1))
        async with client.Device(url(penstock.ports["ingest"]), "client/fenced", epoch=2):
            pass

    with pytest.raises(client.Fenced):
        run(be_fenced())


class Proxy:
    """Listens in a server's place, and carries each connection as its kind does; entered, its port."""

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.carry, "127.0.0.1", 0)
        return self.server.sockets[0].getsockname()[1]

    async def __aexit__(self, *_):
        self.server.close()


class Cutting(Proxy):
    """Cuts each connection after so many bytes from the device."""

    def __init__(self, port, bytes_max):
        self.port, self.bytes_max, self.cuts = port, bytes_max, 0

    async def carry(self, reader, writer):
        upstream, to_upstream = await asyncio.open_connection("127.0.0.1", self.port)

        async def back():
            while data := await upstream.read(65536):
                writer.write(data)
            writer.close()

        answers = asyncio.create_task(back())
        left = self.bytes_max
        while left > 0 and (data := await reader.read(min(left, 65536))):
            left -= len(data)
            to_upstream.write(data)
        self.cuts += left == 0
        to_upstream.transport.abort()
        answers.cancel()
        writer.transport.abort()


def test_dropped_connections_lose_and_double_nothing(penstock):
    cutting = Cutting(penstock.ports["ingest"], 20_000)

    async def send():
        async with cutting as port, client.Device(url(port), "client/cut", batch=10, window=8, compress=False) as device:
            await device.send_many(reading(n) for n in range(3000))
            await device.flush()
            return device.counts

    counts = run(send())
    assert cutting.cuts >= 5 and counts.reconnects == cutting.cuts
    assert counted(counts) == counts.sent == 3000
    assert [event["data"]["value"] for event in stored(penstock.ports["query"], "client/cut")] == list(range(3000))


class Withholding(Proxy):
    """Keeps back what the server says of some kinds on the first connection, and cuts that at the first ack."""

    def __init__(self, port, kinds):
        self.port, self.kinds, self.kept, self.connections = port, kinds, [], 0

    async def carry(self, reader, writer):
        self.connections += 1
        upstream, to_upstream = await asyncio.open_connection("127.0.0.1", self.port)
        # Not compressed, to be read on the way.
        head = await reader.readuntil(b"\r\n\r\n")
        to_upstream.write(re.sub(rb"(?i)\r\nsec-websocket-extensions:[^\r]*", b"", head))
        forth = asyncio.create_task(self.copy(reader, to_upstream))
        if self.connections > 1:
            await self.copy(upstream, writer)
        else:
            writer.write(await upstream.readuntil(b"\r\n\r\n"))
            while b'"kind":"ack"' not in (frame := await self.frame(upstream)):
                if any(b'"kind":"%s"' % kind in frame for kind in self.kinds):
                    self.kept.append(frame)
                else:
                    writer.write(frame)
            await writer.drain()
        forth.cancel()
        to_upstream.close()
        writer.close()

    async def copy(self, reader, writer):
        while data := await reader.read(65536):
            writer.write(data)

    async def frame(self, reader):
        """The bytes of a frame from the server, which are not masked."""
        head = await reader.readexactly(2)
        more = {126: 2, 127: 8}.get(head[1], 0)
        length = await reader.readexactly(more)
        return head + length + await reader.readexactly(int.from_bytes(length) if more else head[1])


@pytest.mark.parametrize("kinds", [[], [b"reject"]], ids=["the reject was heard", "the reject was lost"])
def test_what_was_rejected_is_never_counted_as_taken_when_its_ack_was_lost(penstock, kinds):
    source = f"client/withheld-{len(kinds)}"
    withholding, told = Withholding(penstock.ports["ingest"], kinds), []

    async def send():
        async with (
            withholding as port,
            client.Device(url(port), source, on_reject=told.append) as device,
        ):
            await device.send_many([reading(1), dict(reading(2), time="yesterday"), reading(3)])
            await device.flush()
            middle = dataclasses.replace(device.counts)
            await device.send(reading(4))
            await device.flush()
            return middle, device.counts, device.offsets

    middle, counts, offsets = run(send())
    assert len(withholding.kept) == len(kinds) and withholding.connections == 2
    assert middle == client.Counts(sent=3, appended=0, duplicates=0, rejected=1, resumed=2, reconnects=1)
    assert counts == client.Counts(sent=4, appended=1, duplicates=0, rejected=1, resumed=2, reconnects=1)
    assert [(reject.code, reject.event["data"]["value"]) for reject in told] == [("invalid_time", 2)]
    assert [event["data"]["value"] for event in stored(penstock.ports["query"], source)] == [1, 3, 4]
    assert len(offsets) == 1


@pytest.mark.parametrize("kinds", [[], [b"reject"]], ids=["the reject was heard", "the reject was lost"])
def test_penstock_send_counts_what_was_rejected_as_such_when_its_ack_was_lost(penstock, kinds):
    source = f"client/sent-{len(kinds)}"
    withholding = Withholding(penstock.ports["ingest"], kinds)
    events = [dict(reading(n), source=source, sequence=n) for n in (1, 2, 3)]
    events[1]["time"] = "yesterday"

    async def send():
        async with withholding as port:
            sender = await asyncio.create_subprocess_exec(
                str(BUILD / "penstock"), "send", "-", "--url", url(port), "--output", "json", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            output, errors = await sender.communicate("".join(json.dumps(event) + "\n" for event in events).encode())
            assert output, errors
            return json.loads(output)

    counts = run(send())
    counts = counts[0] if isinstance(counts, list) else counts
    assert len(withholding.kept) == len(kinds) and withholding.connections == 2
    assert [counts[name] for name in ("sent", "appended", "duplicates", "rejected", "resumed")] == [3, 2, 0, 1, 1], counts
    assert [event["sequence"] for event in stored(penstock.ports["query"], source)] == [1, 3]


def test_a_server_killed_in_the_middle_has_each_event_once_in_the_end(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def start():
        service = Penstock(tmp_path, f"ingest.listen=127.0.0.1:{port}")
        running.append(service)
        return service

    running = []
    start()

    async def send():
        async with client.Device(url(port), "client/killed", batch=20, window=16) as device:
            async def readings():
                for n in range(6000):
                    yield reading(n)
                    if n in (2000, 4000):
                        # Something is under way, and something acknowledged.
                        while device.counts.appended + device.counts.resumed < n - 1000:
                            await asyncio.sleep(0.001)
                        await asyncio.to_thread(running[-1].stop, signal.SIGKILL)
                        await asyncio.to_thread(start)

            await device.send_many(readings())
            await device.flush()
            return device.counts

    try:
        counts = run(send())
        assert counts.reconnects >= 2
        assert counted(counts) == counts.sent == 6000
        events = stored(running[-1].ports["query"], "client/killed")
        assert [event["data"]["value"] for event in events] == list(range(6000))
    finally:
        for service in running:
            service.stop(signal.SIGKILL)
