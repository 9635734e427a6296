"""The contract with analysts and operators, asked over HTTP of one `penstock up` that holds the first 3,000 weather observations.

Expected results are computed here, from the file's lines."""

import collections
import datetime
import json
import math
import statistics
import subprocess
import urllib.parse

import pytest
from conftest import BUILD, VIEWS, Penstock, wait_for_ack
from test_http import request

HOUR = datetime.timedelta(hours=1)

MORE_VIEWS = (
    VIEWS
    + """
  weather_hops:
    where: type == "weather.observed" && data.temp != null
    key: {station: source}
    window: { hop: {size: 6h, every: 2h} }
    watermark_delay: 1h
    allowed_lateness: 400d
    aggregates:
      n: count()
      temp_sum: sum(data.temp)
  weather_sessions:
    where: type == "weather.observed" && data.precip > 0.0
    key: [source]
    window: { session: {gap: 2h} }
    watermark_delay: 1h
    allowed_lateness: 400d
    aggregates:
      n: count()
      rain: sum(data.precip)
  weather_full:
    where: type == "weather.observed"
    key: [source]
    window: { tumble: 30d }
    watermark_delay: 1h
    allowed_lateness: 400d
    aggregates:
      n: count()
      temps: count(data.temp)
      temp_sd: stddev(data.temp)
      temp_var: variance(data.temp)
      temp_first: first(data.temp)
      temp_last: last(data.temp)
      temp_p50: quantile(data.temp, 0.5)
      temp_p95: quantile(data.temp, 0.95)
      pressures: count_distinct(data.pressure)
  weather_strict:
    where: type == "weather.observed"
    key: [source]
    window: { tumble: 1h }
    watermark_delay: 0s
    allowed_lateness: 0s
    aggregates:
      n: count()
"""
)


def when(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def text(time):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


class Contract:
    def __init__(self, service, events, offsets):
        self.service, self.events, self.offsets = service, events, offsets

    def ask(self, path, method="GET", body=None, status=200, headers=None, **parameters):
        query = urllib.parse.urlencode(parameters)
        headers = dict(headers or {})
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
            body = json.dumps(body).encode() if not isinstance(body, bytes) else body
        found, head, answer = request(
            self.service.ports["query"], method, path + ("?" + query if query else ""), body, headers)
        assert found == status, (found, answer)
        return json.loads(answer)

    def rows(self, view, **parameters):
        rows, cursor = [], None
        while True:
            answer = self.ask(f"/v1/views/{view}", **parameters, **({"cursor": cursor} if cursor else {}))
            rows += answer["rows"]
            cursor = answer["next_cursor"]
            if cursor is None:
                return rows


@pytest.fixture(scope="module")
def contract(tmp_path_factory, weather):
    folder = tmp_path_factory.mktemp("contract")
    service = Penstock(folder, views=MORE_VIEWS)
    events = [json.loads(line) for line in weather]
    with service.connect() as ws:
        ws.recv()
        for start in range(0, len(events), 100):
            ws.send("[" + ",".join(weather[start : start + 100]) + "]")
        ack = wait_for_ack(ws, math.ceil(len(events) / 100))
    assert ack["appended"] == len(events)
    contract = Contract(service, events, ack["offsets"])
    for view in ("weather_full", "weather_hops", "weather_sessions", "weather_strict"):
        contract.ask(f"/v1/views/{view}", after=json.dumps(ack["offsets"]), timeout="60s", limit=1)
    yield contract
    assert service.stop() == 0


def test_hopping_windows_hold_each_event_size_by_every_times(contract):
    expected = collections.Counter()
    sums = collections.defaultdict(list)
    for event in contract.events:
        if event["data"]["temp"] is None:
            continue
        time = when(event["time"])
        start = time.replace(minute=0, second=0) - HOUR * (time.hour % 2)
        for back in range(3):
            window = (text(start - 2 * HOUR * back), event["source"])
            expected[window] += 1
            sums[window].append(event["data"]["temp"])
    rows = contract.rows("weather_hops", limit=10000)
    assert {(r["window_start"], r["station"]): r["n"] for r in rows} == dict(expected)
    for row in rows:
        assert when(row["window_end"]) - when(row["window_start"]) == 6 * HOUR
        assert row["temp_sum"] == pytest.approx(math.fsum(sums[row["window_start"], row["station"]]), rel=1e-12)


def test_sessions_end_a_gap_after_their_last_event(contract):
    expected = []
    for source in sorted({event["source"] for event in contract.events}):
        times = sorted((when(e["time"]), e["data"]["precip"]) for e in contract.events
                       if e["source"] == source and (e["data"]["precip"] or 0) > 0)
        session = []
        for time, rain in times:
            if session and time - session[-1][0] >= 2 * HOUR:
                expected.append((source, session))
                session = []
            session.append((time, rain))
        if session:
            expected.append((source, session))
    rows = contract.rows("weather_sessions", limit=10000)
    found = {(r["source"], r["window_start"], r["window_end"], r["n"]) for r in rows}
    assert found == {(source, text(s[0][0]), text(s[-1][0] + 2 * HOUR), len(s)) for source, s in expected}
    rain = {(source, text(s[0][0])): math.fsum(value for _, value in s) for source, s in expected}
    for row in rows:
        assert row["rain"] == pytest.approx(rain[row["source"], row["window_start"]], rel=1e-12)


@pytest.mark.parametrize("merged", [False, True])
def test_every_aggregate_is_that_of_the_events_themselves(contract, merged):
    groups = collections.defaultdict(list)
    for event in contract.events:
        day = (when(event["time"]) - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)).days
        start = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc) + datetime.timedelta(days=day // 30 * 30)
        groups[(text(start), None if merged else event["source"])].append(event)
    parameters = {"group_by": ""} if merged else {}
    rows = contract.rows("weather_full", **parameters)
    assert {(r["window_start"], r.get("source")) for r in rows} == set(groups)
    for row in rows:
        events = groups[row["window_start"], row.get("source")]
        temps = sorted(e["data"]["temp"] for e in events if e["data"]["temp"] is not None)
        assert row["n"] == len(events) and row["temps"] == len(temps)
        deviations = (statistics.stdev(temps), statistics.pstdev(temps))
        assert any(row["temp_sd"] == pytest.approx(one, rel=1e-9) for one in deviations)
        assert row["temp_var"] == pytest.approx(row["temp_sd"] ** 2, rel=1e-9)
        in_time = sorted((e for e in events if e["data"]["temp"] is not None), key=lambda e: when(e["time"]))
        first = {e["data"]["temp"] for e in in_time if e["time"] == in_time[0]["time"]}
        last = {e["data"]["temp"] for e in in_time if e["time"] == in_time[-1]["time"]}
        assert row["temp_first"] in first and row["temp_last"] in last
        for name, q in (("temp_p50", 0.5), ("temp_p95", 0.95)):
            place = q * (len(temps) - 1)
            low, high = temps[math.floor(place)], temps[math.ceil(place)]
            assert low * 0.99 - 1e-9 <= row[name] <= high * 1.01 + 1e-9, (name, row[name], low, high)
        pressures = {e["data"]["pressure"] for e in events if e["data"]["pressure"] is not None}
        assert row["pressures"] == pytest.approx(len(pressures), rel=0.02)


def test_the_ledger_adds_up(contract):
    ledger = contract.ask("/v1/ledger")
    assert json.dumps(ledger).count("applied") >= 5
    listed = {view["name"]: view for view in contract.ask("/v1/views")["views"]}
    for name in ("weather_daily", "weather_strict"):
        counts = listed[name]["counts"]
        assert counts["applied"] + counts["filtered"] + counts["late"] + counts["pending"] == len(contract.events)


def test_late_events_are_kept_and_listed(contract):
    counts = next(v for v in contract.ask("/v1/views")["views"] if v["name"] == "weather_strict")["counts"]
    seen, expected = {}, 0
    for event in contract.events:  # in each source's order, which is its partition's, when sources do not share one
        greatest = seen.get(event["source"], "")
        seen[event["source"]] = max(greatest, event["time"])
    late = contract.ask("/v1/views/weather_strict/late", limit=1000)
    assert isinstance(late, dict)
    assert (counts["late"] == 0) == (len(next(v for v in late.values() if isinstance(v, list))) == 0)


def test_sql_reads_the_views_and_nothing_else(contract):
    answer = contract.ask("/v1/sql", "POST", {
        "sql": "SELECT source, sum(observations) AS n, max(temp_max) AS hottest FROM weather_daily GROUP BY source ORDER BY source"})
    expected = collections.defaultdict(list)
    for event in contract.events:
        if event["data"]["temp"] is not None:
            expected[event["source"]].append(event["data"]["temp"])
    assert [column["name"] for column in answer["columns"]] == ["source", "n", "hottest"]
    rows = [list(row.values()) if isinstance(row, dict) else row for row in answer["rows"]]
    assert rows == [[source, len(temps), max(temps)] for source, temps in sorted(expected.items())]
    joined = contract.ask("/v1/sql", "POST", {
        "sql": "SELECT count(*) AS n FROM weather_daily d JOIN weather_full f ON f.source = d.source", "limit": 10})
    assert len(joined["rows"]) == 1
    for refused in ("ATTACH 'x.db' AS x", "PRAGMA table_info(weather_daily)", "DELETE FROM weather_daily",
                    "CREATE TABLE t (a)", "SELECT load_extension('x')", "SELECT writefile('a', 'b')", "INSERT INTO weather_daily VALUES (1)"):
        found, _, body = request(contract.service.ports["query"], "POST", "/v1/sql", json.dumps({"sql": refused}).encode(),
                                 {"Content-Type": "application/json"})
        problem = json.loads(body)
        assert 400 <= found < 500 and problem["code"] and problem["detail"], (refused, problem)


def test_an_aggregate_is_computed_once_from_the_log(contract):
    definition = {
        "where": 'type == "weather.observed" && data.temp != null', "key": ["source"], "window": {"tumble": "1d"},
        "aggregates": {"observations": "count()", "temp_avg": "avg(data.temp)", "temp_max": "max(data.temp)"},
        "from": "2013-01-03T00:00:00Z", "to": "2013-01-06T00:00:00Z", "timeout": "30s"}
    answer = contract.ask("/v1/aggregate", "POST", definition)
    expected = contract.rows("weather_daily", **{"from": "2013-01-03T00:00:00Z", "to": "2013-01-06T00:00:00Z"})
    names = ("window_start", "source", "observations", "temp_avg", "temp_max")
    assert [[row[name] for name in names] for row in answer["rows"]] == [[row[name] for name in names] for row in expected]
    assert answer["as_of"]


def test_a_replay_gives_the_live_state_and_can_be_compared_and_promoted(contract):
    started = contract.ask("/v1/views/weather_daily/replays", "POST", {"from": "earliest"}, status=202)
    deadline = datetime.datetime.now() + datetime.timedelta(seconds=60)
    while True:
        state = contract.ask(f"/v1/views/weather_daily/replays/{started['id']}")
        if state["state"] not in ("building", "running", "pending", "queued"):
            break
        assert datetime.datetime.now() < deadline, state
    generation = state["generation"]
    live = contract.ask("/v1/views/weather_daily")["generation"]
    assert generation != live
    diff = contract.ask("/v1/views/weather_daily/diff", from_generation=live, to_generation=generation)
    assert json.dumps(diff).count("weather") >= 0 and not diff.get("rows")
    before = contract.rows("weather_daily", limit=1000)
    contract.ask("/v1/views/weather_daily/promote", "POST", {"generation": generation})
    assert contract.ask("/v1/views/weather_daily")["generation"] == generation
    assert contract.rows("weather_daily", limit=1000) == before
    contract.ask("/v1/views/weather_daily/rollback", "POST", {})
    assert contract.ask("/v1/views/weather_daily")["generation"] == live


def test_live_sends_the_rows_and_then_each_change(contract):
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", contract.service.ports["query"], timeout=30)
    connection.request("GET", "/v1/views/weather_full/live", headers={"Accept": "text/event-stream"})
    answer = connection.getresponse()
    assert answer.status == 200 and answer.getheader("Content-Type").startswith("text/event-stream")
    lines = []
    while not any(line.startswith("data:") for line in lines):
        lines.append(answer.readline().decode())
    assert any(line.startswith("id:") for line in lines) or answer.readline().decode().startswith("id:")
    connection.close()


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/health", "/metrics", "/openapi.json"])
@pytest.mark.parametrize("service", ["ingest", "query"])
def test_every_service_answers_its_operators(contract, service, path):
    status, headers, body = request(contract.service.ports[service], "GET", path)
    assert status == 200, body
    if path == "/metrics":
        assert "penstock_" in body.decode() and "station/EWR" not in body.decode()


def test_commands_end_with_the_exit_codes_promised(contract, tmp_path):
    def run(*arguments):
        return subprocess.run([str(BUILD / "penstock"), *arguments], capture_output=True, text=True, timeout=60)

    url = f"http://127.0.0.1:{contract.service.ports['query']}"
    good = run("sql", "SELECT count(*) AS n FROM weather_daily", "--url", url, "--output", "csv")
    assert good.returncode == 0 and good.stdout.splitlines()[0] == "n", good
    assert run("sql").returncode == 2
    assert run("query", "nothing_such", "--url", url).returncode == 1
    assert run("view", "check", str(tmp_path / "missing.yaml")).returncode == 2
    assert run("--version").returncode == 0
    for command in (["up"], ["demo"], ["send"], ["simulate"], ["query"], ["sql"], ["events"], ["view", "list"], ["view", "show"],
                    ["view", "check"], ["view", "apply"], ["view", "diff"], ["view", "promote"], ["view", "rollback"], ["view", "verify"],
                    ["replay"], ["log", "list"], ["log", "inspect"], ["log", "verify"], ["log", "export"], ["log", "repair"],
                    ["config", "check"], ["ingest"], ["log"], ["compute"]):
        found = run(*command, "--help")
        assert found.returncode == 0 and "USAGE" in found.stdout, (command, found)
