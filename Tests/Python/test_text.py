"""Text is bytes: names that look alike are two, and what is no text is refused."""

import http.client
import json
import socket
import urllib.parse
import urllib.request

import pytest
from conftest import DEADLINE, Penstock, eventually, event, receive, wait_for_ack
from websockets.exceptions import InvalidStatus

# é as one character, and as e with an accent: Unicode calls them canonically equal.
COMPOSED, DECOMPOSED = "text/caf\u00e9", "text/cafe\u0301"


def post(service, body, headers, path="/v1/events", port="ingest"):
    connection = http.client.HTTPConnection("127.0.0.1", service.ports[port], timeout=DEADLINE)
    connection.request("POST", path, body, headers)
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def raw_request(service, port, head):
    """Sends bytes as they are, and gives the answer's status and body."""
    with socket.create_connection(("127.0.0.1", service.ports[port]), timeout=DEADLINE) as connection:
        connection.sendall(head)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        # Bytes that are no HTTP at all may be refused without a word.
        return answer.status, json.loads(answer.read() or "null")


def get(service, path, **query):
    url = f"http://127.0.0.1:{service.ports['query']}{path}?{urllib.parse.urlencode(query)}"
    with urllib.request.urlopen(url, timeout=DEADLINE) as answer:
        return json.load(answer)


def ask_sql(service, sql):
    return post(service, json.dumps({"sql": sql}), {"Content-Type": "application/json"}, "/v1/sql", "query")


@pytest.fixture(scope="module")
def penstock(tmp_path_factory):
    """One of its own: what others have sent may have closed the windows of these events' partitions."""
    service = Penstock(tmp_path_factory.mktemp("text"))
    yield service
    assert service.stop() == 0, "".join(service.lines)


@pytest.fixture(scope="module")
def two_names(penstock):
    """Events of both sources: one of the first, two of the second."""
    sent = [
        event(COMPOSED, 1, type="weather.observed", data={"temp": 1}),
        event(DECOMPOSED, 2, type="weather.observed", data={"temp": 2}),
        event(DECOMPOSED, 3, type="weather.observed", data={"temp": 3}),
    ]
    status, answer = post(penstock, json.dumps(sent), {"Content-Type": "application/json"})
    assert (status, answer["appended"]) == (200, 3)
    return answer["offsets"]


def test_the_welcome_names_both_sources(penstock, two_names):
    query = urllib.parse.urlencode([("source", COMPOSED), ("source", DECOMPOSED)])
    with penstock.connect("/v1/stream?" + query) as ws:
        assert receive(ws, "welcome")["resume"] == {
            COMPOSED: {"epoch": 0, "sequence": 1},
            DECOMPOSED: {"epoch": 0, "sequence": 3},
        }


def test_an_event_keeps_members_of_both_names(penstock):
    data = {"caf\u00e9": 1, "cafe\u0301": 2, "list": [{"caf\u00e9": 3, "cafe\u0301": 4}]}
    with penstock.connect() as ws:
        receive(ws, "welcome")
        ws.send(json.dumps(event("text/members", 1, data=data)))
        assert wait_for_ack(ws, 1)["appended"] == 1
    assert get(penstock, "/v1/events", source="text/members")["events"][0]["data"] == data


def test_raw_events_are_of_the_source_that_is_asked_for(penstock, two_names):
    for source, sequences in ((COMPOSED, [1]), (DECOMPOSED, [2, 3])):
        found = get(penstock, "/v1/events", source=source)["events"]
        assert [(one["source"], one["sequence"]) for one in found] == [(source, sequence) for sequence in sequences]


def test_a_view_has_a_row_of_each_name_and_where_finds_it(penstock, two_names):
    after = json.dumps(two_names)
    for source, count in ((COMPOSED, 1), (DECOMPOSED, 2)):
        where = f'source == "{source}"'
        rows = get(penstock, "/v1/views/weather_daily", where=where, after=after)["rows"]
        assert [(row["source"], row["observations"]) for row in rows] == [(source, count)]


def test_sql_tells_both_names_apart(penstock, two_names):
    get(penstock, "/v1/views/weather_daily", after=json.dumps(two_names))
    one = "SELECT source, observations FROM weather_daily WHERE source = '%s'"
    assert ask_sql(penstock, one % COMPOSED)[1]["rows"] == [{"source": COMPOSED, "observations": 1}]
    assert ask_sql(penstock, one % DECOMPOSED)[1]["rows"] == [{"source": DECOMPOSED, "observations": 2}]
    status, both = ask_sql(penstock, (one % COMPOSED) + " UNION ALL " + (one % DECOMPOSED))
    assert (status, sorted(row["observations"] for row in both["rows"])) == (200, [1, 2])


BINARY = {"ce-type": "test.reading", "Content-Type": "application/json", "ce-time": "2024-05-01T12:00:00Z"}


@pytest.mark.parametrize("name, code", [
    ("ce-source", "invalid_source"), ("ce-id", "invalid_id"), ("ce-subject", "invalid_subject"), ("ce-region", "invalid_attribute"),
])
@pytest.mark.parametrize("value", ["d%FF", "d%FE", "%+5", "d%", "d%4", "d%C3%28"])
def test_a_header_that_is_no_percent_encoded_text_is_rejected(penstock, name, code, value):
    status, answer = post(penstock, "1", BINARY | {"ce-source": "text/header"} | {name: value})
    assert status == 422
    assert [(one["event"], one["code"]) for one in answer["rejected"]] == [(0, code)]


@pytest.mark.parametrize("byte", [b"\xff", b"\xfe", b"\xe9"])
def test_a_header_of_raw_bytes_that_are_no_utf8_is_rejected(penstock, byte):
    head = b"POST /v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nce-type: t\r\nce-sequence: 1\r\nContent-Length: 1\r\nce-source: d" + byte
    status, answer = raw_request(penstock, "ingest", head + b"\r\nContent-Type: application/json\r\n\r\n1")
    assert (status, [one["code"] for one in answer["rejected"]]) == (422, ["invalid_source"])


def test_a_header_is_decoded_as_the_binding_has_it(penstock):
    status, _ = post(penstock, "1", BINARY | {"ce-source": "text/header%20caf%C3%A9", "ce-sequence": "1"})
    assert status == 200
    assert len(get(penstock, "/v1/events", source="text/header caf\u00e9")["events"]) == 1


@pytest.mark.parametrize("source", ["%FF", "%FE", "%+5", "%"])
def test_a_source_in_a_target_that_is_no_text_is_refused(penstock, source):
    with pytest.raises(InvalidStatus) as caught:
        with penstock.connect("/v1/stream?source=" + source):
            pass
    assert caught.value.response.status_code == 400
    assert json.loads(caught.value.response.body)["code"] == "invalid_source"
    head = f"GET /v1/events?source={source} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    status, answer = raw_request(penstock, "query", head)
    assert (status, answer["code"]) == (400, "invalid_parameter")


@pytest.mark.parametrize("byte", [b"\xff", b"\xfe"])
def test_raw_bytes_in_a_target_are_refused(penstock, byte):
    status, _ = raw_request(penstock, "query", b"GET /v1/events?source=" + byte + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    assert status == 400


@pytest.mark.parametrize("byte", [b"\xff", b"\xfe"])
def test_a_body_of_bytes_that_are_no_utf8_is_refused(penstock, byte):
    sql = b'{"sql":"SELECT source FROM weather_daily WHERE source = \'d' + byte + b'\'"}'
    status, answer = post(penstock, sql, {"Content-Type": "application/json"}, "/v1/sql", "query")
    assert (status, answer["code"]) == (400, "invalid_json")
    status, answer = post(penstock, b'{"type":"t","source":"d' + byte + b'"}', {"Content-Type": "application/json"})
    assert (status, answer["rejected"][0]["code"]) == (422, "malformed_json")


def test_an_event_whose_attributes_are_named_like_its_place_has_each_member_once(penstock):
    sent = event("text/place", 1, logpartition="mine", logoffset=77, other="kept")
    status, answer = post(penstock, json.dumps(sent), {"Content-Type": "application/json"})
    assert (status, answer["appended"]) == (200, 1)
    url = f"http://127.0.0.1:{penstock.ports['query']}/v1/events?source=text/place"
    pairs = []
    with urllib.request.urlopen(url, timeout=DEADLINE) as answer:
        found = json.load(answer, object_pairs_hook=lambda members: pairs.append([name for name, _ in members]) or dict(members))
    assert all(len(names) == len(set(names)) for names in pairs)
    one = found["events"][0]
    assert isinstance(one["logpartition"], int) and isinstance(one["logoffset"], int) and one["other"] == "kept"


@pytest.mark.parametrize("data", ["=AAA", "====", "A===", "AB=="])
def test_data_that_is_no_base64_is_rejected(penstock, data):
    status, answer = post(penstock, json.dumps(event("text/base64", data_base64=data, data=None)), {"Content-Type": "application/json"})
    assert (status, answer["rejected"][0]["code"]) == (422, "invalid_data")


def test_a_name_twice_in_an_object_of_an_array_is_rejected(penstock):
    text = '{"source":"text/array","type":"t","data":[{"a":1,"a":2}]}'
    status, answer = post(penstock, text, {"Content-Type": "application/json"})
    assert (status, answer["rejected"][0]["code"]) == (422, "duplicate_member")
