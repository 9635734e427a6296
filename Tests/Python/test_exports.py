"""All rows of a view in one answer: 300,000 of them, most in the state files only, read in little memory, as of one moment."""

import collections
import csv
import http.client
import io
import json
import random
import time
import types
import urllib.parse

import pytest
from conftest import DEADLINE, Penstock
from test_http import request
from test_services import Services

VIEWS = """
views:
  minutely:
    key: [source]
    window: { tumble: 1m }
    watermark_delay: 1h
    allowed_lateness: 400d
    aggregates: { n: count(), total: sum(data.v), most: max(data.v) }
"""
SOURCES = 300
MINUTES = 1000
SETTINGS = ["compute.memory_bytes_max=1MiB", "compute.workers=2", "compute.checkpoint_interval=100ms", "log.partitions=4"]


def minute(number):
    return f"2024-05-{1 + number // 1440:02}T{number // 60 % 24:02}:{number % 60:02}:00Z"


def start(folder, *settings):
    return Penstock(folder, *SETTINGS, *settings, views=VIEWS)


class Sender:
    """Sends events, and keeps what each row must then be."""

    def __init__(self, penstock):
        self.penstock = penstock
        self.expected = collections.defaultdict(list)
        self.offsets = {}
        self.lines = []

    def add(self, number, source, value):
        self.expected[minute(number), f"s/{source}"].append(value)
        self.lines.append('{"source":"s/%d","type":"t","time":"%s","data":{"v":%d}}' % (source, minute(number), value))
        if len(self.lines) == 8000:
            self.flush()

    def flush(self):
        body = "\n".join(self.lines).encode()
        status, _, answer = request(self.penstock.ports["ingest"], "POST", "/v1/events", body, {"Content-Type": "application/x-ndjson"})
        answer = json.loads(answer)
        assert status == 200 and answer["appended"] == len(self.lines), answer
        self.offsets.update(answer["offsets"])
        self.lines = []

    def rows(self):
        return [(time, source, len(values), sum(values), max(values)) for (time, source), values in sorted(self.expected.items())]


def resident_bytes(penstock):
    with open(f"/proc/{penstock.process.pid}/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmRSS:"))


class Export:
    """An answer that is taken piece by piece."""

    def __init__(self, penstock, **parameters):
        self.penstock = penstock
        self.connection = http.client.HTTPConnection("127.0.0.1", penstock.ports["query"], timeout=DEADLINE)
        self.connection.request("GET", "/v1/views/minutely?" + urllib.parse.urlencode(parameters))
        self.response = self.connection.getresponse()
        assert self.response.status == 200, self.response.read()
        self.as_of = json.loads(self.response.headers["Penstock-As-Of"])
        self.most_bytes = 0
        self.body = b""

    def read(self, count=1 << 20):
        piece = self.response.read(count)
        self.most_bytes = max(self.most_bytes, resident_bytes(self.penstock))
        self.body += piece
        return piece

    def rest(self):
        while self.read():
            pass
        self.connection.close()
        return self.body.decode()


def rows_of_csv(text):
    return [
        (row["window_start"], row["source"], int(row["n"]), int(float(row["total"])), int(float(row["most"])))
        for row in csv.DictReader(io.StringIO(text, newline=""))
    ]


def rows_of_lines(text):
    rows = (json.loads(line) for line in text.splitlines())
    return [(row["window_start"], row["source"], row["n"], row["total"], row["most"]) for row in rows]


def load(penstock):
    """Sends events for all rows, and waits until they are counted."""
    sender = Sender(penstock)
    draw = random.Random(7)
    for number in range(MINUTES):
        for source in range(SOURCES):
            sender.add(number, source, draw.randrange(1000))
    # Into rows that memory has let go of.
    for _ in range(20_000):
        sender.add(draw.randrange(MINUTES), draw.randrange(SOURCES), draw.randrange(1000))
    sender.flush()
    wait = urllib.parse.urlencode({"after": json.dumps(sender.offsets), "timeout": "60s", "from": minute(MINUTES - 1)})
    status, _, body = request(penstock.ports["query"], "GET", f"/v1/views/minutely?{wait}")
    assert status == 200, body
    return sender


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """A service with all rows counted, and what they are."""
    folder = tmp_path_factory.mktemp("exports")
    penstock = start(folder)
    yield folder, penstock, load(penstock)
    penstock.stop()


def test_all_rows_are_of_one_moment_and_take_little_memory(loaded):
    _, penstock, sender = loaded
    expected, moment = sender.rows(), dict(sender.offsets)
    assert len(expected) == SOURCES * MINUTES
    Export(penstock, format="csv", to=minute(100)).rest()
    for form, parse in [("csv", rows_of_csv), ("ndjson", rows_of_lines)]:
        before = resident_bytes(penstock)
        export = Export(penstock, format=form, timeout="60s", after=json.dumps(sender.offsets))
        assert export.as_of == moment
        export.read()
        # Events counted from here on belong to another moment.
        for source in range(SOURCES):
            sender.add(MINUTES - 1, source, 1_000_000)
        sender.flush()
        assert parse(export.rest()) == expected
        # With order=-n, for which all rows are held, it is 45 MiB.
        assert export.most_bytes - before < 24 << 20, f"{form}: {(export.most_bytes - before) >> 20} MiB more"
        expected, moment = sender.rows(), dict(sender.offsets)


def test_a_part_of_the_rows(loaded):
    _, penstock, sender = loaded
    wanted = {"from": minute(200), "to": minute(700), "where": 'source == "s/17" || source.endsWith("99")', "after": json.dumps(sender.offsets)}
    rows = rows_of_csv(Export(penstock, format="csv", timeout="60s", **wanted).rest())
    names = {"s/17", "s/99", "s/199", "s/299"}
    assert rows == [row for row in sender.rows() if row[1] in names and minute(200) <= row[0] < minute(700)]


def test_a_reader_who_leaves_or_is_slow_holds_nothing(loaded):
    folder, penstock, sender = loaded
    assert penstock.stop() == 0, "".join(penstock.lines)
    again = start(folder, "query.exports_max=1", "query.export_time_max=6s")
    try:
        left = Export(again, format="csv", timeout="60s", after=json.dumps(sender.offsets))
        left.read(100_000)
        status, headers, body = request(again.ports["query"], "GET", "/v1/views/minutely?format=csv&timeout=10ms")
        assert status == 503 and json.loads(body)["code"] == "busy" and headers["Retry-After"]
        left.response.close()
        left.connection.close()
        # Its place is another's; who takes longer than that is cut off, and can tell.
        slow = Export(again, format="csv", timeout="60s")
        begun = time.monotonic()
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            while time.monotonic() - begun < 7:
                assert slow.response.read(1)
            slow.rest()
        assert rows_of_csv(Export(again, format="csv", timeout="60s", to=minute(3)).rest()) == sender.rows()[: 3 * SOURCES]
        assert any("was cut" in line and "export_time_max" in line for line in again.lines)
    finally:
        assert again.stop() == 0, "".join(again.lines)


def test_over_the_wire_too_they_are_of_one_moment_and_take_little_memory(tmp_path):
    services = Services(tmp_path, *SETTINGS, views=VIEWS)
    try:
        query = types.SimpleNamespace(ports=services.ports, process=services.running["query"].process)
        sender = load(query)
        expected, moment = sender.rows(), dict(sender.offsets)
        Export(query, format="csv", to=minute(100)).rest()
        before = resident_bytes(query)
        export = Export(query, format="csv", timeout="60s", after=json.dumps(sender.offsets))
        assert export.as_of == moment
        export.read()
        for source in range(SOURCES):
            sender.add(MINUTES - 1, source, 1_000_000)
        sender.flush()
        assert rows_of_csv(export.rest()) == expected
        more = export.most_bytes - before
        # As for one process.
        assert more < 24 << 20, f"{more >> 20} MiB more"
        # Without its compute half of an answer is no whole one.
        cut = Export(query, format="csv", timeout="60s")
        cut.read(100_000)
        services.kill("compute")
        with pytest.raises(http.client.IncompleteRead):
            cut.rest()
    finally:
        services.close()
