"""Long answers keep no health check waiting."""

import http.client
import json
import threading
import time

from conftest import DEADLINE

MEMBERS = 4096
EVENTS = 30
READERS = 4
# The time of /livez beside the readers. It took 22 s when reading wide events was quadratic and held the threads that all share.
ANSWER_MAX = 5


def post(port, events):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    connection.request("POST", "/v1/events", json.dumps(events), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    body = json.loads(answer.read())
    assert answer.status == 200, body


def timed(port, path):
    start = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    connection.request("GET", path)
    answer = connection.getresponse()
    assert answer.status == 200
    answer.read()
    return time.monotonic() - start


def test_livez_answers_while_wide_events_are_read(start_penstock):
    service = start_penstock()
    wide = {f"m{number}": number for number in range(MEMBERS)}
    for start in range(0, EVENTS, 15):
        post(service.ports["ingest"], [
            {"source": f"wide/{number}", "type": "t", "sequence": 1, "data": wide} for number in range(start, start + 15)
        ])
    stop = threading.Event()
    read = [0] * READERS
    failures = []

    def reader(index):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", service.ports["query"], timeout=DEADLINE)
            while not stop.is_set():
                connection.request("GET", f"/v1/events?limit={EVENTS}")
                answer = connection.getresponse()
                body = json.loads(answer.read())
                assert answer.status == 200 and all(len(one["data"]) == MEMBERS for one in body["events"])
                read[index] += len(body["events"])
        except Exception as failure:
            failures.append(failure)

    threads = [threading.Thread(target=reader, args=(index,)) for index in range(READERS)]
    for thread in threads:
        thread.start()
    longest = 0
    try:
        deadline = time.monotonic() + DEADLINE
        # Until every reader has had an answer: so all of them were at it meanwhile.
        while not all(read) and not failures:
            assert time.monotonic() < deadline, read
            for port in ("query", "ingest"):
                longest = max(longest, timed(service.ports[port], "/livez"))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failures
    assert longest < ANSWER_MAX, longest
