"""Each service as a process of its own, over plain loopback in place of the mesh: killed one by one, and the counts stay exact."""

import json
import signal
import socket
import time

import pytest
from conftest import BUILD, DEADLINE, VIEWS, Service, wait_for_ack
from test_http import request
from websockets.sync.client import connect


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Services:
    """A log, an ingest, a compute and a query process; a service that is started again takes its port again."""

    def __init__(self, folder):
        (folder / "views.yaml").write_text(VIEWS)
        self.folder = folder
        self.ports = {name: free_port() for name in ("log", "ingest", "compute", "query")}
        self.running = {}
        self.lines = []
        for name in self.ports:
            self.start(name)

    def start(self, name):
        peers = {"log": [], "ingest": ["log"], "compute": ["log"], "query": ["log", "compute"]}[name]
        arguments = [str(BUILD / "penstock"), name, "--loopback", "--views", str(self.folder / "views.yaml")]
        arguments += ["--data", str(self.folder / ("data" if name == "log" else name))]
        arguments += ["--set", f"{name}.listen=127.0.0.1:{self.ports[name]}", "--set", "compute.checkpoint_interval=50ms"]
        for peer in peers:
            arguments += ["--loopback-peer", f"{peer}={self.ports[peer]}"]
        self.running[name] = Service(arguments, [name])

    def kill(self, name):
        self.running[name].stop(signal.SIGKILL)

    def get(self, service, path):
        status, _, body = request(self.ports[service], "GET", path)
        return status, json.loads(body)

    def count(self, offsets):
        status, answer = self.get(
            "query", f"/v1/views/weather_daily?group_by=&step=365d&after={json.dumps(offsets).replace(' ', '')}&timeout=30s"
        )
        assert status == 200, answer
        return sum(row["observations"] for row in answer["rows"])


@pytest.fixture
def services(tmp_path):
    services = Services(tmp_path)
    yield services
    for service in services.running.values():
        service.stop(signal.SIGKILL)


def message(number, count=5):
    # Neither sequence nor id: nothing but the append itself tells an event that came twice.
    return json.dumps(
        [
            {
                "source": f"station/{number % 40}",
                "type": "weather.observed",
                "time": f"2013-03-{1 + number % 28:02}T12:00:00Z",
                "data": {"temp": number + at},
            }
            for at in range(count)
        ]
    )


def test_killed_one_by_one(services):
    with connect(
        f"ws://127.0.0.1:{services.ports['ingest']}/v1/stream", subprotocols=["penstock.v1"], compression=None, open_timeout=DEADLINE
    ) as ws:
        assert json.loads(ws.recv(timeout=DEADLINE))["kind"] == "welcome"
        for number in range(400):
            ws.send(message(number))
            if number % 100 == 60:
                services.kill("log")
                services.start("log")
            time.sleep(0.002)
        ack = wait_for_ack(ws, 400)
    assert (ack["appended"], ack["duplicates"], ack["rejected"]) == (2000, 0, 0), ack
    assert services.count(ack["offsets"]) == 2000

    services.kill("compute")
    status, answer = services.get("query", "/v1/views/weather_daily")
    assert status == 503, answer
    services.start("compute")
    assert services.count(ack["offsets"]) == 2000
    status, answer = services.get("query", "/v1/views/weather_daily?allow_partial=true&limit=1")
    assert (status, answer["partial"], answer["missing_partitions"]) == (200, False, []), answer

    for name in services.ports:
        assert services.get(name, "/readyz")[0] == 200, name
        assert services.get(name, "/openapi.json")[1]["openapi"] == "3.1.0"
    for name in ("query", "ingest", "compute", "log"):
        assert services.running[name].stop() == 0, "".join(services.running[name].lines)
