"""The WebSocket protocol penstock.v1, spoken by a client that is not ours."""

import base64
import json
import os
import signal
import socket
import struct
import urllib.parse

import pytest
from conftest import DEADLINE, event, receive, wait_for_ack
from websockets.exceptions import ConnectionClosed, InvalidStatus


def dumps(value):
    return json.dumps(value)


def close_code(ws):
    with pytest.raises(ConnectionClosed) as caught:
        while True:
            ws.recv(timeout=DEADLINE)
    assert caught.value.rcvd is not None, "the connection broke without a close frame"
    return caught.value.rcvd.code


def test_welcome_comes_first_with_limits_and_no_resume(penstock):
    with penstock.connect() as ws:
        assert ws.subprotocol == "penstock.v1"
        welcome = receive(ws, "welcome")
        assert welcome["limits"] == {"message_bytes": 1048576, "unacked_messages": 1024}
        assert welcome["heartbeat"] == "30s"
        assert welcome["resume"] == {}


def test_without_a_subprotocol_penstock_v1_is_spoken(penstock):
    with penstock.connect(subprotocols=None) as ws:
        receive(ws, "welcome")


def test_welcome_says_where_the_named_sources_are(penstock):
    sources = ["resume/a", "resume/b c&d", "resume/never"]
    with penstock.connect() as ws:
        receive(ws, "welcome")
        ws.send(dumps([event(sources[0], 7), event(sources[1], 3, epoch=2), event(sources[1], 18446744073709551615, epoch=2)]))
        assert wait_for_ack(ws, 1)["appended"] == 3
    query = "&".join("source=" + urllib.parse.quote(source) for source in sources)
    with penstock.connect("/v1/stream?" + query) as ws:
        assert receive(ws, "welcome")["resume"] == {
            sources[0]: {"epoch": 0, "sequence": 7},
            sources[1]: {"epoch": 2, "sequence": 18446744073709551615},
        }


def test_one_named_source_is_the_default(penstock):
    with penstock.connect("/v1/stream?source=default/only") as ws:
        receive(ws, "welcome")
        ws.send('{"type":"test.reading","sequence":1}')
        assert wait_for_ack(ws, 1)["appended"] == 1
    with penstock.connect("/v1/stream?source=default/only") as ws:
        assert receive(ws, "welcome")["resume"] == {"default/only": {"epoch": 0, "sequence": 1}}


def test_two_named_sources_are_no_default(penstock):
    with penstock.connect("/v1/stream?source=a&source=b") as ws:
        receive(ws, "welcome")
        ws.send('{"type":"test.reading"}')
        rejects = []
        assert wait_for_ack(ws, 1, rejects)["rejected"] == 1
        assert [(r["message"], r["event"], r["code"]) for r in rejects] == [(1, 0, "missing_source")]


def test_acks_are_cumulative_over_many_messages(penstock):
    with penstock.connect() as ws:
        receive(ws, "welcome")
        events = 0
        for message in range(300):
            batch = [event("cumulative", message * 10 + index + 1) for index in range(message % 7 + 1)]
            events += len(batch)
            ws.send(dumps(batch))
        ack = wait_for_ack(ws, 300)
        assert (ack["appended"], ack["duplicates"], ack["rejected"]) == (events, 0, 0)
        assert len(ack["offsets"]) == 1, "one source is in one partition"
        assert all(next_offset >= events for next_offset in ack["offsets"].values())


def test_rejects_name_message_and_event_and_the_rest_is_kept(penstock):
    with penstock.connect() as ws:
        receive(ws, "welcome")
        ws.send(dumps(event("rejects", 1)))
        ws.send(dumps([event("rejects", 2), event("rejects", 3, time="yesterday"), event("rejects", 4), {"source": "rejects"}, 17]))
        ws.send("{")
        ws.send(dumps(event("rejects", 5)))
        rejects = []
        ack = wait_for_ack(ws, 4, rejects)
        assert (ack["appended"], ack["duplicates"], ack["rejected"]) == (4, 0, 4)
        assert [(r["message"], r["event"], r["code"]) for r in rejects] == [
            (2, 1, "invalid_time"),
            (2, 3, "missing_type"),
            (2, 4, "invalid_event"),
            (3, None, "malformed_json"),
        ]
        assert all(r["detail"] for r in rejects)


@pytest.mark.parametrize(
    "text",
    [
        '[{"source":"x","type":"y"}',
        '{"source":"x","type":"y"}}',
        '{"source":"x","type":"y","data":NaN}',
        '{"source":"x","type":"y","data":01}',
        '{"source":"x","type":"y","data":"\\x"}',
        '{"source":"x","type":"y","data":"\\ud800"}',
        '{"source":"x","type":"y","data":' + "[" * 5000 + "]" * 5000 + "}",
        "",
        "null",
        '{"specversion":"0.3","source":"x","type":"y"}',
        '{"source":"x","type":7}',
        '{"source":"x","type":"y","sequence":-1}',
        '{"source":"x","type":"y","sequence":18446744073709551616}',
        '{"source":"x","type":"y","Bad-Name":"z"}',
    ],
)
def test_what_is_malformed_costs_only_itself(penstock, text):
    with penstock.connect() as ws:
        receive(ws, "welcome")
        ws.send(text)
        ws.send(dumps(event("after malformed")))
        rejects = []
        ack = wait_for_ack(ws, 2, rejects)
        assert ack["rejected"] == len(rejects) >= 1
        assert rejects[0]["message"] == 1


def test_a_sequence_not_above_the_last_is_a_duplicate(penstock):
    with penstock.connect() as ws:
        receive(ws, "welcome")
        ws.send(dumps([event("duplicates", 1), event("duplicates", 2), event("duplicates", 2), event("duplicates", 5)]))
        ws.send(dumps([event("duplicates", 4), event("duplicates", 6)]))
        ack = wait_for_ack(ws, 2)
        assert (ack["appended"], ack["duplicates"], ack["rejected"]) == (4, 2, 0)


def test_without_sequence_an_id_is_remembered(penstock):
    with penstock.connect() as ws:
        receive(ws, "welcome")
        ws.send(dumps([event("ids", id="a"), event("ids", id="b"), event("ids", id="a"), event("other ids", id="a")]))
        ack = wait_for_ack(ws, 1)
        assert (ack["appended"], ack["duplicates"]) == (3, 1)
        ws.send(dumps([event("ids", id="b"), event("ids", id="c")]))
        ack = wait_for_ack(ws, 2)
        assert (ack["appended"], ack["duplicates"]) == (4, 2)


def test_a_higher_epoch_starts_anew_and_fences_the_lower(penstock):
    with penstock.connect() as old, penstock.connect() as new:
        receive(old, "welcome")
        receive(new, "welcome")
        old.send(dumps(event("fenced", 10, epoch=1)))
        assert wait_for_ack(old, 1)["appended"] == 1
        new.send(dumps(event("fenced", 1, epoch=2)))
        assert wait_for_ack(new, 1)["appended"] == 1
        old.send(dumps([event("fenced", 11, epoch=1), event("not fenced", 1)]))
        rejects = []
        ack = wait_for_ack(old, 2, rejects)
        assert (ack["appended"], ack["rejected"]) == (2, 1)
        assert [(r["message"], r["event"], r["code"]) for r in rejects] == [(2, 0, "fenced")]


@pytest.mark.parametrize("batch", [1, 100])
def test_compressed_messages(penstock, weather, batch):
    source = f"compressed/{batch}"
    with penstock.connect(compression="deflate") as ws:
        assert "permessage-deflate" in ws.response.headers.get("Sec-WebSocket-Extensions", "")
        receive(ws, "welcome")
        lines = [json.loads(line) | {"source": source, "sequence": n + 1} for n, line in enumerate(weather[:1000])]
        messages = [lines[start : start + batch] for start in range(0, len(lines), batch)]
        for message in messages:
            ws.send(dumps(message))
        assert wait_for_ack(ws, len(messages))["appended"] == 1000


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_fragmented_messages(penstock, compression):
    text = dumps([event("fragments é 漢 🚰", data={"text": "é漢🚰" * 50})])
    with penstock.connect(compression=compression) as ws:
        receive(ws, "welcome")
        for sent, size in enumerate([1, 2, 3, 7, 100, len(text)], start=1):
            ws.send(iter([text[at : at + size] for at in range(0, len(text), size)]))
            assert wait_for_ack(ws, sent)["appended"] == sent


def test_pings_are_answered(penstock):
    with penstock.connect() as ws:
        receive(ws, "welcome")
        assert ws.ping(b"are you there?").wait(DEADLINE)


def test_binary_messages_close_with_1003(penstock):
    with penstock.connect() as ws:
        receive(ws, "welcome")
        ws.send(b"{}")
        assert close_code(ws) == 1003


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_too_big_a_message_closes_with_1009(penstock, compression):
    with penstock.connect(compression=compression) as ws:
        receive(ws, "welcome")
        try:
            ws.send(dumps(event("too big", data="x" * 1048576)))
        except ConnectionClosed:
            pass
        assert close_code(ws) == 1009


def test_a_message_of_just_the_limit_is_taken(penstock):
    text = dumps(event("just fits", data=""))
    room = 1048576 - len(text)
    # Strings in data are shorter than 1 MiB themselves, so the rest is space.
    text = text[:-1] + " " * room + "}"
    assert len(text) == 1048576
    with penstock.connect() as ws:
        receive(ws, "welcome")
        ws.send(text)
        assert wait_for_ack(ws, 1)["appended"] == 1


def raw_handshake(port):
    """A socket after the handshake, and what came behind it."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)
    key = base64.b64encode(os.urandom(16)).decode()
    connection.sendall(
        f"GET /v1/stream HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65536)
    assert received.startswith(b"HTTP/1.1 101"), received
    return connection, received.split(b"\r\n\r\n", 1)[1]


def frames(connection, received):
    """Frames from the server until it closes: (opcode, payload)."""
    found = []
    while True:
        while len(received) >= 2:
            length, at = received[1] & 127, 2
            if length == 126:
                length, at = struct.unpack(">H", received[2:4])[0], 4
            if len(received) < at + length:
                break
            found.append((received[0] & 15, received[at : at + length]))
            received = received[at + length :]
            if found[-1][0] == 8:
                return found
        more = connection.recv(65536)
        assert more, f"closed without a close frame: {found}"
        received += more


def masked(opcode, payload, fin=True):
    key = b"\x37\xfa\x21\x3d"
    assert len(payload) < 126
    return bytes([opcode | (128 if fin else 0), 128 | len(payload)]) + key + bytes(b ^ key[i & 3] for i, b in enumerate(payload))


@pytest.mark.parametrize(
    "sent",
    [masked(1, b"\xff{}"), masked(1, b'{"a":"\xc3'), masked(1, b'{"a":"\xed\xa0\x80"}'), masked(1, b"\xc3", fin=False) + masked(0, b"{")],
)
def test_text_that_is_not_utf8_closes_with_1007(penstock, sent):
    connection, received = raw_handshake(penstock.ports["ingest"])
    with connection:
        connection.sendall(sent)
        opcode, payload = frames(connection, received)[-1]
        assert (opcode, struct.unpack(">H", payload[:2])[0]) == (8, 1007)


def test_an_unmasked_frame_closes_with_1002(penstock):
    connection, received = raw_handshake(penstock.ports["ingest"])
    with connection:
        connection.sendall(b"\x81\x02{}")
        opcode, payload = frames(connection, received)[-1]
        assert (opcode, struct.unpack(">H", payload[:2])[0]) == (8, 1002)


def test_one_byte_at_a_time(penstock):
    text = dumps(event("slowly", 1)).encode()
    frame = masked(1, text[:120], fin=False) + masked(0, text[120:])
    connection, received = raw_handshake(penstock.ports["ingest"])
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with connection:
        for index in range(len(frame)):
            connection.sendall(frame[index : index + 1])
        connection.sendall(masked(8, struct.pack(">H", 1000)))
        found = frames(connection, received)
        assert json.loads(found[0][1])["kind"] == "welcome"
        # The close overtakes the acknowledgement or does not: what was received is appended all the same.
        assert found[-1] == (8, struct.pack(">H", 1000))
    with penstock.connect("/v1/stream?source=slowly") as ws:
        receive(ws, "welcome")
        ws.send(dumps(event("slowly", 1)))
        ack = wait_for_ack(ws, 1)
        assert (ack["appended"], ack["duplicates"]) == (0, 1)


def test_cloudevents_binding_takes_one_event_a_message_and_says_nothing(penstock):
    with penstock.connect("/v1/stream", subprotocols=["cloudevents.json"]) as ws:
        assert ws.subprotocol == "cloudevents.json"
        ws.send(dumps(event("binding", 1, specversion="1.0", id="1")))
        ws.send(dumps(event("binding", 2, specversion="1.0", id="2")))
        assert ws.ping().wait(DEADLINE)
        with pytest.raises(TimeoutError):
            ws.recv(timeout=0.2)
    with penstock.connect() as ws:
        receive(ws, "welcome")
        ws.send(dumps([event("binding", 2), event("binding", 3)]))
        ack = wait_for_ack(ws, 1)
        assert (ack["appended"], ack["duplicates"]) == (1, 1)


@pytest.mark.parametrize("path,status", [("/v1/nowhere", 404), ("/v1/stream?source=", 400)])
def test_a_refused_handshake_says_why(penstock, path, status):
    with pytest.raises(InvalidStatus) as caught:
        penstock.connect(path)
    assert caught.value.response.status_code == status


def test_no_known_subprotocol_is_refused(penstock):
    with pytest.raises(InvalidStatus) as caught:
        penstock.connect(subprotocols=["chat"])
    assert caught.value.response.status_code == 400


def test_sigterm_closes_with_1001_and_what_was_acknowledged_is_there_again(start_penstock):
    service = start_penstock()
    with service.connect() as ws:
        receive(ws, "welcome")
        ws.send(dumps([event("restart", n) for n in range(1, 101)]))
        assert wait_for_ack(ws, 1)["appended"] == 100
        service.terminate()
        assert close_code(ws) == 1001
    assert service.stop() == 0
    with start_penstock().connect("/v1/stream?source=restart") as ws:
        assert receive(ws, "welcome")["resume"] == {"restart": {"epoch": 0, "sequence": 100}}


def test_after_sigkill_all_that_was_acknowledged_is_there(start_penstock):
    service = start_penstock()
    with service.connect() as ws:
        receive(ws, "welcome")
        for n in range(1, 201):
            ws.send(dumps(event("killed", n)))
        acked = 0
        while acked < 50:
            acked = receive(ws, "ack")["messages"]
        service.stop(signal.SIGKILL)
        try:
            while True:
                acked = json.loads(ws.recv(timeout=DEADLINE))["messages"]
        except ConnectionClosed:
            pass
    with start_penstock().connect("/v1/stream?source=killed") as ws:
        durable = receive(ws, "welcome")["resume"]["killed"]["sequence"]
        assert acked <= durable <= 200
        ws.send(dumps([event("killed", n) for n in range(1, 201)]))
        ack = wait_for_ack(ws, 1)
        assert (ack["appended"], ack["duplicates"]) == (200 - durable, durable)


def test_a_silent_peer_is_pinged_and_then_closed(start_penstock):
    service = start_penstock("ingest.heartbeat=100ms")
    connection, received = raw_handshake(service.ports["ingest"])
    with connection:
        # Answers nothing.
        found = frames(connection, received)
        assert [opcode for opcode, _ in found] == [1, 9, 9, 8]
        assert struct.unpack(">H", found[-1][1][:2])[0] == 1001


def test_a_peer_that_answers_pings_stays(start_penstock):
    service = start_penstock("ingest.heartbeat=100ms")
    connection, received = raw_handshake(service.ports["ingest"])
    pings = 0
    with connection:
        while pings < 8:
            while len(received) >= 2 and len(received) >= 2 + (received[1] & 127) and received[1] & 127 < 126:
                opcode, received = received[0] & 15, received[2 + (received[1] & 127) :]
                if opcode == 9:
                    pings += 1
                    connection.sendall(masked(10, b""))
                assert opcode != 8
            if len(received) >= 4 and received[1] & 127 == 126:
                received = received[4 + struct.unpack(">H", received[2:4])[0] :]
            more = connection.recv(65536)
            assert more
            received += more


def test_more_messages_than_may_be_unacknowledged_are_all_answered(start_penstock):
    service = start_penstock("ingest.unacked_messages_max=2")
    with service.connect() as ws:
        assert receive(ws, "welcome")["limits"]["unacked_messages"] == 2
        for sequence in range(1, 201):
            ws.send(dumps(event("eager", sequence)))
        assert wait_for_ack(ws, 200)["appended"] == 200


def test_what_was_sent_before_sigterm_is_answered_and_then_1001(start_penstock):
    service = start_penstock()
    with service.connect() as ws:
        receive(ws, "welcome")
        for sequence in range(1, 51):
            ws.send(dumps(event("leaving", sequence)))
        assert wait_for_ack(ws, 50)["appended"] == 50
        assert service.stop() == 0
        assert close_code(ws) == 1001


def test_an_empty_array_is_acknowledged(penstock):
    with penstock.connect() as ws:
        receive(ws, "welcome")
        ws.send("[]")
        ack = wait_for_ack(ws, 1)
        assert (ack["appended"], ack["duplicates"], ack["rejected"]) == (0, 0, 0)
