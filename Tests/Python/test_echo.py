"""The frame code against a client that is not ours: websocket-echo answers each message with itself."""

import random

import pytest
from conftest import DEADLINE
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

MESSAGE_MAX = 16 << 20


def open_echo(port, compression):
    return connect(
        f"ws://127.0.0.1:{port}/", compression=compression, max_size=2 * MESSAGE_MAX, open_timeout=DEADLINE, close_timeout=DEADLINE, ping_interval=None
    )


@pytest.mark.parametrize("compression", [None, "deflate"])
@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 65537, 1 << 20, MESSAGE_MAX])
def test_messages_of_every_length_form(echo, compression, size):
    message = random.Random(size).randbytes(size)
    text = "é" * (size // 2)
    with open_echo(echo, compression) as ws:
        ws.send(message)
        assert ws.recv(timeout=DEADLINE) == message
        ws.send(text)
        assert ws.recv(timeout=DEADLINE) == text


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_as_many_fragments_as_are_taken(echo, compression):
    # The client ends a message with an empty fragment of its own.
    fragments = [str(n % 10) for n in range(65_536)]
    with open_echo(echo, compression) as ws:
        ws.send(iter(fragments))
        assert ws.recv(timeout=DEADLINE) == "".join(fragments)


def test_one_fragment_more_is_refused(echo):
    with open_echo(echo, None) as ws:
        try:
            ws.send(iter(["x"] * 65_537))
        except ConnectionClosed:
            pass
        with pytest.raises(ConnectionClosed) as caught:
            ws.recv(timeout=DEADLINE)
        assert caught.value.rcvd is not None and caught.value.rcvd.code == 1009


def test_one_byte_more_is_refused(echo):
    with open_echo(echo, None) as ws:
        try:
            ws.send(bytes(MESSAGE_MAX + 1))
        except ConnectionClosed:
            pass
        with pytest.raises(ConnectionClosed) as caught:
            ws.recv(timeout=DEADLINE)
        assert caught.value.rcvd is not None and caught.value.rcvd.code == 1009


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_many_messages_come_back_in_order(echo, compression):
    generator = random.Random(20130101)
    messages = [str(n) * generator.randrange(1, 300) for n in range(500)]
    with open_echo(echo, compression) as ws:
        for start in range(0, len(messages), 50):
            for message in messages[start : start + 50]:
                ws.send(message)
            assert [ws.recv(timeout=DEADLINE) for _ in range(50)] == messages[start : start + 50]


def test_random_fragments(echo):
    generator = random.Random(20130102)
    with open_echo(echo, "deflate") as ws:
        for _ in range(50):
            message = generator.randbytes(generator.randrange(1, 50_000))
            cuts = sorted(generator.randrange(len(message) + 1) for _ in range(generator.randrange(20)))
            ws.send(iter([message[a:b] for a, b in zip([0] + cuts, cuts + [len(message)])]))
            assert ws.recv(timeout=DEADLINE) == message


def test_ping_and_close(echo):
    ws = open_echo(echo, None)
    assert ws.ping(b"x" * 125).wait(DEADLINE)
    ws.close(4321, "that is all")
    assert (ws.close_code, ws.protocol.close_rcvd.code) == (4321, 4321)
