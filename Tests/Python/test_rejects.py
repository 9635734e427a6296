"""Rejected events are kept for people to look at: the last of each reason, bounded."""

import json
import urllib.error
import urllib.request

import pytest
from conftest import DEADLINE, event, wait_for_ack


def get(service, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{service.ports['query']}{path}", timeout=DEADLINE) as answer:
        return json.load(answer)


def test_the_last_rejects_of_each_reason_are_told_the_newest_first(start_penstock):
    service = start_penstock()
    assert get(service, "/v1/rejects") == {"rejects": []}
    with service.connect() as ws:
        ws.recv(timeout=DEADLINE)
        ws.send(json.dumps([event("a", 1), event("a", 2, epoch=7), {"source": "a"}]))
        ws.send(json.dumps(event("a", 3)))
        wait_for_ack(ws, 2, rejects=[])
        for number in range(100):
            ws.send(json.dumps(event("flood", number + 1, time=f"never {number}")))
        wait_for_ack(ws, 102, rejects=[])
    rejects = get(service, "/v1/rejects")["rejects"]
    assert [r["time"] for r in rejects] == sorted((r["time"] for r in rejects), reverse=True)
    by_code = {}
    for reject in rejects:
        by_code.setdefault(reject["code"], []).append(reject)
    assert set(by_code) == {"missing_type", "fenced", "invalid_time"}
    bad = by_code["missing_type"][0]
    first = json.dumps([event("a", 1), event("a", 2, epoch=7), {"source": "a"}])
    assert (bad["source"], bad["message_number"], bad["event"], bad["message"]) == ("a", 1, 2, '{"source": "a"}')
    assert first[bad["position"] :] == bad["message"] + "]"
    assert by_code["fenced"][0]["message"] is None
    assert (by_code["fenced"][0]["message_number"], by_code["fenced"][0]["event"]) == (2, 0)
    assert "never 99" in by_code["invalid_time"][0]["message"], "the newest is kept, and first"
    assert len(by_code["invalid_time"]) == 32, "a flood of one reason does not hide the others"
    assert {r["code"] for r in get(service, "/v1/rejects?code=fenced")["rejects"]} == {"fenced"}
    assert {r["source"] for r in get(service, "/v1/rejects?source=flood")["rejects"]} == {"flood"}
    assert get(service, "/v1/rejects?source=floo")["rejects"] == []
    overview = get(service, "/v1/overview")
    assert (overview["received"], overview["appended"], overview["rejected"], overview["in_flight"]) == (104, 2, 102, 0)


def test_an_unknown_reason_is_refused_with_those_there_are(start_penstock):
    with pytest.raises(urllib.error.HTTPError) as refused:
        get(start_penstock(), "/v1/rejects?code=nonsense")
    assert refused.value.code == 400
    assert "invalid_time" in json.load(refused.value)["detail"]


def test_rejects_are_never_counted_before_what_was_received(start_penstock):
    """in_flight is asked for while messages with rejects stream in: it is never below 0."""
    service = start_penstock()
    message = json.dumps([event("b"), {"source": "b"}] * 50)
    with service.connect() as ws:
        ws.recv(timeout=DEADLINE)
        for _ in range(60):
            ws.send(message)
            if _ % 4 == 0:
                assert get(service, "/v1/overview")["in_flight"] >= 0
        wait_for_ack(ws, 60, rejects=[])
    assert get(service, "/v1/ledger")["balanced"] is True
