"""Events that are answered as duplicates and that nobody has are counted, and their devices named. Events sent again are never among them."""

import json
import signal
import subprocess

import pytest
from conftest import BUILD, DEADLINE, event, eventually
from test_http import request
from test_peers import metric
from test_services import Services


def post(ingest, events):
    status, _, body = request(ingest, "POST", "/v1/events", json.dumps(events), {"Content-Type": "application/json"})
    assert status == 200, body
    answer = json.loads(body)
    return answer["appended"], answer["duplicates"]


def numbered(source, sequences, minute=0):
    return [event(source, n, id=f"{source}-{n}-{minute}", time=f"2024-05-01T12:{minute:02}:00Z") for n in sequences]


def get(query, path):
    status, _, body = request(query, "GET", path)
    assert status == 200, body
    return json.loads(body)


def test_a_count_that_jumped_ahead_is_told_over_restarts(start_penstock):
    service = start_penstock("log.segment_bytes_max=1MiB")
    ingest = service.ports["ingest"]
    assert post(ingest, numbered("fine", range(1, 100))) == (99, 0)
    assert post(ingest, numbered("fine", range(1, 100))) == (0, 99), "sent again, as after a lost answer"
    assert post(ingest, numbered("jumped", [1, 2, 3, 10**15])) == (4, 0)
    # All of one time: the sequences tell.
    assert post(ingest, numbered("jumped", range(4, 24)) + numbered("jumped", [3, 10**15])) == (0, 22)
    # Without an epoch: the times tell.
    assert post(ingest, numbered("anew", range(1, 6))) == (5, 0)
    assert post(ingest, numbered("anew", range(1, 4), minute=1)) == (0, 3)
    # Sent again without a time, they have another each time, and are what they were.
    untimed = [{name: value for name, value in one.items() if name != "time"} for one in numbered("untimed", range(1, 4))]
    assert [post(ingest, untimed), post(ingest, untimed)] == [(3, 0), (0, 3)]
    query = service.ports["query"]
    assert metric(ingest, "penstock_ingest_duplicates_suspect_total") == 23
    assert metric(ingest, "penstock_ingest_events_duplicate_total") == 127
    found = get(query, "/v1/ledger")
    assert (found["ingest"]["suspect_duplicates"], found["ingest"]["duplicates"], found["balanced"]) == (23, 127, True)
    overview = get(query, "/v1/overview")
    assert overview["suspect_duplicates"] == 23
    suspects = {one["source"]: one for one in overview["suspect_sources"]}
    assert {source: one["count"] for source, one in suspects.items()} == {"jumped": 16, "anew": 3}, "the first 16 of a batch are named"
    assert (suspects["jumped"]["sequence"], suspects["jumped"]["last_sequence"], suspects["jumped"]["epoch"]) == ("19", str(10**15), "0")
    assert {one["source"] for one in get(query, "/v1/rejects")["suspects"]} == {"jumped", "anew"}
    assert [one["source"] for one in get(query, "/v1/rejects?source=anew")["suspects"]] == ["anew"]
    assert "suspects" not in get(query, "/v1/rejects?source=fine")
    told = subprocess.run([str(BUILD / "penstock"), "rejects", "--url", f"http://127.0.0.1:{query}"], capture_output=True, text=True, check=True)
    assert "16 events of jumped were answered as duplicates" in told.stderr
    # Segments end, so that the next start has a snapshot to begin with.
    for number in range(30):
        assert post(ingest, [event("large", number + 1, data="x" * 200_000)]) == (1, 0)
    for how in (signal.SIGTERM, signal.SIGKILL):
        service.stop(how)
        service = start_penstock("log.segment_bytes_max=1MiB")
        ingest = service.ports["ingest"]
        assert post(ingest, numbered("jumped", range(4, 24)) + numbered("anew", [2], minute=2) + numbered("fine", range(1, 9))) == (0, 29)
        assert metric(ingest, "penstock_ingest_duplicates_suspect_total") == 21


def test_the_mesh_names_them_too(tmp_path):
    services = Services(tmp_path)
    try:
        ingest = services.ports["ingest"]
        assert post(ingest, numbered("jumped", [1, 2, 500])) == (3, 0)
        assert post(ingest, numbered("jumped", [3, 4, 2])) == (0, 3)
        assert post(ingest, [*numbered("taken", [1]), event("taken", 2, epoch=5)]) == (2, 0)
        status, _, _ = request(ingest, "POST", "/v1/events", json.dumps(event("taken", 3)), {"Content-Type": "application/json"})
        assert status == 422
        found = eventually(lambda: (answer := services.get("query", "/v1/rejects")[1]).get("suspects") and answer["rejects"] and answer)
        assert [(one["source"], one["count"], one["sequence"]) for one in found["suspects"]] == [("jumped", 2, "4")]
        assert [(one["code"], one["source"]) for one in found["rejects"]] == [("fenced", "taken")]
        # The log keeps what it was told of.
        rejects = tmp_path / "data" / "rejects.json"
        eventually(lambda: rejects.exists() and "taken" in rejects.read_text())
        services.kill("log")
        services.start("log")
        eventually(lambda: services.get("query", "/readyz")[0] == 200)
        assert [one["source"] for one in services.get("query", "/v1/rejects")[1]["rejects"]] == ["taken"]
    finally:
        services.close()


def reject_something(service):
    body = json.dumps([event("good", 1), event("bad, \"quoted\"", 2, time="never"), {"source": "untyped"}])
    status, _, _ = request(service.ports["ingest"], "POST", "/v1/events", body, {"Content-Type": "application/json"})
    assert status == 200


def command(service, *arguments):
    url = f"http://127.0.0.1:{service.ports['query']}"
    return subprocess.run(
        [str(BUILD / "penstock"), "rejects", "--url", url, *arguments], capture_output=True, check=True, timeout=DEADLINE).stdout.decode()


def test_the_command_prints_rejects_as_table_json_and_csv(start_penstock):
    service = start_penstock()
    reject_something(service)
    heading, *rows = command(service).splitlines()
    assert heading.split() == ["time", "code", "source", "message_number", "event", "position", "detail", "message"]
    assert len(rows) == 2 and "good" not in "".join(rows)
    found = json.loads(command(service, "--output", "json", "--source", 'bad, "quoted"'))
    assert [(one["code"], one["message_number"], one["event"]) for one in found] == [("invalid_time", 1, 1)]
    assert json.loads(found[0]["message"])["sequence"] == 2
    csv = command(service, "--output", "csv", "--code", "missing_type").split("\r\n")
    assert len(csv) == 3 and csv[2] == "" and '"{""source"": ""untyped""}"' in csv[1]
    assert json.loads(command(service, "--output", "json", "--source", "nobody")) == []


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_rejects_outlive_a_restart(start_penstock, tmp_path, how):
    service = start_penstock()
    reject_something(service)
    before = get(service.ports["query"], "/v1/rejects")["rejects"]
    assert len(before) == 2
    if how == signal.SIGKILL:
        # Not written with each reject: at the latest a second later.
        eventually(lambda: (tmp_path / "data" / "rejects.json").exists())
    service.stop(how)
    service = start_penstock()
    assert get(service.ports["query"], "/v1/rejects")["rejects"] == before
    reject_something(service)
    after = get(service.ports["query"], "/v1/rejects")["rejects"]
    assert len(after) == 4 and after[2:] == before


@pytest.mark.parametrize("damage", [b"", b"{", b'{"version":1,"instances":7}', b"\xff\xfe", b'{"version":99,"instances":[]}', "folder"])
def test_a_damaged_file_of_rejects_stops_no_start(start_penstock, tmp_path, damage):
    file = tmp_path / "data" / "rejects.json"
    file.parent.mkdir()
    if damage == "folder":
        file.mkdir()
    else:
        file.write_bytes(damage)
    service = start_penstock()
    assert get(service.ports["query"], "/v1/rejects") == {"rejects": []}
    assert any("rejects of before are forgotten" in line for line in service.lines)
    reject_something(service)
    assert len(get(service.ports["query"], "/v1/rejects")["rejects"]) == 2
