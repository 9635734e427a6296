"""Retention forced past what a view has counted, and the way on: docs/operations.md, "When the log no longer reaches back"."""

import json
import shutil
import signal
import subprocess
import urllib.error
import urllib.parse
import urllib.request

import pytest
from conftest import BUILD, DEADLINE, WEATHER, Service, event, eventually


def ask(service, path, body=None):
    """Status and JSON of an answer, whatever its status."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{service.ports['query']}{path}", data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)



def penstock(*arguments):
    return subprocess.run([str(BUILD / "penstock"), *arguments], capture_output=True, text=True)


def test_a_view_behind_the_logs_start_says_so_and_a_replay_makes_one_of_what_is_left(start_penstock, tmp_path, weather):
    settings = ("log.partitions=1", "log.segment_bytes_max=1MiB")
    data = tmp_path / "data"
    few = tmp_path / "few.ndjson"
    few.write_text("\n".join(weather[:100]) + "\n")
    service = start_penstock(*settings)
    assert penstock("send", str(few), "--url", f"ws://127.0.0.1:{service.ports['ingest']}/v1/stream").returncode == 0
    eventually(lambda: ask(service, "/v1/views/weather_daily?after=" + urllib.parse.quote('{"0":100}'))[0] == 200)
    service.stop()
    # A view's state of then, as a backup has it.
    shutil.copytree(data / "compute", tmp_path / "compute")

    service = start_penstock(*settings)
    sent = penstock("send", str(WEATHER), "--url", f"ws://127.0.0.1:{service.ports['ingest']}/v1/stream", "--output", "json")
    assert sent.returncode == 0, sent.stderr
    service.stop()
    kept = penstock("log", "retain", "--data", str(data), "--bytes", "1MiB")
    assert kept.returncode == 0, kept.stderr
    forced = penstock("log", "retain", "--data", str(data), "--bytes", "1MiB", "--force")
    assert forced.returncode == 0, forced.stderr
    start = json.loads(penstock("log", "list", "--data", str(data), "--output", "json").stdout)[0]["start_offset"]
    assert start > 100, "segments have gone"
    shutil.rmtree(data / "compute")
    shutil.copytree(tmp_path / "compute", data / "compute")

    service = start_penstock(*settings)
    status, ready = eventually(lambda: (answer := ask(service, "/readyz"))[0] == 503 and answer)
    assert f"{start}" in json.dumps(ready), "it says where the log now starts"
    status, shown = ask(service, "/v1/views/weather_daily/generations")
    assert f"{start}" in shown["generations"][0]["problem"]
    # Rows as of then are still answered, and say what they are as of.
    status, rows = ask(service, "/v1/views/weather_daily?limit=1")
    assert (status, rows["as_of"]) == (200, {"0": 100})
    # Nobody waits for deleted events, so nothing that looks settled hides them.
    end = sum(partition["high_watermark"] for partition in ask(service, "/v1/ledger")[1]["log"])
    status, ledger = ask(service, "/v1/ledger")
    (view,) = ledger["views"]
    counted = view["applied"] + view["filtered"] + view["late"]
    assert (counted, view["gone"], view["pending"], view["appended"]) == (100, start - 100, end - start, end), ledger
    assert (ledger["balanced"], view["balanced"], view["partitions"][0]["balanced"]) == (False, False, False), ledger
    assert ask(service, "/v1/overview")[1]["views"][0]["gone"] == start - 100
    top = penstock("top", "--once", "--interval", "100ms", "--url", f"http://127.0.0.1:{service.ports['query']}")
    assert "the ledger does not add up" in top.stdout and f"{start - 100:,} gone by retention" in top.stdout, top.stdout + top.stderr
    # Nor does it go on with what comes then, as if nothing were missing; a restart changes nothing of that.
    more = tmp_path / "more.ndjson"
    more.write_text(json.dumps(event("after/retention", 1)) + "\n")
    assert penstock("send", str(more), "--url", f"ws://127.0.0.1:{service.ports['ingest']}/v1/stream").returncode == 0
    # Its ledger is known not to add up.
    Service.stop(service, signal.SIGKILL)
    service = start_penstock(*settings)
    eventually(lambda: ask(service, "/readyz")[0] == 503)
    assert ask(service, "/v1/views/weather_daily?limit=1")[1]["as_of"] == {"0": 100}
    (view,) = ask(service, "/v1/ledger")[1]["views"]
    assert (view["gone"], view["pending"]) == (start - 100, end + 1 - start), view
    # Below its start, the log says where it starts.
    status, past = ask(service, "/v1/views/weather_daily?as_of=" + urllib.parse.quote('{"0":50}'))
    assert (status, past["code"], past["log_starts"]) == (410, "as_of_unreachable", {"0": start})
    # The way on: a generation of what is left.
    url = f"http://127.0.0.1:{service.ports['query']}"
    replayed = penstock("replay", "weather_daily", "--promote", "--url", url)
    assert replayed.returncode == 0, replayed.stderr
    assert eventually(lambda: (answer := ask(service, "/v1/views/weather_daily?limit=1"))[1].get("generation") == 2 and answer)[0] == 200
    status, ledger = ask(service, "/v1/ledger")
    (view,) = ledger["views"]
    assert ledger["balanced"] is True and view["partitions"][0]["first_offset"] == start, ledger
    verified = penstock("view", "verify", "weather_daily", "--url", url)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    # The one that cannot go on is still there for a rollback, and still says so; once it is dropped, all is well.
    assert penstock("view", "drop", "weather_daily", "--generation", "1", "--url", url).returncode == 0
    eventually(lambda: ask(service, "/readyz")[0] == 200)
