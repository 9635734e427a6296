"""The server's messages over WebSocket, compared with /asyncapi.json."""

import json

import jsonschema
import pytest
from conftest import DEADLINE, event
from test_http import request


@pytest.fixture(scope="module")
def protocol(penstock):
    status, headers, body = request(penstock.ports["ingest"], "GET", "/asyncapi.json")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    return json.loads(body)


def validator(protocol, schema):
    return jsonschema.Draft202012Validator({"$ref": f"#/components/schemas/{schema}", "components": protocol["components"]})


def references(value):
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for member in value.values():
            yield from references(member)
    elif isinstance(value, list):
        for element in value:
            yield from references(element)


def test_the_document_is_whole(protocol):
    assert protocol["asyncapi"] == "3.0.0"
    for schema in protocol["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    found = list(references(protocol))
    assert len(found) > 20
    for reference in found:
        place = protocol
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]
    operations = {(each["action"], each["channel"]["$ref"].rsplit("/", 1)[1]) for each in protocol["operations"].values()}
    assert operations == {("send", "stream"), ("receive", "stream"), ("receive", "cloudEvents")}


def test_every_message_of_the_server_is_one_of_the_documents(penstock, protocol):
    schemas = {kind: validator(protocol, kind.capitalize()) for kind in ("welcome", "ack", "reject")}
    seen = {}

    def read_until_ack(ws, messages):
        while True:
            message = json.loads(ws.recv(timeout=DEADLINE))
            schemas[message["kind"]].validate(message)
            seen[message["kind"]] = seen.get(message["kind"], 0) + 1
            if message["kind"] == "ack" and message["messages"] == messages:
                return message

    sent = [
        json.dumps(event("asyncapi/a", 1)),
        json.dumps([event("asyncapi/a", 2), event("asyncapi/a", 2), {"source": "asyncapi/a"}, dict(event("asyncapi/b"), time="no")]),
        "{",
        json.dumps([event("asyncapi/a", 3, epoch=4), event("asyncapi/a", 9)]),
        "[]",
    ]
    for path in ("/v1/stream", "/v1/stream?source=asyncapi%2Fa", "/v1/stream?source=asyncapi%2Fa&source=asyncapi%2Fb"):
        with penstock.connect(path) as ws:
            welcome = json.loads(ws.recv(timeout=DEADLINE))
            schemas["welcome"].validate(welcome)
            for text in sent:
                ws.send(text)
            last = read_until_ack(ws, len(sent))
            assert last["appended"] + last["duplicates"] + last["rejected"] == 8
    assert welcome["resume"]["asyncapi/a"] == {"epoch": 4, "sequence": 3}
    assert seen["reject"] >= 9 and seen["ack"] >= 3


def test_what_the_document_lets_a_device_send_is_taken_and_what_it_forbids_is_not(penstock, protocol):
    schema = validator(protocol, "Event")
    good = [
        {"source": "asyncapi/good", "type": "t"},
        {"source": "asyncapi/good", "type": "t", "sequence": "18446744073709551615", "epoch": 0},
        {"source": "asyncapi/good", "type": "t", "id": "1", "subject": "s", "specversion": "1.0", "severity": 3, "flag": True, "none": None},
        {"source": "asyncapi/good", "type": "t", "id": "2", "data_base64": "AAAA", "datacontenttype": "application/octet-stream"},
    ]
    bad = [
        {"source": "asyncapi/bad"},
        {"type": "t", "source": ""},
        {"source": "asyncapi/bad", "type": "t", "Upper": 1},
        {"source": "asyncapi/bad", "type": "t", "specversion": "0.3"},
        {"source": "asyncapi/bad", "type": "t", "extension": {}},
        {"source": "asyncapi/bad", "type": "t", "sequence": -1},
    ]
    with penstock.connect() as ws:
        ws.recv(timeout=DEADLINE)
        for number, message in enumerate(good, 1):
            assert schema.is_valid(message), message
            ws.send(json.dumps(message))
        message = {}
        while message.get("messages") != len(good):
            message = json.loads(ws.recv(timeout=DEADLINE))
            assert message["kind"] == "ack", message
        for message in bad:
            assert not schema.is_valid(message), message
            ws.send(json.dumps(message))
            assert json.loads(ws.recv(timeout=DEADLINE))["kind"] == "reject", message
            assert json.loads(ws.recv(timeout=DEADLINE))["kind"] == "ack"
