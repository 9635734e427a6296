"""Events ahead of the clock: counted, and their sources named; or refused, where it is set so."""

import datetime
import json
import subprocess

import pytest
from conftest import BUILD, DEADLINE, event, eventually, receive, wait_for_ack
from test_http import request
from test_peers import metric
from test_services import Services


def at(**ahead):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(**ahead)).strftime("%Y-%m-%dT%H:%M:%SZ")


def post(ingest, events):
    status, _, body = request(ingest, "POST", "/v1/events", json.dumps(events), {"Content-Type": "application/json"})
    return status, json.loads(body)


def get(query, path):
    status, _, body = request(query, "GET", path)
    assert status == 200, body
    return json.loads(body)


def test_events_ahead_of_the_clock_are_taken_counted_and_their_sources_named(start_penstock):
    service = start_penstock()
    ingest, query = service.ports["ingest"], service.ports["query"]
    untimed = {name: value for name, value in event("untimed", 1).items() if name != "time"}
    assert post(ingest, [event("past", 1), untimed, event("nearly", 1, time=at(seconds=30))])[0] == 200
    assert metric(ingest, "penstock_ingest_events_ahead_total") == 0
    far = at(days=1826)
    status, answer = post(ingest, [event("ahead", n, time=far) for n in range(1, 4)] + [event("ahead", 1, time=far), event("past", 2)])
    assert (status, answer["appended"], answer["duplicates"], answer["rejected"]) == (200, 4, 1, [])
    with service.connect("/v1/stream?source=soon") as ws:
        receive(ws, "welcome")
        ws.send(json.dumps([event("soon", 1, time=at(minutes=5)), event("soon", 2, time=at(seconds=-5))]))
        wait_for_ack(ws, 1)
    # A duplicate is not counted: it was not taken.
    assert metric(ingest, "penstock_ingest_events_ahead_total") == 4
    overview = get(query, "/v1/overview")
    assert overview["events_ahead"] == 4
    assert [(one["source"], one["count"]) for one in overview["events_ahead_sources"]] == [("soon", 1), ("ahead", 3)]
    assert overview["events_ahead_sources"][1]["event_time"] == far and overview["events_ahead_sources"][1]["time"] <= overview["time"]
    top = subprocess.run(
        [str(BUILD / "penstock"), "top", "--once", "--url", f"http://127.0.0.1:{query}"], capture_output=True, text=True, check=True, timeout=DEADLINE)
    assert "ahead of the clock: 4  soon  ahead" in top.stdout
    for number in range(40):
        assert post(ingest, event(f"many/{number}", 1, time=far))[0] == 200
    named = [one["source"] for one in get(query, "/v1/overview")["events_ahead_sources"]]
    assert named == [f"many/{number}" for number in range(39, 7, -1)], "the last 32"


def test_events_ahead_of_the_clock_are_refused_where_it_is_set_so(start_penstock):
    service = start_penstock("ingest.ahead=reject", "compute.clock_ahead_max=1h")
    ingest = service.ports["ingest"]
    untimed = {name: value for name, value in event("s", 3).items() if name != "time"}
    status, answer = post(ingest, [event("s", 1), event("s", 2, time=at(days=1826, minutes=5)), untimed, event("s", 4, time=at(minutes=55))])
    assert (status, answer["appended"]) == (200, 3)
    assert [(one["event"], one["code"]) for one in answer["rejected"]] == [(1, "time_in_future")]
    detail = answer["rejected"][0]["detail"]
    assert "1826 days ahead of this server's clock" in detail and "60 min is allowed (compute.clock_ahead_max)" in detail, detail
    assert post(ingest, event("s", 5, time=at(hours=2)))[0] == 422
    with service.connect() as ws:
        receive(ws, "welcome")
        ws.send(json.dumps([event("s", 6, time=at(minutes=90)), event("s", 7)]))
        reject = receive(ws, "reject")
        assert (reject["message"], reject["event"], reject["code"]) == (1, 0, "time_in_future")
        assert wait_for_ack(ws, 1)["appended"] == 1
    assert metric(ingest, "penstock_ingest_events_ahead_total") == 0, "none was taken"
    assert 'penstock_ingest_events_rejected_total{code="time_in_future"} 3' in request(ingest, "GET", "/metrics")[2].decode()
    told = get(service.ports["query"], "/v1/rejects?code=time_in_future")["rejects"]
    assert [one["source"] for one in told] == ["s", "s", "s"]


@pytest.mark.parametrize("choice", ["no", "true", "Accept"])
def test_another_choice_is_an_error(tmp_path, choice):
    done = subprocess.run(
        [str(BUILD / "penstock"), "config", "check", "--set", f"ingest.ahead={choice}"], capture_output=True, text=True, cwd=tmp_path, timeout=DEADLINE)
    assert done.returncode == 2 and "ingest.ahead" in done.stderr and "accept, reject" in done.stderr, done.stderr


def test_the_mesh_names_them_too(tmp_path):
    services = Services(tmp_path)
    try:
        assert post(services.ports["ingest"], event("ahead", 1, time=at(days=3)))[0] == 200
        found = eventually(lambda: (answer := services.get("query", "/v1/overview")[1]).get("events_ahead") and answer)
        assert [(one["source"], one["count"]) for one in found["events_ahead_sources"]] == [("ahead", 1)]
    finally:
        services.close()


def test_a_simulated_fleet_is_what_it_says_it_is(start_penstock):
    """Over four connections at once the log has the events that `--print` prints, of each device in the same order."""
    service = start_penstock()
    arguments = [
        str(BUILD / "penstock"), "simulate", "--devices", "50", "--every", "1m", "--backlog", "2h", "--offline", "0.2=300ms", "--clock-ahead",
        "0.1=1825d", "--clock-ahead", "0.1=-3h", "--out-of-order", "90s", "--duration", "500ms", "--rate", "20000", "--seed", "7", "--epoch", "3",
        "--start", "2024-05-01T00:00:00.5Z"]
    printed = subprocess.run([*arguments, "--print"], capture_output=True, text=True, check=True, timeout=DEADLINE).stdout
    assert printed == subprocess.run([*arguments, "--print"], capture_output=True, text=True, check=True, timeout=DEADLINE).stdout
    sent = subprocess.run(
        [*arguments, "--connections", "4", "--output", "json", "--url", f"ws://127.0.0.1:{service.ports['ingest']}/v1/stream"],
        capture_output=True, text=True, check=True, timeout=DEADLINE)
    told = json.loads(sent.stdout)[0]
    wanted = [json.loads(line) for line in printed.splitlines()]
    assert told["sent"] == told["appended"] == len(wanted) > 2000, told

    def by_source(events):
        result = {}
        for one in events:
            result.setdefault(one["source"], []).append(
                (one["sequence"], one["epoch"], datetime.datetime.fromisoformat(one["time"]), one["data"]["value"], one["data"]["site"]))
        return result

    logged = subprocess.run(
        [str(BUILD / "penstock"), "events", "--url", f"http://127.0.0.1:{service.ports['query']}"], capture_output=True, text=True, check=True, timeout=DEADLINE)
    assert by_source(map(json.loads, logged.stdout.splitlines())) == by_source(wanted)
    times = [one["time"] for one in wanted]
    assert min(times) < "2024-04-30T22:00:00" and max(times) > "2029-04-29", (min(times), max(times))
    ahead = {one["source"] for one in wanted if one["time"] > "2029"}
    assert 1 <= len(ahead) <= 15 and all((one["time"] > "2029") == (one["source"] in ahead) for one in wanted)
