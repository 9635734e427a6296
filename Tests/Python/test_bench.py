"""A small run of each benchmark: its result hash shows that it still does the work that it measures. A hash changes only with the work."""

import json
import queue
import subprocess
import threading

from conftest import BUILD, DEADLINE
from websockets.sync.server import serve

# The view that ops/bench loads.
VIEWS = """
views:
  per_minute:
    where: type == "reading"
    key: [source]
    window: { tumble: 1m }
    watermark_delay: 1m
    allowed_lateness: 10m
    retention: 1d
    aggregates: { readings: count(), total: sum(data.value), least: min(data.value), most: max(data.value) }
"""



def fleet_hash(connections, sources, batch, messages, sequence):
    """The result hash of a fleet's run, from what its devices send: FNV-1a over each one's count, sum, least and greatest."""
    values = {}
    for connection in range(connections):
        for number in range(messages * batch):
            event = number % batch
            source = connection * sources + (sequence + 1 + number) % sources
            values.setdefault(f"device/{source:07}", []).append((10 + event % 90) * 1000 + (10 + event * 7 % 90) * 10)
    found = 0xCBF29CE484222325
    for source, those in sorted(values.items()):
        numbers = [len(those), sum(those), min(those), max(those)]
        for byte in source.encode() + b"\xff" + b"".join(number.to_bytes(8, "little") for number in numbers):
            found = (found ^ byte) * 0x100000001B3 % 2**64
    return f"{found:016x}"


def bench(*arguments):
    found = subprocess.run([str(BUILD / "bench"), *map(str, arguments)], capture_output=True, text=True, timeout=DEADLINE)
    print(found.stdout, found.stderr)
    assert found.returncode == 0, found.stderr
    return found.stdout


def test_the_parts_do_the_work_that_they_measure():
    assert {line.split()[0] for line in bench("check").splitlines()} >= {"load", "runs"}


def test_a_small_fleet_is_counted_once_and_each_device_has_its_events(start_penstock):
    service = start_penstock(views=VIEWS)
    arguments = ["--port", service.ports["ingest"], "--query-port", service.ports["query"], "--server-pid", service.process.pid]
    fleet = ["--connections", 20, "--sources", 50, "--batch", 10, "--pipeline", 4, "--messages", 15, "--sequence", 10**15]
    out = bench("fleet", *arguments, *fleet, "--hash")
    assert "fleet  the ledger adds up: 3000 appended, no duplicates, none rejected; per_minute has applied 3000" in out
    assert out.splitlines()[-1] == f"fleet  result hash {fleet_hash(20, 50, 10, 15, 10**15)}"
    # The same again: nothing is appended, and the run says so.
    again = subprocess.run([str(BUILD / "bench"), "fleet", *map(str, arguments + fleet)], capture_output=True, text=True, timeout=DEADLINE)
    assert again.returncode != 0 and "3000 events are acknowledged, of which ingest says: appended 0" in again.stderr


def test_a_load_of_waiting_connections_is_answered_in_full(start_penstock):
    service = start_penstock(views=VIEWS)
    out = bench("load", "--port", service.ports["ingest"], "--connections", 50, "--batch", 1, "--pipeline", 1, "--seconds", 0.3, "--warm-up", 0.1)
    assert "events/s acked" in out and "REJECTED" not in out


def test_a_simulated_device_that_waits_sends_nothing_before_its_answer():
    """The server holds back what it has received; it then gets one more of each device that it answers for, and only that."""
    received, connections = queue.Queue(), queue.Queue()

    def handle(ws):
        connections.put(ws)
        ws.send(json.dumps({"kind": "welcome", "heartbeat": "30s", "limits": {"message_bytes": 1 << 20, "unacked_messages": 1024}, "resume": {}}))
        for message in ws:
            received.put(json.loads(message))

    with serve(handle, "127.0.0.1", 0, subprotocols=["penstock.v1"], compression=None) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        arguments = ["--devices", "3", "--connections", "1", "--every", "1ms", "--duration", "4ms", "--rate", "100000", "--wait", "--output", "json"]
        command = [str(BUILD / "penstock"), "simulate", "--url", f"ws://127.0.0.1:{server.socket.getsockname()[1]}/v1/stream", *arguments]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            ws = connections.get(timeout=DEADLINE)
            waiting, answered, messages, open_ = {}, 0, 0, []
            while answered < 12:
                message = received.get(timeout=DEADLINE)
                message = message if isinstance(message, list) else [message]
                open_.append(message)
                for one in message:
                    assert waiting.setdefault(one["source"], 0) == one["sequence"] - 1, "it sent without an answer to its last"
                # Now and then all that is there, oldest first; a device that is not answered for stays silent meanwhile.
                if sum(map(len, open_)) == 3 or answered + sum(map(len, open_)) == 12:
                    while open_:
                        for one in open_.pop(0):
                            waiting[one["source"]] = one["sequence"]
                            answered += 1
                        messages += 1
                    ws.send(json.dumps({"kind": "ack", "messages": messages, "appended": answered, "duplicates": 0, "rejected": 0, "offsets": {"0": answered}}))
            counts = json.loads(process.communicate(timeout=DEADLINE)[0])[0]
        server.shutdown()
    assert counts["sent"] == counts["appended"] == 12
