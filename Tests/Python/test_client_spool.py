"""A crash of the device loses nothing with a spool, or with the caller's own numbers."""

import os
import pathlib
import random
import signal
import sqlite3
import subprocess
import sys

import pytest
from test_client_retries import Swallowing
from test_device_client import CLIENT, client, reading, run, stored, url

PROGRAM = """
import asyncio, sys
sys.path.insert(0, sys.argv[1])
import penstock

async def main(url, source, spool, count):
    async with penstock.Device(url, source, spool=spool, window=4, batch=5) as device:
        # The reading's number follows from the sequence: what the spool has taken is not read again.
        while (number := device.next_sequence - 1) < count:
            await device.send_many(
                {"type": "test.reading", "time": "2024-05-01T12:00:00Z", "data": {"value": n}} for n in range(number, min(number + 7, count)))
            print(number, flush=True)
        await device.flush()

asyncio.run(main(sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5])))
"""


def test_a_device_killed_again_and_again_has_each_reading_there_once(penstock, tmp_path):
    seed = int(os.environ.get("PENSTOCK_SEED", random.randrange(1 << 32)))
    print("seed", seed)
    chance = random.Random(seed)
    arguments = [
        sys.executable, "-c", PROGRAM, str(CLIENT / "src"), url(penstock.ports["ingest"]), "spool/killed", str(tmp_path / "spool"), "1500"]
    kills = 0
    while True:
        device = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(chance.randrange(1, 60)):
            if not device.stdout.readline():
                break
        if device.poll() is None and kills < 8:
            device.send_signal(signal.SIGKILL)
            kills += 1
            device.communicate()
            continue
        _, errors = device.communicate()
        assert device.returncode == 0, errors
        break
    assert kills >= 2
    events = stored(penstock.ports["query"], "spool/killed")
    assert [event["data"]["value"] for event in events] == list(range(1500)), f"seed {seed}"
    assert [event["sequence"] for event in events] == list(range(1, 1501)), f"seed {seed}"


def test_what_no_server_took_is_sent_by_the_next_run(penstock, tmp_path):
    async def go_down():
        cut = Swallowing(penstock.ports["ingest"])
        async with cut as port:
            device = client.Device(url(port), "spool/left", spool=tmp_path / "spool", reconnect_for=0.5)
            await device.__aenter__()
            cut.server.close()
            with pytest.raises(client.ConnectionLost):
                for n in range(5):
                    await device.send(reading(n))
                await device.flush()
            await device.close()

    async def come_back():
        async with client.Device(url(penstock.ports["ingest"]), "spool/left", spool=tmp_path / "spool") as device:
            taken = device.next_sequence - 1
            await device.send(reading(taken))
            await device.flush()
            return taken, device.counts

    run(go_down())
    taken, counts = run(come_back())
    assert 1 <= taken <= 5
    assert counts.sent == taken + 1 == counts.appended + counts.resumed
    assert [event["data"]["value"] for event in stored(penstock.ports["query"], "spool/left")] == list(range(taken + 1))
    left = sqlite3.connect(tmp_path / "spool").execute("SELECT count(*) FROM event").fetchone()
    assert left == (0,)


def test_a_spool_is_of_one_source_and_one_process(penstock, tmp_path):
    spool = tmp_path / "spool"

    async def open_as(source, inner=None):
        async with client.Device(url(penstock.ports["ingest"]), source, spool=spool):
            if inner is not None:
                await inner

    run(open_as("spool/one"))
    assert spool.stat().st_mode & 0o777 == 0o600
    with pytest.raises(client.SpoolError, match="is of the source 'spool/one'"):
        run(open_as("spool/other"))
    with pytest.raises(client.SpoolError, match="in use"):
        run(open_as("spool/one", open_as("spool/one")))
    spool.write_bytes(b"no database at all, but long enough to be taken for one" * 100)
    with pytest.raises(client.SpoolError, match="not a database"):
        run(open_as("spool/one"))
    # Nothing holds it open still.
    pathlib.Path(spool).unlink()
    run(open_as("spool/other"))


def test_events_of_the_callers_numbering_are_known_after_a_crash_of_the_device(penstock):
    async def send(members, drop):
        events = [dict(reading(n), **members(n)) for n in range(30)]
        through = Swallowing(penstock.ports["ingest"])
        async with through as port:
            to = port if drop else penstock.ports["ingest"]
            async with client.Device(url(to), "spool/caller", number=False, batch=10, compress=False) as device:
                await device.send_many(events)
                await device.flush()
                return device.counts

    first = run(send(lambda n: {"id": f"r{n}"}, drop=True))
    assert (first.sent, first.appended + first.resumed, first.duplicates, first.reconnects) == (30, 30, 0, 1)
    again = run(send(lambda n: {"id": f"r{n}"}, drop=False))
    assert (again.sent, again.appended, again.duplicates) == (30, 0, 30)
    numbered = run(send(lambda n: {"sequence": 100 + n}, drop=False))
    assert (numbered.sent, numbered.appended) == (30, 30)
    assert run(send(lambda n: {"sequence": str(100 + n)}, drop=False)).duplicates == 30
    values = [event["data"]["value"] for event in stored(penstock.ports["query"], "spool/caller")]
    assert values == list(range(30)) * 2

    async def neither():
        async with client.Device(url(penstock.ports["ingest"]), "spool/caller", number=False) as device:
            with pytest.raises(client.InvalidEvent, match="needs a sequence or an id"):
                await device.send(reading(1))

    run(neither())
