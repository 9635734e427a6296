"""SQL, live streams, pages of one moment, aggregations computed once and the ledger, over real HTTP."""

import http.client
import json
import urllib.parse

import pytest
from conftest import DEADLINE, Penstock, event, receive, wait_for_ack
from test_http import request


@pytest.fixture(scope="module")
def penstock(tmp_path_factory):
    """One of their own: events of the present, which other tests send, would make these late."""
    service = Penstock(tmp_path_factory.mktemp("penstock"))
    yield service
    assert service.stop() == 0, "".join(service.lines)


def get(penstock, path, **parameters):
    query = "?" + urllib.parse.urlencode(parameters) if parameters else ""
    status, _, body = request(penstock.ports["query"], "GET", path + query)
    assert status == 200, body
    return json.loads(body)


def post(penstock, path, body):
    status, headers, answer = request(
        penstock.ports["query"], "POST", path, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    return status, json.loads(answer)


def send(penstock, events):
    with penstock.connect() as ws:
        receive(ws, "welcome")
        ws.send(json.dumps(events))
        return json.dumps(wait_for_ack(ws, 1)["offsets"])


def observation(source, sequence, temp, time="2024-07-01T12:00:00Z"):
    return event(source, sequence, type="weather.observed", time=time, data={"temp": temp})


class Stream:
    """Reads Server-Sent Events."""

    def __init__(self, penstock, path, headers={}):
        self.connection = http.client.HTTPConnection("127.0.0.1", penstock.ports["query"], timeout=DEADLINE)
        self.connection.request("GET", path, headers=headers)
        self.response = self.connection.getresponse()
        assert self.response.status == 200, self.response.read()
        assert self.response.headers["Content-Type"] == "text/event-stream"

    def next(self):
        found = {}
        while True:
            line = self.response.readline().decode()
            if line in ("\n", ""):
                if "event" in found:
                    return found["event"], json.loads(found["data"]), found.get("id")
                assert line, "the stream has ended"
                found = {}
                continue
            name, _, value = line.rstrip("\n").partition(": ")
            found[name] = value

    def close(self):
        self.connection.close()


def test_sql_reads_views_and_refuses_all_else(penstock):
    after = send(penstock, [observation("sql/a", 1, 10), observation("sql/a", 2, 30), observation("sql/b", 1, 5)])
    get(penstock, "/v1/views/weather_daily", after=after, limit=1)
    status, answer = post(
        penstock,
        "/v1/sql",
        {"sql": "SELECT source, temp_avg, observations AS n FROM weather_daily WHERE window_start = '2024-07-01' AND source LIKE 'sql/%' ORDER BY 1"},
    )
    assert status == 200, answer
    assert answer["rows"] == [{"source": "sql/a", "temp_avg": 20.0, "n": 2}, {"source": "sql/b", "temp_avg": 5.0, "n": 1}]
    assert [column["type"] for column in answer["columns"]] == ["string", "double", "int64"]
    for partition, offset in json.loads(after).items():
        assert answer["as_of"]["weather_daily"][partition] >= offset
    for sql in ["PRAGMA user_version", "ATTACH 'x' AS y", "DELETE FROM weather_daily", "SELECT load_extension('x')"]:
        status, answer = post(penstock, "/v1/sql", {"sql": sql})
        assert (status, answer["code"]) == (403, "sql_refused")
    status, answer = post(penstock, "/v1/sql", {"sql": "SELECT FROM"})
    assert (status, answer["code"]) == (400, "invalid_sql") and "position" in answer
    status, answer = post(
        penstock, "/v1/sql", {"sql": "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x FROM c) SELECT count(*) FROM c", "timeout": "100ms"}
    )
    assert (status, answer["code"]) == (504, "sql_timeout")


def test_a_stream_has_the_rows_then_each_change_and_resumes(penstock):
    after = send(penstock, [observation("live/a", 1, 10)])
    path = "/v1/views/weather_daily/live?" + urllib.parse.urlencode({"where": 'source == "live/a"', "after": after, "interval": "50ms"})
    stream = Stream(penstock, path)
    name, data, last_id = stream.next()
    assert name == "rows" and [row["observations"] for row in data["rows"]] == [1]
    send(penstock, [observation("live/a", 2, 20)])
    name, data, last_id = stream.next()
    assert name == "change" and [row["observations"] for row in data["rows"]] == [2]
    assert json.loads(last_id) == data["as_of"]
    stream.close()
    after = send(penstock, [observation("live/a", 3, 30, time="2024-07-02T12:00:00Z")])
    get(penstock, "/v1/views/weather_daily", after=after, limit=1)
    stream = Stream(penstock, path, {"Last-Event-ID": last_id})
    name, data, _ = stream.next()
    seen = [(row["window_start"][:10], row["observations"]) for row in data["rows"]]
    assert ("2024-07-02", 1) in seen
    stream.close()


def test_a_stream_ends_when_the_service_drains(start_penstock):
    penstock = start_penstock()
    stream = Stream(penstock, "/v1/views/weather_daily/live")
    assert stream.next()[0] == "rows"
    penstock.terminate()
    assert stream.next()[0] == "end"
    assert stream.response.read() == b""
    assert penstock.stop() == 0


def test_pages_are_of_one_moment(penstock):
    sources = [f"pages/{index:03}" for index in range(30)]
    after = send(penstock, [observation(source, 1, 1) for source in sources])
    query = {"where": 'source.startsWith("pages/")', "limit": 7, "after": after}
    page = get(penstock, "/v1/views/weather_daily", **query)
    as_of, rows = page["as_of"], page["rows"]
    sequence = 1
    while page["next_cursor"]:
        sequence += 1
        newer = send(penstock, [observation(source, sequence, 2) for source in sources])
        get(penstock, "/v1/views/weather_daily", after=newer, limit=1)
        page = get(penstock, "/v1/views/weather_daily", **query, cursor=page["next_cursor"])
        assert page["as_of"] == as_of
        rows += page["rows"]
    assert [(row["source"], row["observations"]) for row in rows] == [(source, 1) for source in sources]


def test_an_aggregation_computed_once_equals_the_view(penstock):
    after = send(penstock, [observation(f"once/{index % 3}", index + 1, index) for index in range(60)])
    view = get(penstock, "/v1/views/weather_daily", where='source.startsWith("once/")', after=after)
    status, answer = post(
        penstock,
        "/v1/aggregate",
        {
            "where": 'type == "weather.observed" && source.startsWith("once/") && data.temp != null',
            "key": ["source"],
            "window": {"tumble": "1d"},
            "aggregates": {"observations": "count()", "temp_sum": "sum(data.temp)"},
            "from": "2024-07-01",
            "to": "2024-07-02",
        },
    )
    assert status == 200, answer
    names = ["window_start", "source", "observations", "temp_sum"]
    assert [[row[name] for name in names] for row in answer["rows"]] == [[row[name] for name in names] for row in view["rows"]]
    status, answer = post(penstock, "/v1/aggregate", {"window": {"tumble": "1d"}, "aggregates": {"n": "count("}})
    assert (status, answer["code"]) == (400, "invalid_view")


def test_the_ledger_adds_up(penstock):
    after = send(penstock, [observation("ledger/a", 1, 1), observation("ledger/a", 1, 1)])
    get(penstock, "/v1/views/weather_daily", after=after, limit=1)
    ledger = get(penstock, "/v1/ledger")
    assert ledger["balanced"] is True
    ingest = ledger["ingest"]
    assert ingest["received"] == ingest["appended"] + ingest["duplicates"] + ingest["rejected"] + ingest["in_flight"]
    assert ingest["duplicates"] >= 1
    for view in ledger["views"]:
        assert view["appended"] == view["applied"] + view["filtered"] + view["late"] + view["pending"]


def test_bodies_are_bounded_and_typed(penstock):
    port = penstock.ports["query"]
    status, _, body = request(port, "POST", "/v1/sql", b"x" * 300_000, {"Content-Type": "application/json"})
    assert (status, json.loads(body)["code"]) == (413, "body_too_large")
    status, _, body = request(port, "POST", "/v1/sql", b"{}", {"Content-Type": "text/plain"})
    assert (status, json.loads(body)["code"]) == (415, "unsupported_media_type")
    status, headers, _ = request(port, "GET", "/v1/sql", None, {"X-Request-Id": "mine"})
    assert (status, headers["Allow"], headers["X-Request-Id"]) == (405, "POST", "mine")
