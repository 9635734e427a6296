"""Trace context from devices and HTTP callers, carried through the log; request ids, through all services."""

import json
import socket
import threading

import pytest
from conftest import DEADLINE, event, wait_for_ack
from test_http import BATCH, post, request
from test_services import Services

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
OTHER = "00-11111111111111111111111111111111-2222222222222222-00"


def traces(penstock, source):
    status, _, body = request(penstock.ports["query"], "GET", f"/v1/events?source={source}")
    assert status == 200
    return [(found.get("traceparent"), found.get("tracestate")) for found in json.loads(body)["events"]]


def test_a_requests_trace_is_that_of_its_events_that_have_none(penstock):
    events = [event("trace/http", 1), event("trace/http", 2, traceparent=OTHER), event("trace/http", 3)]
    status, _, _ = post(penstock, events, BATCH, traceparent=PARENT, tracestate="vendor=1")
    assert status == 200
    assert traces(penstock, "trace/http") == [(PARENT, "vendor=1"), (OTHER, None), (PARENT, "vendor=1")]


def test_a_trace_in_binary_mode_and_in_lines(penstock):
    headers = {"ce_type": "t", "ce_source": "trace/binary", "ce_id": "1", "traceparent": PARENT}
    assert post(penstock, {"value": 1}, "application/json", **headers)[0] == 200
    assert traces(penstock, "trace/binary") == [(PARENT, None)]
    lines = "\n".join(json.dumps(event("trace/lines", n)) for n in (1, 2)).encode()
    assert post(penstock, lines, "application/x-ndjson", traceparent=PARENT)[0] == 200
    assert traces(penstock, "trace/lines") == [(PARENT, None)] * 2


@pytest.mark.parametrize("parent", ["", "nonsense", PARENT.upper(), PARENT + "0", PARENT.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32)])
def test_a_header_that_is_no_trace_is_left_alone(penstock, parent):
    source = f"trace/none/{len(parent)}/{parent[:8]}"
    assert post(penstock, [event(source, 1)], BATCH, traceparent=parent, tracestate="vendor=1")[0] == 200
    assert traces(penstock, source) == [(None, None)]


def test_a_devices_trace_comes_back(penstock):
    with penstock.connect() as ws:
        ws.recv(timeout=DEADLINE)
        ws.send(json.dumps([event("trace/device", 1, traceparent=PARENT, tracestate="a=b"), event("trace/device", 2)]))
        wait_for_ack(ws, 1)
    assert traces(penstock, "trace/device") == [(PARENT, "a=b"), (None, None)]


@pytest.mark.parametrize("service,path", [("ingest", "/livez"), ("ingest", "/nowhere"), ("query", "/v1/views"), ("query", "/v1/views/none")])
def test_a_request_id_comes_back_and_one_is_made_where_there_is_none(penstock, service, path):
    port = penstock.ports[service]
    assert request(port, "GET", path, headers={"X-Request-Id": "mine-1"})[1]["X-Request-Id"] == "mine-1"
    made = {request(port, "GET", path)[1]["X-Request-Id"] for _ in range(2)}
    assert len(made) == 2 and all(made)
    assert request(port, "GET", path, headers={"X-Request-Id": "x" * 129})[1]["X-Request-Id"] != "x" * 129


class Listening:
    """Passes connections on to a port, and keeps what was said to it."""

    def __init__(self, port):
        self.port, self.heard = port, bytearray()
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                asker, _ = self.listener.accept()
            except OSError:
                return
            asked = socket.create_connection(("127.0.0.1", self.port))
            threading.Thread(target=self.carry, args=(asker, asked, True), daemon=True).start()
            threading.Thread(target=self.carry, args=(asked, asker, False), daemon=True).start()

    def carry(self, source, target, listen):
        try:
            while data := source.recv(65536):
                if listen:
                    self.heard += data
                target.sendall(data)
        except OSError:
            pass
        finally:
            source.close()
            target.close()


def test_a_request_id_travels_to_the_services_asked(tmp_path):
    services = Services(tmp_path)
    compute = Listening(services.ports["compute"])
    try:
        for name in ("log", "compute"):
            assert request(services.ports[name], "GET", "/livez", headers={"X-Request-Id": "direct"})[1]["X-Request-Id"] == "direct"
        services.kill("query")
        services.ports["compute"] = compute.listener.getsockname()[1]
        services.start("query")
        path = "/v1/views/weather_daily?limit=1"
        status, headers, body = request(services.ports["query"], "GET", path, headers={"X-Request-Id": "through-42"})
        assert (status, headers["X-Request-Id"]) == (200, "through-42"), body
        asked = [head for head in bytes(compute.heard).split(b"HTTP/1.1\r\n") if b"X-Request-Id: through-42\r\n" in head]
        assert asked and b"POST /v1/compute/read " in bytes(compute.heard)
    finally:
        compute.listener.close()
        services.ports["compute"] = compute.port
        services.kill("query")
        services.close()
