"""Peers that send little and cost much: floods of rejects, peers that read nothing or say nothing, and closes right behind events."""

import gzip
import http.client
import json
import pathlib
import re
import signal
import socket
import time
import zlib

import pytest
from conftest import DEADLINE, event, eventually, receive, wait_for_ack
from test_http import request
from test_services import Services
from test_stream import frames, masked
from test_transport import large, read_until, texts

FLOOD = 340_000
TOLD = 256
# A head beyond 16 KiB is carried by NIO.
TRANSPORTS = pytest.mark.parametrize("padding", [0, 20_000], ids=["reactor", "nio"])


def open_stream(port, padding=0, deflate=False):
    """A socket after the handshake and the welcome."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)
    head = "GET /v1/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    head += "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    head += "Sec-WebSocket-Extensions: permessage-deflate\r\n" if deflate else ""
    connection.sendall((head + f"X-Padding: {'x' * padding}\r\n\r\n").encode())
    read_until(connection, b'"kind":"welcome"')
    return connection


def flood():
    """A masked text frame of a thousand bytes that inflates to 340,000 events, all bad."""
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = deflater.compress(b"[" + b"[]," * (FLOOD - 1) + b"[]]") + deflater.flush(zlib.Z_SYNC_FLUSH)
    assert data.endswith(b"\x00\x00\xff\xff")
    data = data[:-4]
    return b"\xc1" + bytes([254]) + len(data).to_bytes(2, "big") + b"\0\0\0\0" + data


def resident(service):
    return int(re.search(r"VmRSS:\s+(\d+) kB", pathlib.Path(f"/proc/{service.process.pid}/status").read_text())[1]) << 10


def metric(port, name):
    _, _, body = request(port, "GET", "/metrics")
    return sum(float(line.rsplit(" ", 1)[1]) for line in body.decode().splitlines() if re.match(rf"{name}[ {{]", line))


def test_a_flood_of_rejects_is_told_in_part_and_counted_whole(penstock):
    with penstock.connect(compression="deflate") as ws:
        receive(ws, "welcome")
        ws.send("[" + "[]," * (FLOOD - 1) + "[]]")
        rejects = []
        ack = wait_for_ack(ws, 1, rejects)
        assert (ack["appended"], ack["duplicates"], ack["rejected"]) == (0, 0, FLOOD)
        assert [reject["event"] for reject in rejects] == list(range(TOLD + 1))
        assert sum(reject.get("count", 1) for reject in rejects) == FLOOD
        assert all("count" not in reject for reject in rejects[:-1])


def test_an_http_answer_tells_of_a_flood_in_part_and_counts_it_whole(penstock):
    bad = [b"[]"] * FLOOD
    for events, status, appended in [(bad, 422, 0), ([*bad, json.dumps(event("after a flood", 1)).encode()], 200, 1)]:
        body = gzip.compress(b"[" + b",".join(events) + b"]")
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        found, _, text = request(penstock.ports["ingest"], "POST", "/v1/events", body, headers)
        answer = json.loads(text)
        assert (found, answer["appended"]) == (status, appended)
        assert len(answer["rejected"]) == TOLD and len(text) < 64 << 10
        assert len(answer["rejected"]) + answer["rejected_more"] == FLOOD


@TRANSPORTS
def test_peers_that_never_read_hold_little_and_are_closed(start_penstock, padding):
    service = start_penstock("ingest.heartbeat=300ms")
    message = flood()
    with open_stream(service.ports["ingest"], padding, deflate=True) as warm:
        warm.sendall(message)
        before = resident(service)
    peers = [open_stream(service.ports["ingest"], padding, deflate=True) for _ in range(20)]
    for peer in peers:
        peer.sendall(message)
    most = 0

    def is_alone():
        nonlocal most
        most = max(most, resident(service))
        # The one that asks is one.
        return metric(service.ports["ingest"], "penstock_ingest_connections") <= 1

    eventually(is_alone)
    assert most - before < 64 << 20, "some of it is the allocator's"
    # One that is given up while its message waits to be read has none of it rejected.
    assert FLOOD <= metric(service.ports["ingest"], "penstock_ingest_events_rejected_total") <= 21 * FLOOD
    for peer in peers:
        peer.close()


@TRANSPORTS
def test_a_peer_that_goes_on_sending_and_reads_nothing_is_closed(start_penstock, padding):
    service = start_penstock("ingest.heartbeat=200ms")
    peer = open_stream(service.ports["ingest"], padding)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    bad = large('{"type":"no source"}') * 1000
    deadline = time.monotonic() + DEADLINE
    with peer, pytest.raises(OSError):
        # Ends when the other side has.
        peer.settimeout(DEADLINE)
        while time.monotonic() < deadline:
            peer.sendall(bad)
    assert time.monotonic() < deadline
    # The one that asks is one.
    eventually(lambda: metric(service.ports["ingest"], "penstock_ingest_connections") <= 1)


@pytest.fixture
def stopped_log(tmp_path):
    """A log that takes nothing, as a slow disk does, behind an ingest with short heartbeats."""
    services = Services(tmp_path, "ingest.heartbeat=200ms", "ingest.unacked_messages_max=2")
    log = services.running["log"].process
    yield services, log
    log.send_signal(signal.SIGCONT)
    services.close()


@TRANSPORTS
def test_a_peer_that_waits_for_a_slow_log_is_heard(stopped_log, padding):
    services, log = stopped_log
    silent, pushing, alive = (open_stream(services.ports["ingest"], padding) for _ in range(3))
    log.send_signal(signal.SIGSTOP)
    for name, peer in (("silent", silent), ("pushing", pushing), ("alive", alive)):
        for sequence in range(1, 4 if name == "alive" else 3):
            peer.sendall(large(json.dumps(event(name, sequence))))
    pushing.sendall(large(json.dumps(event("pushing", 3, data="x" * 200))) * 200)
    pings = 0
    received = b""
    gone = set()
    for peer in (silent, pushing):
        peer.setblocking(False)
    while pings < 20 or len(gone) < 2:
        # The one that answers stays.
        while len(received) < 2:
            more = alive.recv(65536)
            assert more, "closed"
            received += more
        opcode, length = received[0] & 15, received[1] & 127
        assert (opcode, length) == (9, 0), received[:8]
        received = received[2:]
        alive.sendall(masked(10, b""))
        pings += 1
        for peer in (silent, pushing):
            try:
                while more := peer.recv(65536):
                    if b"\x88" in more:
                        gone.add(peer)
                gone.add(peer)
            except BlockingIOError:
                pass
            except ConnectionResetError:
                gone.add(peer)
        assert pings < 60, "two missed heartbeats, and four for what it goes on sending"
    log.send_signal(signal.SIGCONT)
    answers = texts(alive, received, lambda text: text["kind"] == "ack" and text["messages"] == 3)
    assert answers[-1]["appended"] + answers[-1]["duplicates"] == 3
    for peer in (silent, pushing, alive):
        peer.close()


@TRANSPORTS
@pytest.mark.parametrize("half_closed", [False, True])
def test_events_with_a_close_right_behind_are_acknowledged_first(penstock, padding, half_closed):
    source = f"closing/{padding}/{half_closed}"
    for sequence in range(1, 51):
        with open_stream(penstock.ports["ingest"], padding) as peer:
            peer.sendall(large(json.dumps(event(source, sequence))) + large("{}") + masked(8, b"\x03\xe8done"))
            if half_closed:
                peer.shutdown(socket.SHUT_WR)
            found = frames(peer, b"")
            told = [json.loads(payload) for opcode, payload in found if opcode == 1]
            assert (told[-1]["messages"], told[-1]["appended"], told[-1]["rejected"]) == (2, 1, 1)
            assert found[-1][0] == 8 and found[-1][1][:2] == b"\x03\xe8"
            while peer.recv(65536):
                pass


def test_quoted_header_values_lose_their_quotes(penstock):
    connection = http.client.HTTPConnection("127.0.0.1", penstock.ports["ingest"], timeout=DEADLINE)
    headers = {"ce-specversion": '"1.0"', "ce-type": '"quoted \\"type\\""', "ce-source": '"quoted%20source"', "ce-id": '"1"'}
    connection.request("POST", "/v1/events", b"7", headers | {"Content-Type": "application/json"})
    response = connection.getresponse()
    assert (response.status, json.loads(response.read())["appended"]) == (200, 1)
    _, _, body = request(penstock.ports["query"], "GET", "/v1/events?source=quoted%20source")
    found = json.loads(body)["events"]
    assert [(one["type"], one["id"], one["data"]) for one in found] == [('quoted "type"', "1", 7)]
    connection.close()
