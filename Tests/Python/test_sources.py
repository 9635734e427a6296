"""Each source's clock and silence, through a whole `penstock up`."""

import csv
import datetime
import io
import json
import subprocess
import urllib.error
import urllib.parse
import urllib.request

import pytest
from conftest import BUILD, DEADLINE, event, eventually, wait_for_ack

DAYS = datetime.timedelta(days=1)


def text(time):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def get(service, path, **parameters):
    query = "?" + urllib.parse.urlencode(parameters) if parameters else ""
    with urllib.request.urlopen(f"http://127.0.0.1:{service.ports['query']}{path}{query}", timeout=DEADLINE) as answer:
        return json.load(answer)


def run(service, *arguments, code=0):
    done = subprocess.run([str(BUILD / "penstock"), "sources", *arguments, "--url", f"http://127.0.0.1:{service.ports['query']}"],
                          capture_output=True, text=True, timeout=DEADLINE, env={"NO_COLOR": "1"})
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


def names(answer):
    return [source["source"] for source in answer["sources"]]


@pytest.fixture
def fleet(start_penstock):
    """Ten devices with right clocks, one five years ahead, one five years behind."""
    service = start_penstock("compute.clock_ahead_max=2m")
    now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    with service.connect() as ws:
        ws.recv(timeout=DEADLINE)
        events = [event(f"meter/{number}", sequence, time=text(now)) for number in range(10) for sequence in range(1, number + 2)]
        events += [event("ahead", 7, epoch=3, time=text(now + 1826 * DAYS)), event("behind", 1, time=text(now - 1826 * DAYS))]
        ws.send(json.dumps(events))
        wait_for_ack(ws, 1)
    eventually(lambda: sum(source["events"] for source in get(service, "/v1/sources")["sources"]) == len(events))
    return service, now


def test_who_is_silent_and_whose_clock_is_wrong_is_listed(fleet):
    service, now = fleet
    answer = get(service, "/v1/sources")
    assert names(answer) == sorted(["ahead", "behind", *(f"meter/{number}" for number in range(10))])
    assert answer["next_cursor"] is None and sum(answer["as_of"].values()) == 57
    known = {source["source"]: source for source in answer["sources"]}
    assert (known["ahead"]["epoch"], known["ahead"]["sequence"], known["ahead"]["ahead"]) == (3, 7, True)
    assert known["ahead"]["largest_event_time"] == text(now + 1826 * DAYS)
    assert (known["meter/9"]["epoch"], known["meter/9"]["sequence"], known["meter/9"]["events"]) == (0, 10, 10)
    assert [source for source in known if known[source]["ahead"]] == ["ahead"]
    assert all(0 <= source["idle_seconds"] < 2 * DEADLINE for source in known.values())
    assert names(get(service, "/v1/sources", ahead="true")) == ["ahead"]
    assert names(get(service, "/v1/sources", idle_for="1h")) == []
    assert names(get(service, "/v1/sources", prefix="meter/", order="-events", limit=2)) == ["meter/9", "meter/8"]
    assert names(get(service, "/v1/sources", order="largest_event_time", limit=1)) == ["behind"]
    assert names(get(service, "/v1/sources", source="meter/3")) == ["meter/3"]
    listed, cursor = [], {}
    while cursor is not None:
        page = get(service, "/v1/sources", order="-events", limit=5, **cursor)
        listed += names(page)
        cursor = {"cursor": page["next_cursor"]} if page["next_cursor"] else None
    assert listed == [f"meter/{number}" for number in range(9, 0, -1)] + ["ahead", "behind", "meter/0"]
    with pytest.raises(urllib.error.HTTPError) as refused:
        get(service, "/v1/sources", order="age")
    assert refused.value.code == 400 and "last_append_time" in json.load(refused.value)["detail"]
    # The overview asks from time to time.
    eventually(lambda: [source["source"] for source in get(service, "/v1/overview")["sources_ahead"]] == ["ahead"])


def test_the_list_is_the_same_after_kill_9(fleet, start_penstock):
    service, _ = fleet
    service.process.kill()
    service.process.wait()
    service = start_penstock("compute.clock_ahead_max=2m")
    answer = eventually(lambda: (found := get(service, "/v1/sources")) and sum(found["as_of"].values()) == 57 and found)
    assert {source["source"]: (source["events"], source["ahead"]) for source in answer["sources"]} == {
        **{f"meter/{number}": (number + 1, False) for number in range(10)}, "ahead": (1, True), "behind": (1, False)}


def test_the_command_lists_filters_and_pages(fleet):
    service, _ = fleet
    rows = list(csv.DictReader(io.StringIO(run(service, "--output", "csv"))))
    assert len(rows) == 12 and rows[0]["source"] == "ahead" and rows[0]["ahead"] == "true"
    table = run(service, "--ahead")
    assert table.splitlines()[0].split() == ["source", "partition", "epoch", "sequence", "largest_event_time", "last_append_time", "events",
                                             "ahead", "idle_seconds"]
    assert len(table.splitlines()) == 2 and table.splitlines()[1].startswith("ahead ")
    found = json.loads(run(service, "--prefix", "meter/", "--order=-events", "--limit", "3", "--output", "json"))
    assert [source["source"] for source in found] == ["meter/9", "meter/8", "meter/7"]
    assert run(service, "--idle-for", "1h", "--output", "csv").count("\n") == 1
    assert "duration" in run(service, "--idle-for", "soon", code=1)
    assert "1 or more" in run(service, "--limit", "0", code=2)
