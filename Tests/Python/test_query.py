"""Results equal a plain computation over the same lines."""

import collections
import csv
import io
import json
import math
import urllib.parse

import pytest
from conftest import Penstock, receive, wait_for_ack
from test_http import request


def get(penstock, path, **parameters):
    query = urllib.parse.urlencode(parameters)
    status, _, body = request(penstock.ports["query"], "GET", path + ("?" + query if query else ""))
    answer = json.loads(body)
    assert status == 200, answer
    return answer


def all_rows(penstock, **parameters):
    rows, cursor = [], None
    while True:
        answer = get(penstock, "/v1/views/weather_daily", **parameters, **({"cursor": cursor} if cursor else {}))
        rows += answer["rows"]
        cursor = answer["next_cursor"]
        if cursor is None:
            return rows


def expected_rows(lines, key=lambda event: (event["time"][:10], event["source"])):
    groups = collections.defaultdict(list)
    for line in lines:
        event = json.loads(line)
        if event["data"]["temp"] is not None:
            groups[key(event)].append(event["data"])
    return {
        group: {
            "observations": len(data),
            "gusts": sum(d["wind_gust"] is not None for d in data),
            "temp_sum": math.fsum(d["temp"] for d in data),
            "temp_avg": math.fsum(d["temp"] for d in data) / len(data),
            "temp_min": min(d["temp"] for d in data),
            "temp_max": max(d["temp"] for d in data),
        }
        for group, data in groups.items()
    }


def assert_same(row, expected):
    for name, value in expected.items():
        if isinstance(value, float):
            assert row[name] == pytest.approx(value, rel=1e-12), (name, row)
        else:
            assert row[name] == value, (name, row)


@pytest.fixture(scope="module")
def penstock(tmp_path_factory):
    """One of its own: after the others' events of 2024, all of 2013 would be late."""
    service = Penstock(tmp_path_factory.mktemp("query"))
    yield service
    assert service.stop() == 0, "".join(service.lines)


@pytest.fixture(scope="module")
def loaded(penstock, weather):
    """The weather, sent in messages of 50, and the offsets that wait for it."""
    with penstock.connect(compression="deflate") as ws:
        receive(ws, "welcome")
        messages = [weather[start : start + 50] for start in range(0, len(weather), 50)]
        for message in messages:
            ws.send("[" + ",".join(message) + "]")
        ack = wait_for_ack(ws, len(messages))
        assert ack["appended"] == len(weather)
    return json.dumps(ack["offsets"])


def test_each_day_and_station_equals_a_plain_computation(penstock, weather, loaded):
    answer = get(penstock, "/v1/views/weather_daily", after=loaded, limit=1)
    assert (answer["view"], answer["generation"]) == ("weather_daily", 1)
    for partition, offset in json.loads(loaded).items():
        assert answer["as_of"][partition] >= offset
    rows = all_rows(penstock, after=loaded, limit=17)
    expected = expected_rows(weather)
    assert [(row["window_start"][:10], row["source"]) for row in rows] == sorted(expected)
    for row in rows:
        assert row["window_start"].endswith("T00:00:00Z")
        assert_same(row, expected[row["window_start"][:10], row["source"]])


def test_group_by_nothing_and_a_longer_step(penstock, weather, loaded):
    rows = all_rows(penstock, after=loaded, group_by="", **{"from": "2013-01-03T00:00:00Z", "to": "2013-02-02T00:00:00Z"}, step="3d")
    inside = [line for line in weather if "2013-01-03" <= json.loads(line)["time"][:10] < "2013-02-02"]
    assert sum(row["observations"] for row in rows) == sum(e["observations"] for e in expected_rows(inside).values())
    assert all(row["window_end"] > row["window_start"] for row in rows)


def test_group_by_nothing_merges_stations(penstock, weather, loaded):
    rows = all_rows(penstock, after=loaded, group_by="")
    expected = expected_rows(weather, key=lambda event: event["time"][:10])
    assert [row["window_start"][:10] for row in rows] == sorted(expected)
    for row in rows:
        assert "source" not in row
        assert_same(row, expected[row["window_start"][:10]])


def test_where_over_the_key(penstock, weather, loaded):
    rows = all_rows(penstock, after=loaded, where='source == "station/JFK"')
    expected = expected_rows(line for line in weather if "station/JFK" in line)
    assert [(row["window_start"][:10], row["source"]) for row in rows] == sorted(expected)


def test_csv_and_ndjson(penstock, loaded):
    rows = all_rows(penstock, after=loaded)
    query = urllib.parse.urlencode({"after": loaded, "format": "ndjson", "limit": 10000})
    status, _, body = request(penstock.ports["query"], "GET", "/v1/views/weather_daily?" + query)
    assert status == 200
    assert [json.loads(line) for line in body.splitlines()] == rows
    query = urllib.parse.urlencode({"after": loaded, "format": "csv", "limit": 10000})
    status, _, body = request(penstock.ports["query"], "GET", "/v1/views/weather_daily?" + query)
    assert status == 200
    table = list(csv.DictReader(io.StringIO(body.decode())))
    assert [(row["source"], float(row["temp_sum"])) for row in table] == [(row["source"], row["temp_sum"]) for row in rows]


def test_after_what_never_comes_is_504(penstock):
    query = urllib.parse.urlencode({"after": '{"0": 1000000000}', "timeout": "200ms"})
    status, headers, body = request(penstock.ports["query"], "GET", "/v1/views/weather_daily?" + query)
    assert (status, headers["Content-Type"]) == (504, "application/problem+json"), body


def test_raw_events_are_those_sent_in_order(penstock, weather, loaded):
    sent = [json.loads(line) for line in weather if "station/LGA" in line]
    found, cursor = [], None
    while True:
        answer = get(penstock, "/v1/events", source="station/LGA", limit=137, **({"cursor": cursor} if cursor else {}))
        found += answer["events"]
        cursor = answer.get("next_cursor")
        if cursor is None:
            break
    assert [event["sequence"] for event in found] == [event["sequence"] for event in sent]
    for one, other in zip(found, sent):
        assert {name: one.get(name) for name in other} == other


def test_an_unknown_view_is_a_problem(penstock):
    status, headers, body = request(penstock.ports["query"], "GET", "/v1/views/nothing")
    assert (status, headers["Content-Type"]) == (404, "application/problem+json")
