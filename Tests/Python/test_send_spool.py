"""A kill -9 of `penstock send --spool` between reading and the acknowledgement loses nothing."""

import contextlib
import json
import os
import pathlib
import random
import signal
import sqlite3
import subprocess

from conftest import BUILD, eventually, free_port
from test_device_client import stored, url


def send(port, spool, **options):
    return subprocess.Popen(
        [str(BUILD / "penstock"), "send", "-", "--url", url(port), "--spool", str(spool), "--batch", "10", "--output", "json"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def lines(source, numbers):
    return "".join(
        json.dumps({
            "source": source, "type": "test.reading", "sequence": n, "time": "2024-05-01T12:00:00Z", "data": {"value": n},
        }) + "\n" for n in numbers)


def sequences(penstock, source):
    return [event["sequence"] for event in stored(penstock.ports["query"], source)]


def left(spool):
    with contextlib.closing(sqlite3.connect(spool)) as database:
        return database.execute("SELECT count(*) FROM event").fetchone()[0]


def finish(sender, text=""):
    output, errors = sender.communicate(text, timeout=60)
    assert sender.returncode == 0, errors
    return json.loads(output)[0]


def test_what_was_read_while_no_server_was_there_is_sent_by_the_next_run(penstock, tmp_path):
    spool = tmp_path / "spool"
    sender = send(free_port(), spool)
    sender.stdin.write(lines("spool/away", range(1, 101)))
    sender.stdin.flush()
    log = pathlib.Path(f"{spool}-wal")
    eventually(lambda: log.exists() and b'"sequence": 100' in log.read_bytes())
    sender.send_signal(signal.SIGKILL)
    sender.communicate()
    assert left(spool) == 100
    assert os.stat(spool).st_mode & 0o777 == 0o600

    counts = finish(send(penstock.ports["ingest"], spool), lines("spool/away", [101]))
    assert (counts["sent"], counts["appended"], counts["rejected"]) == (101, 101, 0)
    assert sequences(penstock, "spool/away") == list(range(1, 102))
    assert left(spool) == 0


def test_killed_again_and_again_each_event_is_there_once_and_in_order(penstock, tmp_path):
    seed = int(os.environ.get("PENSTOCK_SEED", random.randrange(1 << 32)))
    print("seed", seed)
    chance = random.Random(seed)
    spool = tmp_path / "spool"
    numbers = iter(range(1, 20_001))
    for _ in range(5):
        sender = send(penstock.ports["ingest"], spool)
        batch = [next(numbers) for _ in range(2000)]
        sender.stdin.write(lines("spool/kills", batch))
        sender.stdin.flush()
        wanted = chance.choice(batch)
        eventually(lambda: wanted in sequences(penstock, "spool/kills"))
        sender.send_signal(signal.SIGKILL)
        sender.communicate()
    finish(send(penstock.ports["ingest"], spool))
    found = sequences(penstock, "spool/kills")
    # Events that were read and not in the spool yet are gone with the process; those in the spool are there once.
    assert len(found) >= 5 and found == sorted(set(found)), f"seed {seed}"
    assert left(spool) == 0


def test_a_spool_is_of_one_connection_and_one_process(penstock, tmp_path):
    sender = send(penstock.ports["ingest"], tmp_path / "spool")
    eventually(lambda: (tmp_path / "spool").exists())
    for arguments, said in ((["--connections", "2"], "one connection"), ([], "in use")):
        other = subprocess.run(
            [str(BUILD / "penstock"), "send", "-", "--url", url(penstock.ports["ingest"]), "--spool", str(tmp_path / "spool"), *arguments],
            input="", capture_output=True, text=True)
        assert other.returncode == 2 and said in other.stderr, other.stderr
    finish(sender)
