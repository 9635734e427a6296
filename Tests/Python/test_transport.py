"""The transports of streams: heads in pieces, peers that say nothing or read nothing, HTTP and WebSocket on one port."""

import http.client
import json
import os
import signal
import socket
import threading
import time

import pytest
from conftest import DEADLINE, event, receive, wait_for_ack
from test_stream import frames, masked, raw_handshake
from websockets.exceptions import ConnectionClosed

HANDSHAKE = (
    "GET /v1/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
).encode()


def dial(service):
    connection = socket.create_connection(("127.0.0.1", service.ports["ingest"]), timeout=DEADLINE)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def read_until(connection, end):
    received = b""
    while end not in received:
        more = connection.recv(65536)
        assert more, f"closed after {received!r}"
        received += more
    return received


def large(text):
    """A masked text frame of any size, with a mask of zero."""
    data = text.encode()
    length = bytes([128 | len(data)]) if len(data) < 126 else bytes([254]) + len(data).to_bytes(2, "big")
    return b"\x81" + length + b"\0\0\0\0" + data


def texts(connection, received, until):
    """The server's texts, parsed, up to the first for which `until` holds."""
    found, at = [], 0
    while True:
        while len(received) - at >= 4:
            length, head = received[at + 1] & 127, 2
            if length == 126:
                length, head = int.from_bytes(received[at + 2 : at + 4], "big"), 4
            if len(received) - at < head + length:
                break
            opcode, payload = received[at] & 15, received[at + head : at + head + length]
            at += head + length
            if opcode == 1:
                found.append(json.loads(payload))
                if until(found[-1]):
                    return found
        more = connection.recv(1 << 16)
        assert more, "closed"
        received, at = received[at:] + more, 0


def test_a_handshake_one_byte_at_a_time(penstock):
    with dial(penstock) as connection:
        for index in range(len(HANDSHAKE)):
            connection.sendall(HANDSHAKE[index : index + 1])
        assert read_until(connection, b'"kind":"welcome"').startswith(b"HTTP/1.1 101 ")


def test_frames_right_behind_the_handshake_are_taken(penstock):
    with dial(penstock) as connection:
        connection.sendall(HANDSHAKE + masked(1, json.dumps(event("at once", 1)).encode()[:125]) + masked(9, b"there?"))
        assert b"there?" in read_until(connection, b"there?")


@pytest.mark.parametrize("start", ["GET /livez HTTP/1.1\r\n", "GET /v1/streams HTTP/1.1\r\n", "GET /v1/stream HTTP/1.1\r\n"])
def test_other_requests_are_answered_by_http_however_they_come(penstock, start):
    with dial(penstock) as connection:
        request = (start + "Host: a\r\n\r\n").encode()
        for index in range(len(request)):
            connection.sendall(request[index : index + 1])
        status = int(read_until(connection, b"\r\n\r\n").split(b" ")[1])
        assert status == {"/livez": 200, "/v1/streams": 404, "/v1/stream": 426}[start.split(" ")[1]]


def test_a_connection_stays_for_further_requests(penstock):
    connection = http.client.HTTPConnection("127.0.0.1", penstock.ports["ingest"], timeout=DEADLINE)
    for sequence in range(1, 4):
        connection.request("POST", "/v1/events", json.dumps(event("kept alive", sequence)), {"Content-Type": "application/json"})
        response = connection.getresponse()
        assert (response.status, json.loads(response.read())["appended"]) == (200, 1)
    connection.close()


def test_a_head_too_long_for_a_stream_is_still_http(penstock):
    with dial(penstock) as connection:
        connection.sendall(HANDSHAKE[:-2] + b"X-Long: " + b"x" * 20_000 + b"\r\n\r\n")
        assert read_until(connection, b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")


def test_what_is_not_http_is_closed(penstock):
    with dial(penstock) as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(64))
        try:
            while connection.recv(65536):
                pass
        except ConnectionResetError:
            pass


def test_a_peer_that_reads_nothing_gets_every_answer_when_it_does(penstock):
    connection, received = raw_handshake(penstock.ports["ingest"])
    with connection:
        connection.setblocking(False)
        pending, sent, stuck_since = b"", 0, None
        # Each is rejected with some 200 bytes, until neither side's sockets take any more.
        while stuck_since is None or time.monotonic() - stuck_since < 0.5:
            if not pending:
                pending = large('{"type":"no source"}')
                sent += 1
            try:
                pending = pending[connection.send(pending) :]
                stuck_since = None
            except BlockingIOError:
                stuck_since = stuck_since or time.monotonic()
                time.sleep(0.01)
            assert sent < 3_000_000
        connection.settimeout(DEADLINE)
        writer = threading.Thread(target=connection.sendall, args=(pending,))
        writer.start()
        found = texts(connection, received, lambda text: text["kind"] == "ack" and text["messages"] == sent)
        writer.join()
        assert found[-1]["rejected"] == sent
        rejects = [text["message"] for text in found if text["kind"] == "reject"]
        assert rejects == list(range(1, sent + 1))


def test_silent_connections_do_not_keep_the_service_from_ending(start_penstock):
    service = start_penstock()
    silent = [dial(service) for _ in range(5)]
    half = dial(service)
    half.sendall(HANDSHAKE[:40])
    idle = http.client.HTTPConnection("127.0.0.1", service.ports["ingest"], timeout=DEADLINE)
    idle.request("GET", "/livez")
    assert idle.getresponse().read()
    started = time.monotonic()
    service.terminate()
    assert service.stop() == 0
    assert time.monotonic() - started < 8
    for connection in [*silent, half]:
        try:
            assert connection.recv(1) == b""
        except ConnectionResetError:
            pass
        connection.close()


def test_many_connections_each_get_their_own_acknowledgements(penstock):
    connections = [raw_handshake(penstock.ports["ingest"]) for _ in range(200)]
    for round in range(1, 4):
        for number, (connection, _) in enumerate(connections):
            connection.sendall(large(json.dumps(event(f"many/{number}", round))))
        for number, (connection, received) in enumerate(connections):
            ack = texts(connection, received, lambda text: text["kind"] == "ack")[-1]
            connections[number] = (connection, b"")
            assert (ack["messages"], ack["appended"]) == (round, round)
    for connection, _ in connections:
        connection.sendall(masked(8, b"\x03\xe8"))
        assert frames(connection, b"")[-1] == (8, b"\x03\xe8")
        connection.close()


# A head beyond 16 KiB is not looked at by the reactor: its stream is carried by NIO, as one over TLS is.
@pytest.mark.parametrize("headers", [{}, {"X-Long": "x" * 20_000}], ids=["reactor", "nio"])
def test_both_transports_carry_a_stream_alike(penstock, headers):
    source = f"both/{len(headers)}"
    with penstock.connect(additional_headers=headers) as ws:
        receive(ws, "welcome")
        for sequence in range(1, 2001):
            ws.send(json.dumps(event(source, sequence)))
            ws.send("{}")
        rejects = []
        ack = wait_for_ack(ws, 4000, rejects)
        assert (ack["appended"], ack["duplicates"], ack["rejected"]) == (2000, 0, 2000)
        assert [reject["message"] for reject in rejects] == list(range(2, 4001, 2))
        assert ws.ping(b"there?").wait(DEADLINE)
        ws.send(b"binary")
        with pytest.raises(ConnectionClosed) as caught:
            ws.recv(timeout=DEADLINE)
        assert caught.value.rcvd.code == 1003


@pytest.mark.parametrize("headers", [{}, {"X-Long": "x" * 20_000}], ids=["reactor", "nio"])
def test_both_transports_drain(start_penstock, headers):
    service = start_penstock()
    with service.connect(additional_headers=headers) as ws:
        receive(ws, "welcome")
        ws.send(json.dumps([event("drain", n) for n in range(1, 101)]))
        assert wait_for_ack(ws, 1)["appended"] == 100
        assert service.stop() == 0
        with pytest.raises(ConnectionClosed) as caught:
            ws.recv(timeout=DEADLINE)
        assert caught.value.rcvd.code == 1001
