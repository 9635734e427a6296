"""Each service as a process of its own, over plain loopback in place of the mesh: killed one by one, and the counts stay exact."""

import json
import re
import signal
import time

import ledger
import pytest
from conftest import BUILD, DEADLINE, VIEWS, Service, event, eventually, free_port, wait_for_ack
from test_http import request
from websockets.sync.client import connect


class Services:
    """A log, an ingest, a compute and a query process; a service that is started again takes its port again."""

    def __init__(self, folder, *settings, views=VIEWS):
        self.settings = settings
        (folder / "views.yaml").write_text(views)
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
        for setting in self.settings:
            arguments += ["--set", setting]
        for peer in peers:
            arguments += ["--loopback-peer", f"{peer}={self.ports[peer]}"]
        was_there = name in self.running
        self.running[name] = Service(arguments, [name])
        if name == "ingest":
            # Counts anew; of the first one nothing is in the log yet.
            self.log_before = None if was_there else {}

    def kill(self, name):
        self.running[name].stop(signal.SIGKILL)

    def ask_ledger(self):
        """With ingest's part from its own metrics."""
        status, found = self.get("query", "/v1/ledger")
        assert status == 200, found
        # From ingest itself, since its report to the log is up to half a second old.
        return found | {"ingest": ledger.ingest_counts(request(self.ports["ingest"], "GET", "/metrics")[2].decode())}

    def check_ledger(self):
        ledger.check(self.ask_ledger, self.log_before)

    def close(self):
        """Ends all, each that was killed once started again so that the ledger can be checked."""
        try:
            for name, service in list(self.running.items()):
                if service.process.poll() is not None:
                    self.start(name)
            eventually(lambda: all(self.get(name, "/readyz")[0] == 200 for name in self.ports))
            self.check_ledger()
        finally:
            for service in self.running.values():
                service.stop(signal.SIGKILL)

    def post(self, path, body=None):
        status, _, answer = request(self.ports["query"], "POST", path, json.dumps(body or {}), {"Content-Type": "application/json"})
        return status, json.loads(answer)

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
    services.close()


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
    services.check_ledger()
    for name in ("query", "ingest", "compute", "log"):
        assert services.running[name].stop() == 0, "".join(services.running[name].lines)


def test_the_overview_and_the_ledger_tell_what_ingest_has_counted_in_its_own_process(services):
    with connect(f"ws://127.0.0.1:{services.ports['ingest']}/v1/stream") as device:
        assert json.loads(device.recv(timeout=DEADLINE))["kind"] == "welcome"
        for number in range(20):
            device.send(message(number))
        device.send(json.dumps([json.loads(message(20))[0], {"source": "station/1"}]))
        assert wait_for_ack(device, 21, rejects=[])["appended"] == 101

        def told():
            status, overview = services.get("query", "/v1/overview")
            assert status == 200, overview
            metrics = request(services.ports["ingest"], "GET", "/metrics")[2].decode()
            acks = int(re.search(r"^penstock_ingest_ack_seconds_count (\d+)", metrics, re.MULTILINE)[1])
            # A report may be of a moment on the way.
            is_all = (overview["appended"], overview["applied"]) == (101, 101) and overview["ack_seconds"]["buckets"][-1][1] == acks
            return overview if acks > 0 and is_all else None

        overview = eventually(told)
        counts = [overview[name] for name in ("received", "duplicates", "rejected", "in_flight", "connections", "late", "filtered")]
        assert counts == [102, 0, 1, 0, 1, 0, 0], overview
        assert overview["rejects"]["missing_type"] == 1 and sum(overview["rejects"].values()) == 1
    ledger = services.get("query", "/v1/ledger")[1]
    counted = {"received": 102, "appended": 101, "duplicates": 0, "suspect_duplicates": 0, "rejected": 1, "in_flight": 0, "balanced": True}
    assert ledger["ingest"] == counted
    assert ledger["balanced"]
    # The log has forgotten what it was told; ingest tells it again.
    services.kill("log")
    services.start("log")

    def told_again():
        status, overview = services.get("query", "/v1/overview")
        return status == 200 and overview["received"]

    assert eventually(told_again) == 102


def test_the_sources_are_listed_by_the_query_service(services):
    with connect(f"ws://127.0.0.1:{services.ports['ingest']}/v1/stream") as device:
        assert json.loads(device.recv(timeout=DEADLINE))["kind"] == "welcome"
        device.send(json.dumps([event(f"meter/{number}", sequence) for number in range(30) for sequence in (1, 2)]))
        wait_for_ack(device, 1)

    def told(parameters=""):
        status, answer = services.get("query", f"/v1/sources?limit=1000{parameters}")
        assert status == 200, answer
        return answer

    answer = eventually(lambda: (found := told()) and sum(found["as_of"].values()) == 60 and found)
    known = {source["source"]: (source["sequence"], source["events"], source["ahead"]) for source in answer["sources"]}
    assert known == {f"meter/{number}": (2, 2, False) for number in range(30)}
    assert [source["source"] for source in told("&prefix=meter/2&order=-source")["sources"]][:2] == ["meter/29", "meter/28"]
    assert told("&ahead=true")["sources"] == []
    assert services.get("query", "/v1/overview")[1]["sources_ahead"] == []


def test_the_last_rejects_of_ingest_processes_are_told_by_the_query_service(services):
    def told(count, code=""):
        """The rejects once there are so many."""
        def ask():
            status, answer = services.get("query", f"/v1/rejects?code={code}" if code else "/v1/rejects")
            assert status == 200, answer
            return answer["rejects"] if len(answer["rejects"]) == count else None

        return eventually(ask)

    assert services.get("query", "/v1/rejects") == (200, {"rejects": []})
    with connect(f"ws://127.0.0.1:{services.ports['ingest']}/v1/stream") as device:
        assert json.loads(device.recv(timeout=DEADLINE))["kind"] == "welcome"
        device.send(json.dumps([json.loads(message(0))[0], {"source": "station/1"}]))
        for number in range(40):
            device.send(json.dumps({"source": "station/2", "type": "t", "time": f"never {number}"}))
        wait_for_ack(device, 41, rejects=[])
        rejects = told(33)
        assert [r["time"] for r in rejects] == sorted((r["time"] for r in rejects), reverse=True)
        assert [(r["event"], r["message"]) for r in told(1, "missing_type")][0][0] == 1
        messages = [json.loads(r["message"])["time"] for r in told(32, "invalid_time")]
        assert messages == [f"never {number}" for number in range(39, 7, -1)]

        # The log has forgotten what it was told; ingest tells it again, and what came since.
        services.kill("log")
        services.start("log")
        device.send(json.dumps({"type": "t"}))
        wait_for_ack(device, 42, rejects=[])
        again = told(34)
        assert again[0]["code"] == "missing_source" and again[1:] == rejects
    # The rejects of a process that has ended are still listed, beside those of the next.
    services.kill("ingest")
    services.start("ingest")
    assert append(services, json.loads(message(1)))
    assert told(34) == again
    status, _, _ = request(services.ports["ingest"], "POST", "/v1/events", "[{}]", {"Content-Type": "application/json"})
    assert status == 422
    assert told(2, "missing_source")[1:] == told(34 + 1)[1:2]


def append(services, events):
    """Appends events by HTTP; the offsets after them."""
    status, _, answer = request(services.ports["ingest"], "POST", "/v1/events", json.dumps(events), {"Content-Type": "application/json"})
    assert status == 200, answer
    return json.loads(answer)["offsets"]



def test_replay_late_events_and_aggregates_over_the_wire(services):
    events = [event for number in range(60) for event in json.loads(message(number))]
    offsets = append(services, events)
    assert services.count(offsets) == len(events)
    before = services.get("query", "/v1/views/weather_daily?limit=10000")[1]["rows"]

    status, estimate = services.post("/v1/views/weather_daily/replays", {"dry_run": True})
    assert (status, estimate["events"]) == (200, len(events)), estimate
    status, replay = services.post("/v1/views/weather_daily/replays")
    assert (status, replay["generation"]) == (202, 2), replay
    eventually(lambda: services.get("query", "/v1/views/weather_daily/replays/2")[1]["state"] == "held")
    diff = services.get("query", "/v1/views/weather_daily/diff")[1]
    assert diff["same"] and diff["unchanged"] == len(before), diff
    status, promoted = services.post("/v1/views/weather_daily/promote", {"if_same": True})
    assert (status, promoted["state"]) == (200, "live"), promoted
    answer = services.get("query", "/v1/views/weather_daily?limit=10000")[1]
    assert answer["generation"] == 2 and answer["rows"] == before
    status, report = services.post("/v1/views/weather_daily/verify")
    assert status == 200 and report["same"] and report["first_difference"] is None, report
    status, back = services.post("/v1/views/weather_daily/rollback")
    assert (status, back["generation"], back["state"]) == (200, 1, "live"), back
    status, refused = services.post("/v1/views/weather_daily/promote", {"generation": 7})
    assert (status, refused["code"]) == (404, "unknown_generation"), refused

    half = {partition: offset // 2 for partition, offset in offsets.items()}
    asked = json.dumps(half).replace(" ", "")
    status, then = services.get("query", f"/v1/views/weather_daily?group_by=&step=3650d&as_of={asked}")
    assert status == 200 and sum(row["observations"] for row in then["rows"]) == sum(half.values()), then

    # The window of 2011 closed long ago for whoever has seen 2013 and waits 400 days.
    old = [{"source": "station/1", "type": "weather.observed", "time": "2011-01-01T12:00:00Z", "data": {"temp": 1}}]
    offsets |= append(services, old)
    services.count(offsets)
    status, late = services.get("query", "/v1/views/weather_daily/late")
    assert status == 200 and [row["event"]["time"] for row in late["events"]] == ["2011-01-01T12:00:00Z"], late

    definition = {"key": ["source"], "window": {"tumble": "3650d"}, "aggregates": {"n": "count()"}}
    status, answer = services.post("/v1/aggregate", definition)
    assert status == 200 and sum(row["n"] for row in answer["rows"]) == len(events) + 1, answer
    status, ledger = services.get("query", "/v1/ledger")
    assert status == 200 and ledger["balanced"] and ledger["views"][0]["late"] == 1, ledger


def test_the_log_lets_go_of_what_compute_has_counted_and_of_nothing_else(tmp_path):
    services = Services(
        tmp_path, "log.partitions=1", "log.segment_bytes_max=1MiB", "log.retention.bytes=1MiB", "log.retention.interval=100ms"
    )
    try:
        services.kill("compute")
        filler = "x" * 20000
        for number in range(200):
            offsets = append(
                services,
                [{"source": "a", "type": "weather.observed", "time": "2013-03-01T12:00:00Z", "data": {"temp": 1, "text": f"{number}{filler}"}}],
            )
        segments = lambda: len(list((tmp_path / "data" / "log" / "0").glob("*.segment")))
        before = segments()
        assert before > 3
        time.sleep(1)
        assert segments() == before, "nobody has counted them yet"
        services.start("compute")
        assert services.count(offsets) == 200
        eventually(lambda: segments() < before - 1)
        assert services.count(offsets) == 200
    finally:
        services.close()
