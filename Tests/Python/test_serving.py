"""Connections: those that say nothing, that are too many, that end their side, and what a request has to say of its host."""

import contextlib
import http.client
import json
import resource
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pytest
from conftest import BUILD, DEADLINE, Service, event, eventually, free_port, receive
from test_http import request
from websockets.exceptions import ConnectionClosed, InvalidStatus

SERVICES = ["ingest", "query"]


def dial(port, address="127.0.0.1"):
    connection = socket.socket()
    connection.settimeout(DEADLINE)
    connection.bind((address, 0))
    connection.connect(("127.0.0.1", port))
    return connection


def ask(port, text, end=False, address="127.0.0.1"):
    """The whole answer to the bytes of a request, until the connection ends, which the request has to ask for."""
    with dial(port, address) as connection:
        connection.sendall(text)
        if end:
            connection.shutdown(socket.SHUT_WR)
        return read_all(connection)


def read_all(connection):
    received = b""
    while more := connection.recv(1 << 16):
        received += more
    return received


def status(answer):
    assert answer.startswith(b"HTTP/1.1 "), answer
    return int(answer.split(b" ")[1])


def code(answer):
    assert b"application/problem+json" in answer, answer
    return json.loads(answer.split(b"\r\n\r\n", 1)[1])["code"]


def ended(connection):
    """Whether the other side has ended the connection; does not wait."""
    connection.setblocking(False)
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


# The host of a request


@pytest.mark.parametrize("name", SERVICES)
@pytest.mark.parametrize("hosts", [b"", b"Host: localhost\r\nHost: localhost\r\n", b"Host: \r\n", b"Host: a b\r\n"])
def test_a_request_names_one_host(penstock, name, hosts):
    answer = ask(penstock.ports[name], b"GET /livez HTTP/1.1\r\n" + hosts + b"Connection: close\r\n\r\n")
    assert (status(answer), code(answer)) == (400, "invalid_host")


@pytest.mark.parametrize("name", SERVICES)
def test_a_target_in_absolute_form_is_a_path(penstock, name):
    port = penstock.ports[name]
    for target in (f"http://127.0.0.1:{port}/livez", f"http://localhost:{port}/livez?x=1", f"HTTP://[::1]:{port}/livez"):
        assert status(ask(port, f"GET {target} HTTP/1.1\r\nHost: other.example\r\nConnection: close\r\n\r\n".encode())) == 200, target
    answer = ask(port, b"GET http://rebind.example/livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert (status(answer), code(answer)) == (403, "host_forbidden")
    if name == "query":
        answer = ask(port, f"GET http://127.0.0.1:{port}/v1/views HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode())
        assert status(answer) == 200 and b"weather_daily" in answer


@pytest.mark.parametrize("name", SERVICES)
@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:1", "localhost:8080", "LOCALHOST", "[::1]:8080", "[::1]"])
def test_loopback_is_asked_by_any_of_its_names(penstock, name, host):
    assert request(penstock.ports[name], "GET", "/livez", headers={"Host": host})[0] == 200


@pytest.mark.parametrize("name, method, path", [
    ("query", "GET", "/v1/views"), ("query", "POST", "/v1/views/apply"), ("query", "POST", "/v1/sql"), ("query", "GET", "/"),
    ("ingest", "POST", "/v1/events"), ("ingest", "GET", "/metrics"), ("ingest", "GET", "/v1/stream")])
def test_a_host_that_is_not_the_services_is_refused(penstock, name, method, path):
    """As by DNS rebinding: the page's own name stands for this machine."""
    headers = {"Host": f"rebind.example:{penstock.ports[name]}", "Content-Type": "text/plain", "Origin": f"http://rebind.example:{penstock.ports[name]}"}
    for without in ({}, {"Origin"}):
        found, answer, body = request(penstock.ports[name], method, path, b"{}" if method == "POST" else None,
                                      {k: v for k, v in headers.items() if k not in without})
        assert (found, answer["Content-Type"], json.loads(body)["code"]) == (403, "application/problem+json", "host_forbidden")


def test_hosts_and_origins_are_settings(start_penstock):
    service = start_penstock("query.hosts=penstock.example.org", "ingest.hosts=penstock.example.org,devices.example.org",
                             "query.origins=https://app.example.org", "ingest.origins=https://app.example.org")
    for name, path in (("query", "/v1/views"), ("ingest", "/openapi.json")):
        port = service.ports[name]
        assert request(port, "GET", path, headers={"Host": "PENSTOCK.example.org:443"})[0] == 200
        assert request(port, "GET", path, headers={"Host": "other.example.org"})[0] == 403
        found, headers, _ = request(port, "GET", path, headers={"Origin": "https://app.example.org"})
        assert (found, headers["Access-Control-Allow-Origin"], headers["Vary"]) == (200, "https://app.example.org", "Origin")
        found, headers, _ = request(port, "GET", path, headers={"Origin": "https://other.example.org"})
        assert (found, headers["Access-Control-Allow-Origin"]) == (403, None)
        found, headers, _ = request(port, "OPTIONS", path, headers={
            "Origin": "https://app.example.org", "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type"})
        assert found == 204 and headers["Access-Control-Allow-Origin"] == "https://app.example.org"
        assert "POST" in headers["Access-Control-Allow-Methods"] and headers["Access-Control-Allow-Headers"] == "authorization,content-type"
        assert request(port, "OPTIONS", path, headers={"Origin": "https://other.example.org", "Access-Control-Request-Method": "POST"})[0] == 403
        # Problems are told to the page, too.
        found, headers, _ = request(port, "GET", "/nothing", headers={"Origin": "https://app.example.org"})
        assert (found, headers["Access-Control-Allow-Origin"]) == (404, "https://app.example.org")
    assert request(service.ports["ingest"], "GET", "/livez", headers={"Host": "devices.example.org"})[0] == 200


def test_without_the_setting_nothing_is_said_to_other_origins(penstock):
    port = penstock.ports["query"]
    found, headers, body = request(port, "OPTIONS", "/v1/sql", headers={"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"})
    assert (found, json.loads(body)["code"], headers["Access-Control-Allow-Origin"]) == (403, "origin_forbidden", None)
    found, headers, _ = request(port, "GET", "/v1/views", headers={"Origin": f"http://127.0.0.1:{port}"})
    assert (found, headers["Access-Control-Allow-Origin"]) == (200, None)


@pytest.mark.parametrize("setting", ["ingest.reactors=2", "ingest.reactors=0"])
def test_a_stream_is_not_for_a_foreign_page(start_penstock, setting):
    service = start_penstock(setting, "ingest.origins=https://app.example.org")
    port = service.ports["ingest"]
    for origin in ("http://evil.example", "null", f"http://localhost:{port}"):
        with pytest.raises(InvalidStatus) as refused:
            service.connect(origin=origin)
        assert refused.value.response.status_code == 403
        assert json.loads(refused.value.response.body)["code"] == "origin_forbidden"
    for origin in ("https://app.example.org", f"http://127.0.0.1:{port}", None):
        with service.connect(origin=origin) as ws:
            receive(ws, "welcome")


# Ending one side


@pytest.mark.parametrize("setting", ["ingest.reactors=2", "ingest.reactors=0"])
def test_whoever_ends_its_side_after_a_request_is_answered(start_penstock, setting):
    service = start_penstock(setting)
    body = json.dumps(event("half closed", 1)).encode()
    head = b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    answer = ask(service.ports["ingest"], head + body, end=True)
    final = answer[answer.rindex(b"HTTP/1.1 "):]
    assert status(final) == 200 and json.loads(final.split(b"\r\n\r\n", 1)[1])["appended"] == 1
    for path, body in ((b"/v1/sql", b'{"sql":"SELECT 1 AS one"}'), (b"/v1/views/apply?dry_run=true", b'{"views":{}}')):
        head = b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (path, len(body))
        answer = ask(service.ports["query"], head + body, end=True)
        # An answer that takes longer may have a 100 before it.
        assert b"HTTP/1.1 " in answer, path
        assert status(answer[answer.rindex(b"HTTP/1.1 "):]) < 500 and answer.endswith(b"}"), answer
    # Half a request is none.
    assert status(ask(service.ports["query"], head + body[:-1], end=True)) == 400


# Time


@pytest.mark.parametrize("settings", [("ingest.reactors=2",), ("ingest.reactors=0",)])
@pytest.mark.parametrize("sent", [b"", b"GET /livez HTTP/1.1\r\nHost: ", b"GET /v1/stream HTTP/1.1\r\nHost: "])
def test_a_connection_that_asks_for_nothing_is_cut_off_in_its_time(start_penstock, settings, sent):
    service = start_penstock(*settings, "ingest.request_timeout=1s", "query.request_timeout=1s", "query.idle_timeout=1s")
    for name in SERVICES:
        began = time.monotonic()
        with dial(service.ports[name]) as connection:
            connection.sendall(sent)
            try:
                assert connection.recv(1) == b"", name
            except ConnectionResetError:
                # A part of a head was sent and is still unread.
                assert sent
        assert 0.9 < time.monotonic() - began < 20, name
    # After an answer.
    with dial(service.ports["query"]) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
        began = time.monotonic()
        assert connection.recv(1) == b""
        assert 0.9 < time.monotonic() - began < 20


def test_a_reader_of_a_stream_does_not_delay_the_exit(start_penstock, weather):
    service = start_penstock()
    with dial(service.ports["query"]) as stream, dial(service.ports["query"]) as idle, dial(service.ports["ingest"]) as silent:
        stream.sendall(b"GET /v1/views/weather_daily/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        received = b""
        while b"event: rows" not in received:
            received += stream.recv(1 << 16)
        service.check_ledger()
        began = time.monotonic()
        service.is_ending = True
        service.process.send_signal(signal.SIGTERM)
        # It is told, and keeps its socket: the process ends all the same.
        while b"event: end" not in received:
            more = stream.recv(1 << 16)
            assert more
            received += more
        assert service.process.wait(timeout=DEADLINE) == 0
        assert time.monotonic() - began < 8
        assert idle.recv(1) == b"" and silent.recv(1) == b""


# Number


def hold(port, count, text=b""):
    """Connections that stay open, each after what it has sent was answered, if anything was sent."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, count + 1000)), hard))
    held = contextlib.ExitStack()
    for _ in range(count):
        connection = held.enter_context(dial(port))
        if text:
            connection.sendall(text)
            assert connection.recv(4096)
    return held


@pytest.mark.parametrize("setting", ["ingest.reactors=2", "ingest.reactors=0"])
@pytest.mark.parametrize("text", [b"", b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"])
def test_idle_connections_give_way(start_penstock, setting, text):
    service = start_penstock(setting, "ingest.connections_max=40", "query.connections_max=40")
    for name in SERVICES:
        with hold(service.ports[name], 100, text):
            for _ in range(50):
                assert request(service.ports[name], "GET", "/livez")[0] == 200
    with hold(service.ports["ingest"], 100, text), service.connect() as ws:
        receive(ws, "welcome")
        with hold(service.ports["ingest"], 100, text):
            ws.send(json.dumps(event("among many", 1)))
            assert receive(ws, "ack")["appended"] == 1


@pytest.mark.parametrize("setting", ["ingest.reactors=2", "ingest.reactors=0"])
def test_beyond_the_bound_the_next_is_told_and_health_is_answered(start_penstock, setting):
    service = start_penstock(setting, "ingest.connections_max=5")
    port = service.ports["ingest"]
    with contextlib.ExitStack() as streams:
        for _ in range(5):
            receive(streams.enter_context(service.connect()), "welcome")
        for _ in range(40):
            found, headers, body = request(port, "POST", "/v1/events", json.dumps(event("too many")), {"Content-Type": "application/json"})
            assert (found, headers["Retry-After"], json.loads(body)["code"]) == (503, "1", "too_many_connections")
            with pytest.raises(InvalidStatus) as refused:
                service.connect()
            assert refused.value.response.status_code == 503
            for path in ("/livez", "/readyz", "/health", "/metrics"):
                assert request(port, "GET", path)[0] == 200
        # Also where others take those up that are kept for it, and say nothing.
        with hold(port, 60):
            assert request(port, "GET", "/readyz")[0] == 200
    eventually(lambda: request(port, "GET", "/openapi.json")[0] == 200)


def test_an_address_has_a_bound_of_its_own(start_penstock):
    service = start_penstock("ingest.connections_per_address_max=3")
    with contextlib.ExitStack() as streams:
        for _ in range(3):
            receive(streams.enter_context(service.connect()), "welcome")
        with pytest.raises(InvalidStatus) as refused:
            service.connect()
        assert refused.value.response.status_code == 429
        assert request(service.ports["ingest"], "GET", "/readyz")[0] == 200
        answer = ask(service.ports["ingest"], b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", address="127.0.0.2")
        assert status(answer) == 200
