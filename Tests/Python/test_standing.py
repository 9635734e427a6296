"""Long answers end with the token that let them in, and readers that take nothing keep nothing from others."""

import json
import socket
import time
from urllib.parse import quote

import pytest
from conftest import DEADLINE, event, eventually, receive, wait_for_ack
from test_http import request
from test_security import ANALYST, OPERATOR, Guarded, Issuer
from websockets.exceptions import ConnectionClosed

OTHER = "other-token-0123456789"


def follow(port, path, token=None, small=False):
    """A connection that has asked for a stream and read its head."""
    connection = socket.socket()
    if small:
        # So that little fits between the server and a reader that takes nothing.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(DEADLINE)
    connection.connect(("127.0.0.1", port))
    authorization = f"Authorization: Bearer {token}\r\n" if token else ""
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{authorization}\r\n".encode())
    head = b""
    while b"\r\n\r\n" not in head:
        more = connection.recv(1)
        assert more, head
        head += more
    return connection, int(head.split(b" ")[1])


def tokens(path, *lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


STREAMS = ["/v1/views/weather_daily/live", "/v1/overview/live"]


def read_to_the_end(stream, code):
    """Up to the stream's last event, which says why."""
    received = b""
    while b"event: end\n" not in received or not received.endswith(b"\n\n"):
        more = stream.recv(1 << 16)
        assert more, received
        received += more
        if received.endswith(b"0\r\n\r\n"):
            break
    assert b'"code":"%s"' % code.encode() in received, received[-1000:]


@pytest.mark.parametrize("setting", ["ingest.reactors=2", "ingest.reactors=0"])
def test_a_token_taken_back_ends_its_streams_at_once(tmp_path, setting):
    # A heartbeat does not come before the test is over.
    service = Guarded(tmp_path, "ingest.heartbeat=1h", setting)
    try:
        analyst, other = ({"token": token, "subject": token[:5], "scopes": ["query"]} for token in (ANALYST, OTHER))
        operator = {"token": OPERATOR, "subject": "operator", "scopes": ["ingest"], "sources": ["*"]}
        tokens(tmp_path / "tokens", operator, analyst, other)
        eventually(lambda: service.request("query", "GET", "/v1/views", OTHER)[0] == 200)
        kept, status = follow(service.ports["query"], STREAMS[1], ANALYST)
        assert status == 200
        streams = [follow(service.ports["query"], path, OTHER)[0] for path in STREAMS]
        with service.stream(OPERATOR) as ws:
            receive(ws, "welcome")
            tokens(tmp_path / "tokens", analyst)
            began = time.monotonic()
            for stream in streams:
                read_to_the_end(stream, "token_invalid")
            with pytest.raises(ConnectionClosed) as closed:
                while True:
                    ws.recv(timeout=DEADLINE)
            assert closed.value.rcvd.code == 1008
            # The file is looked at each second.
            assert time.monotonic() - began < 15
        assert service.request("query", "GET", "/v1/views", OTHER)[0] == 401
        # The other's goes on: there is an overview each second.
        for _ in range(3):
            assert b"event: end" not in (more := kept.recv(1 << 16)) and more
    finally:
        assert service.stop() == 0


def test_a_key_set_without_its_key_ends_a_tokens_streams(tmp_path):
    service = Guarded(tmp_path)
    try:
        token = service.issuer.token(subject="analyst", scope="query")
        streams = [follow(service.ports["query"], path, token)[0] for path in STREAMS]
        (tmp_path / "jwks.json").write_text(json.dumps(Issuer().jwks()))
        for stream in streams:
            read_to_the_end(stream, "token_invalid")
    finally:
        assert service.stop() == 0


@pytest.mark.parametrize("path", STREAMS)
def test_a_stream_ends_when_its_token_expires(tmp_path, path):
    service = Guarded(tmp_path, "auth.leeway=0s")
    try:
        expiry = time.time() + 6
        stream, status = follow(service.ports["query"], path, service.issuer.token(subject="analyst", scope="query", exp=expiry))
        assert status == 200
        read_to_the_end(stream, "token_expired")
        assert -0.1 < time.time() - expiry < 20
    finally:
        assert service.stop() == 0


def fill(service, sources):
    """As many rows, some 300 bytes each."""
    with service.connect(max_size=None) as ws:
        receive(ws, "welcome")
        count = 0
        for start in range(0, sources, 1000):
            ws.send(json.dumps([event(f"station/{'x' * 100}{n}", id="1", type="weather.observed", time="2013-01-01T00:00:00Z", data={"temp": 1.5})
                                for n in range(start, min(start + 1000, sources))]))
            count += 1
        return wait_for_ack(ws, count)["offsets"]


def rows_are_counted(service, offsets):
    status, _, body = request(service.ports["query"], "GET", f"/v1/views/weather_daily?limit=1&timeout=60s&after={quote(json.dumps(offsets))}")
    assert status == 200, body


def test_a_reader_that_takes_nothing_is_closed(start_penstock):
    service = start_penstock("query.stall_timeout=1s", "query.stream_rows_max=100000")
    rows_are_counted(service, fill(service, 40_000))
    stuck, status = follow(service.ports["query"], STREAMS[0], small=True)
    export, _ = follow(service.ports["query"], "/v1/views/weather_daily?format=ndjson", small=True)
    whole, _ = follow(service.ports["query"], "/v1/views/weather_daily?limit=100000", small=True)
    assert status == 200
    # As the system tells: the other side has gone, whether or not what it sent is read.
    for connection in (stuck, export, whole):
        eventually(lambda: is_gone(connection))
        connection.close()
    # One that reads slowly is not.
    slow, _ = follow(service.ports["query"], STREAMS[0], small=True)
    received, deadline = b"", time.monotonic() + 4
    while time.monotonic() < deadline:
        more = slow.recv(30_000)
        assert more, "a reader that reads was cut off"
        received += more
        time.sleep(0.02)
    slow.close()


def is_gone(connection):
    """Whether the peer has closed the connection, with what it sent still unread."""
    # The first byte of struct tcp_info is the state; ESTABLISHED is 1.
    return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != 1


def test_streams_that_nobody_reads_give_way(start_penstock):
    service = start_penstock("query.stall_timeout=1h", "query.streams_max=3", "query.stream_rows_max=100000")
    rows_are_counted(service, fill(service, 40_000))
    stuck = [follow(service.ports["query"], STREAMS[0], small=True)[0] for _ in range(3)]

    def opened():
        connection, status = follow(service.ports["query"], STREAMS[0])
        return connection if status == 200 else connection.close()

    # As soon as one of those has taken nothing for a second.
    reader = eventually(opened)
    eventually(lambda: sum(map(is_gone, stuck)) == 1)
    received = b""
    while b"event: rows" not in received:
        received += reader.recv(1 << 16)


def test_what_streams_hold_is_bounded_together(start_penstock):
    service = start_penstock("query.stall_timeout=1h", "query.stream_rows_max=100000", "query.streams_bytes_max=60MiB")
    rows_are_counted(service, fill(service, 40_000))
    # Each holds some 20 MB at first.
    stuck = [follow(service.ports["query"], STREAMS[0], small=True)[0] for _ in range(2)]

    def opened():
        connection, status = follow(service.ports["query"], STREAMS[0])
        return connection if status == 200 else connection.close()

    eventually(opened)
    eventually(opened)
    eventually(lambda: any(map(is_gone, stuck)))


def test_a_stream_holds_no_more_than_it_may(start_penstock):
    service = start_penstock("query.stream_rows_max=100000", "query.stream_bytes_max=1MiB")
    rows_are_counted(service, fill(service, 10_000))
    connection, status = follow(service.ports["query"], STREAMS[0])
    assert status == 422
    connection.close()
    connection, status = follow(service.ports["query"], STREAMS[0] + "?group_by=")
    assert status == 200
    connection.close()
