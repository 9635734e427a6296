"""A log copied while it is written, as docs/operations.md says, is whole, and everything is made of it again."""

import json
import shutil
import subprocess
import time
import urllib.request

from conftest import BUILD, DEADLINE, Penstock, event, wait_for_ack

# As in docs/operations.md: the marks of what is durable first, then the rest, and nothing twice.
BACKUP = "mkdir -p backup && (cd data && cp --parents log/*/high-watermark ../backup/) && cp -rn data/log backup/"


def test_copies_of_a_log_that_is_written_are_whole_and_serve(tmp_path):
    first = tmp_path / "first"
    first.mkdir()
    service = Penstock(first, "log.segment_bytes_max=1MiB")
    fleet = subprocess.Popen(
        [str(BUILD / "penstock"), "simulate", "--devices", "20", "--rate", "20000", "--duration", "8s", "--url",
         f"ws://127.0.0.1:{service.ports['ingest']}/v1/stream"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        last = 0
        for number in range(4):
            # Each is of a later moment than the one before.
            deadline = time.monotonic() + DEADLINE
            while (appended := overview(service)["appended"]) <= last:
                assert time.monotonic() < deadline, "the fleet has stopped sending"
                time.sleep(0.05)
            last = appended
            shutil.rmtree(first / "backup", ignore_errors=True)
            done = subprocess.run(["bash", "-c", BACKUP], cwd=first, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            verified = subprocess.run([str(BUILD / "penstock"), "log", "verify", "--data", str(first / "backup"), "--output", "json"],
                                      capture_output=True, text=True)
            assert verified.returncode == 0, verified.stdout + verified.stderr
            assert sum(one["events"] for one in json.loads(verified.stdout)) >= appended, "what was counted before the copy is in it"
    finally:
        fleet.kill()
        fleet.wait()
        service.stop()
    second = tmp_path / "second"
    second.mkdir()
    shutil.move(first / "backup", second / "data")
    restored = Penstock(second, "log.segment_bytes_max=1MiB")
    try:
        with restored.connect() as ws:
            ws.recv(timeout=DEADLINE)
            ws.send(json.dumps(event("after/restore", 1)))
            wait_for_ack(ws, 1)
        deadline = time.monotonic() + DEADLINE
        while (now := overview(restored))["views"][0]["pending"] and time.monotonic() < deadline:
            time.sleep(0.05)
        view = now["views"][0]
        assert view["appended"] == view["applied"] + view["filtered"] + view["late"] >= last + 1
    finally:
        assert restored.stop() == 0


def overview(service):
    with urllib.request.urlopen(f"http://127.0.0.1:{service.ports['query']}/v1/overview", timeout=DEADLINE) as answer:
        return json.load(answer)
