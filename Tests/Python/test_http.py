"""POST /v1/events in each of its content types, and what every service answers."""

import gzip
import http.client
import json

import pytest
from conftest import DEADLINE, event

BATCH = "application/cloudevents-batch+json"


def request(port, method, path, body=None, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        response = connection.getresponse()
        content = response.read()
        return response.status, response.headers, content
    finally:
        connection.close()


def post(penstock, body, content_type, **headers):
    all_headers = {name.replace("_", "-"): value for name, value in headers.items()}
    if content_type is not None:
        all_headers["Content-Type"] = content_type
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    status, headers, content = request(penstock.ports["ingest"], "POST", "/v1/events", body, all_headers)
    answer = json.loads(content)
    if status >= 400:
        assert headers["Content-Type"] == "application/problem+json"
        assert answer["status"] == status and answer["code"] and answer["detail"]
    return status, headers, answer


@pytest.mark.parametrize(
    "content_type,body,count",
    [
        ("application/cloudevents+json", event("http/structured", id="1", specversion="1.0"), 1),
        ("application/cloudevents+json; charset=UTF-8", event("http/charset", id="1"), 1),
        (BATCH, [event("http/batch", n) for n in range(1, 4)], 3),
        (BATCH, [], 0),
        ("application/json", event("http/json", 1), 1),
        ("application/json", [event("http/json array", n) for n in range(1, 101)], 100),
        ("application/x-ndjson", b"".join(json.dumps(event("http/lines", n)).encode() + b"\n" for n in range(1, 6)), 5),
        ("application/x-ndjson", json.dumps(event("http/line")).encode() + b"\r\n\r\n", 1),
    ],
)
@pytest.mark.parametrize("encoding", [None, "gzip"])
def test_every_content_type(penstock, content_type, body, count, encoding):
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    text = text.replace(b'"http/', f'"http/{encoding}/'.encode())
    headers = {}
    if encoding:
        text = gzip.compress(text)
        headers["Content_Encoding"] = encoding
    status, _, answer = post(penstock, text, content_type, **headers)
    assert status == 200, answer
    assert (answer["appended"], answer["duplicates"], answer["rejected"]) == (count, 0, [])
    assert len(answer["offsets"]) == (1 if count else 0)


@pytest.mark.parametrize(
    "content_type,data",
    [("application/json", b'{"value":1}'), ("text/plain", b"warm \xc3\xa9"), ("application/octet-stream", b"\x00\xff"), (None, b"")],
)
def test_binary_mode(penstock, content_type, data):
    headers = {"ce_specversion": "1.0", "ce_type": "test.binary", "ce_source": f"http/binary/{content_type}".replace("/", "%2F"), "ce_id": "7"}
    status, _, answer = post(penstock, data, content_type, **headers)
    assert (status, answer.get("appended")) == (200, 1), answer
    status, _, answer = post(penstock, data, content_type, **headers)
    assert (status, answer["appended"], answer["duplicates"]) == (200, 0, 1)


def test_binary_mode_with_data_that_is_not_what_it_says(penstock):
    headers = {"ce_type": "test.binary", "ce_source": "http/binary/bad"}
    assert post(penstock, b'{"a":1},"source":"other"', "application/json", **headers)[0] == 422


def test_rejects_name_the_event_and_the_rest_is_kept(penstock):
    body = [event("http/rejects", 1), event("http/rejects", 2, time=5), event("http/rejects", 3), event("", 4), event("http/rejects", 3)]
    status, _, answer = post(penstock, body, BATCH)
    assert status == 200
    assert (answer["appended"], answer["duplicates"]) == (2, 1)
    assert [(r["event"], r["code"]) for r in answer["rejected"]] == [(1, "invalid_time"), (3, "invalid_source")]


@pytest.mark.parametrize("body", [b"{", b"[]x", b"17", b'{"type":"no source"}', b"\xff"])
def test_422_when_every_event_is_rejected(penstock, body):
    status, _, answer = post(penstock, body, "application/json")
    assert status == 422, answer
    assert answer["rejected"]


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/xml"])
def test_415_for_other_content_types(penstock, content_type):
    assert post(penstock, b"{}", content_type)[0] == 415


def test_415_for_other_encodings(penstock):
    assert post(penstock, b"{}", "application/json", Content_Encoding="br")[0] == 415


def test_400_for_what_is_no_gzip(penstock):
    assert post(penstock, b"{}", "application/json", Content_Encoding="gzip")[0] == 400


def test_413_for_too_large_a_body(penstock):
    assert post(penstock, b" " * 1048577, "application/json")[0] == 413


def test_413_for_a_body_that_inflates_to_too_much(penstock):
    assert post(penstock, gzip.compress(b" " * (256 << 20)), "application/json", Content_Encoding="gzip")[0] == 413


def test_413_for_a_chunked_body_that_grows_too_large(penstock):
    connection = http.client.HTTPConnection("127.0.0.1", penstock.ports["ingest"], timeout=DEADLINE)
    try:
        connection.request(
            "POST", "/v1/events", body=(b" " * 65536 for _ in range(17)), headers={"Content-Type": "application/json"}, encode_chunked=True
        )
        assert connection.getresponse().status == 413
    except (BrokenPipeError, ConnectionResetError):
        # The answer came before the body's end, and the connection was closed under the sender.
        assert connection.getresponse().status == 413
    finally:
        connection.close()


def test_405_and_404(penstock):
    port = penstock.ports["ingest"]
    status, headers, _ = request(port, "GET", "/v1/events")
    assert (status, headers["Allow"]) == (405, "POST")
    assert request(port, "GET", "/v1/nowhere")[0] == 404
    assert request(port, "GET", "/v1/stream")[0] == 426


def test_two_requests_on_one_connection(penstock):
    connection = http.client.HTTPConnection("127.0.0.1", penstock.ports["ingest"], timeout=DEADLINE)
    try:
        for n in (1, 2):
            connection.request("POST", "/v1/events", json.dumps(event("http/kept alive", n)), {"Content-Type": "application/json"})
            response = connection.getresponse()
            assert (response.status, json.loads(response.read())["appended"]) == (200, 1)
    finally:
        connection.close()


@pytest.mark.parametrize("service", ["ingest", "query"])
def test_what_every_service_answers(penstock, service):
    port = penstock.ports[service]
    assert request(port, "GET", "/livez")[0] == 200
    assert request(port, "GET", "/readyz")[0] == 200
    assert request(port, "GET", "/health")[0] == 200
    status, headers, body = request(port, "GET", "/metrics")
    assert status == 200 and headers["Content-Type"].startswith("text/plain")
    assert b"penstock_" in body
    status, _, body = request(port, "GET", "/openapi.json")
    assert status == 200 and json.loads(body)["openapi"].startswith("3.")
    status, headers, body = request(port, "GET", "/nowhere")
    assert (status, headers["Content-Type"]) == (404, "application/problem+json")
    assert json.loads(body)["code"]


def test_received_is_appended_and_duplicates_and_rejected(start_penstock):
    service = start_penstock()
    post(service, [event("ledger", n) for n in (1, 2, 2, 3)] + [{"source": "ledger"}], BATCH)
    post(service, b"{", "application/json")
    sums = {}
    for line in request(service.ports["ingest"], "GET", "/metrics")[2].decode().splitlines():
        if line.startswith("penstock_ingest_events_"):
            name = line.split("{")[0].split(" ")[0]
            sums[name] = sums.get(name, 0) + float(line.rsplit(" ", 1)[1])
    assert sums["penstock_ingest_events_received_total"] == 6
    assert sums["penstock_ingest_events_appended_total"] == 3
    assert sums["penstock_ingest_events_duplicate_total"] == 1
    assert sums["penstock_ingest_events_rejected_total"] == 2
