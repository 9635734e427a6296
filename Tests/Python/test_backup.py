"""A log copied while it is written, as docs/operations.md says, is whole, and everything is made of it again."""

import json
import re
import shutil
import subprocess
import time
import urllib.request

from conftest import BUILD, DEADLINE, ROOT, WEATHER, Penstock, event, eventually, wait_for_ack

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


def commands_of_the_page():
    """The commands of docs/operations.md for a copy of the files, up to its check."""
    page = (ROOT / "docs" / "operations.md").read_text()
    part = page[page.index("## Backup and restore"):page.index("**An export**")]
    return [line[2:] for line in part.splitlines() if line.startswith("$ ") and "penstock" not in line]


def penstock(service, *arguments, fails=False):
    done = subprocess.run([str(BUILD / "penstock"), *arguments, "--url", f"http://127.0.0.1:{service.ports['query']}"], capture_output=True, text=True,
                          timeout=DEADLINE)
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done.stdout


def everything(service, views):
    """Each view's generations, and the rows of the kept ones."""
    seen = {}
    for view in views:
        shown = json.loads(penstock(service, "view", "show", view, "--output", "json"))
        seen[view] = [(one["generation"], one["state"], one["created_at"], one["hash"], one["definition"]) for one in shown]
        for one in shown:
            if one["state"] in ("cancelled", "dropped"):
                continue
            url = f"http://127.0.0.1:{service.ports['query']}/v1/views/{view}?generation={one['generation']}&limit=100000"
            with urllib.request.urlopen(url, timeout=DEADLINE) as answer:
                found = json.load(answer)
            seen[view].append((one["generation"], found["as_of"], [{**row, "final": None} for row in found["rows"]]))
    with urllib.request.urlopen(f"http://127.0.0.1:{service.ports['query']}/v1/views", timeout=DEADLINE) as answer:
        seen["live"] = {view["name"]: view["generation"] for view in json.load(answer)["views"]}
    return seen


def test_what_the_page_says_to_keep_brings_every_view_back(tmp_path):
    """Definitions applied, promotions, a rollback and a removal: all of it is in what is copied, and in nothing else."""
    first = tmp_path / "first"
    first.mkdir()
    service = Penstock(first)
    lasting = first / "applied.yaml"
    lasting.write_text("views:\n" + "".join(
        f"  {name}:\n    key: [source]\n    window: {{ tumble: {size} }}\n    aggregates: {{ n: count(), t: avg(data.temp) }}\n"
        for name, size in (("hourly", "1h"), ("promoted", "2h"), ("rolled_back", "1h"), ("gone", "1h"))))
    wider = first / "wider.yaml"
    wider.write_text(lasting.read_text().replace("  rolled_back:\n    key: [source]\n    window: { tumble: 1h }",
                                                 "  rolled_back:\n    key: [source]\n    window: { tumble: 1d }"))
    views = ["weather_daily", "hourly", "promoted", "rolled_back"]
    try:
        sent = subprocess.run([str(BUILD / "penstock"), "send", str(WEATHER), "--url", f"ws://127.0.0.1:{service.ports['ingest']}/v1/stream"],
                              capture_output=True, text=True, timeout=DEADLINE)
        assert sent.returncode == 0, sent.stderr
        penstock(service, "view", "apply", str(lasting))
        penstock(service, "replay", "promoted", "--allowed-lateness", "400d", "--promote")
        penstock(service, "view", "apply", str(wider))
        eventually(lambda: '"live"' in penstock(service, "view", "show", "rolled_back", "--output", "json").split('"generation":2')[1])
        penstock(service, "view", "rollback", "rolled_back")
        penstock(service, "replay", "hourly", "--to", "2013-02-01")
        penstock(service, "view", "remove", "gone")
        eventually(lambda: not any(view["pending"] for view in overview(service)["views"]))
        before = everything(service, views)
        assert before["live"] == {"weather_daily": 1, "hourly": 1, "promoted": 2, "rolled_back": 1}
        exported = penstock(service, "view", "export")
        for command in commands_of_the_page():
            done = subprocess.run(["bash", "-c", command], cwd=first, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
    finally:
        assert service.stop() == 0
    assert not (first / "backup" / "compute").exists()
    second = tmp_path / "second"
    second.mkdir()
    shutil.move(first / "backup", second / "data")
    restored = Penstock(second)
    try:
        eventually(lambda: all(
            one["events_done"] == one["events_total"] for view in views
            for one in json.loads(penstock(restored, "view", "show", view, "--output", "json"))))
        assert everything(restored, views) == before
        assert penstock(restored, "view", "export") == exported
        penstock(restored, "view", "show", "gone", fails=True)
        # The definition last asked for is known, too; and a removed view can still be brought back.
        assert '"action":"created"' not in penstock(restored, "view", "apply", str(wider), "--output", "json").replace(" ", "")
        shown = json.loads(penstock(restored, "view", "show", "gone", "--output", "json"))
        assert [one["generation"] for one in shown] == [1]
    finally:
        assert restored.stop() == 0


def test_a_record_cut_short_or_damaged_is_told(tmp_path):
    service = Penstock(tmp_path)
    for number in range(3):
        service_views = tmp_path / f"{number}.yaml"
        service_views.write_text(f"views:\n  v{number}:\n    window: {{ tumble: 1h }}\n    aggregates: {{ n: count() }}\n")
        penstock(service, "view", "apply", str(service_views))
    assert service.stop() == 0
    record = tmp_path / "data" / "log" / "penstock.views"
    whole = record.read_bytes()
    assert whole[:4] == b"PNV1" and whole[64:68] == b"PNVE"
    # A change that was being written when the power went: it was answered to nobody.
    record.write_bytes(whole[:-10])
    service = Penstock(tmp_path)
    with urllib.request.urlopen(f"http://127.0.0.1:{service.ports['query']}/v1/views", timeout=DEADLINE) as answer:
        assert [view["name"] for view in json.load(answer)["views"]] == ["weather_daily", "v0", "v1"]
    assert service.stop() == 0
    # Damage before the end is another matter.
    damaged = bytearray(whole)
    damaged[100] ^= 1
    record.write_bytes(damaged)
    verified = subprocess.run([str(BUILD / "penstock"), "log", "verify", "--data", str(tmp_path / "data")], capture_output=True, text=True, timeout=DEADLINE)
    assert verified.returncode == 3 and "penstock.views" in verified.stdout + verified.stderr, verified.stdout + verified.stderr
    started = subprocess.run(
        [str(BUILD / "penstock"), "up", "--config", str(tmp_path / "penstock.yaml"), "--data", str(tmp_path / "data"), "--views", str(tmp_path / "views.yaml")],
        capture_output=True, text=True, timeout=DEADLINE)
    assert started.returncode == 1 and re.search(r"penstock\.views is damaged at byte 64", started.stderr), started.stderr
    # Moved away, compute's copy begins it anew.
    record.rename(tmp_path / "aside")
    service = Penstock(tmp_path)
    with urllib.request.urlopen(f"http://127.0.0.1:{service.ports['query']}/v1/views", timeout=DEADLINE) as answer:
        assert [view["name"] for view in json.load(answer)["views"]] == ["weather_daily", "v0", "v1"]
    assert service.stop() == 0 and record.exists()


def overview(service):
    with urllib.request.urlopen(f"http://127.0.0.1:{service.ports['query']}/v1/overview", timeout=DEADLINE) as answer:
        return json.load(answer)
