"""`penstock log …`: beside a running server and without one, and what becomes of a log that is damaged or a disk that is full."""

import gzip
import http.client
import json
import pathlib
import signal
import subprocess
import urllib.parse

import pytest
from conftest import BUILD, DEADLINE, WEATHER, Penstock, event, receive, wait_for_ack
from websockets.exceptions import ConnectionClosed


def run(*arguments, code=0):
    done = subprocess.run([str(BUILD / "penstock"), *map(str, arguments)], capture_output=True, timeout=DEADLINE)
    assert done.returncode == code, (arguments, done.returncode, done.stderr.decode())
    return done


def log(command, data, *arguments, code=0):
    return run("log", command, "--data", data, *arguments, code=code)


def get(service, path):
    connection = http.client.HTTPConnection("127.0.0.1", service.ports["query"], timeout=DEADLINE)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        content = response.read()
        assert response.status == 200, content
        return json.loads(content)
    finally:
        connection.close()


def rows(service, offsets):
    after = urllib.parse.quote(json.dumps(offsets))
    return get(service, f"/v1/views/weather_daily?after={after}&timeout=60s&limit=5000")["rows"]


def send(service, file):
    done = run("send", file, "--url", f"ws://127.0.0.1:{service.ports['ingest']}/v1/stream", "--output", "json")
    return json.loads(done.stdout)[0]


def offsets_of(data):
    return {str(row["partition"]): row["high_watermark"] for row in json.loads(log("list", data, "--output", "json").stdout)}


def snapshot(data):
    return {str(path): path.read_bytes() for path in sorted(pathlib.Path(data, "log").rglob("*")) if path.is_file()}


def test_a_live_log_is_listed_inspected_verified_exported_and_taken_in_again(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir(), second.mkdir()
    service = Penstock(first)
    try:
        assert send(service, WEATHER)["appended"] == 26115
        with service.connect("/v1/stream?source=odd") as ws:
            receive(ws, "welcome")
            odd = event("odd", 7, epoch=3, id="x\"y", subject="ü", comexample="z", data={"deep": {"er": [1, {"a": None}], "n": 1e300}})
            ws.send(json.dumps(odd))
            wait_for_ack(ws, 1)
        data = first / "data"
        before = snapshot(data)

        listed = json.loads(log("list", data, "--output", "json").stdout)
        assert sum(row["events"] for row in listed) == 26116 and len(listed) == 8
        assert "high_watermark" in log("list", data).stdout.decode()
        assert log("list", data, "--segments", "-o", "csv").stdout.startswith(b"partition,start_offset,end_offset")

        partition = next(row["partition"] for row in listed if row["events"] > 1000)
        batches = json.loads(log("inspect", data, "--partition", partition, "--from", 117, "--limit", 5).stdout)
        found = [one for batch in batches for one in batch["events"]]
        assert [one["logoffset"] for one in found] == [117, 118, 119, 120, 121]
        assert all(batch["base_offset"] <= 121 and batch["count"] == batch["end_offset"] - batch["base_offset"] for batch in batches)
        late = json.loads(log("inspect", data, "--partition", partition, "--time", "2013-12-30").stdout)
        assert late and all(one["time"] >= "2013-12-30" for batch in late for one in batch["events"])

        verified = json.loads(log("verify", data, "-o", "json").stdout)
        assert sum(row["events"] for row in verified) == 26116 and all(row["findings"] == [] for row in verified)

        export = tmp_path / "all.ndjson.gz"
        assert b"26,116 events" in log("export", data, export).stderr
        with gzip.open(export, "rt") as file:
            lines = [json.loads(line) for line in file]
        assert len(lines) == 26116
        assert [line for line in lines if line["source"] == "odd"] == [{"specversion": "1.0", **odd}]
        january = log("export", data, "--from", "2013-01-01", "--to", "2013-02-01").stdout.splitlines()
        assert len(january) == sum("2013-01" <= line["time"] < "2013-02" for line in lines) > 2000
        log("export", data, "--gzip", "--partition", partition)

        assert snapshot(data) == before, "reading has changed the log"
        assert b"another process" in log("repair", data, code=1).stderr

        again = Penstock(second)
        try:
            assert send(again, export)["appended"] == 26116
            assert send(again, export)["duplicates"] == 26116
            want = rows(service, offsets_of(data))
            assert want and rows(again, offsets_of(second / "data")) == want
        finally:
            assert again.stop() == 0
        assert log("export", second / "data").stdout == log("export", data).stdout
    finally:
        assert service.stop() == 0
    log("verify", data)


def test_a_damaged_log_is_told_of_with_3_and_repaired_when_agreed_to(tmp_path, start_penstock):
    service = start_penstock("log.partitions=1")
    with service.connect() as ws:
        receive(ws, "welcome")
        for sequence in range(1, 6):
            ws.send(json.dumps(event("s", sequence)))
            wait_for_ack(ws, sequence)
    assert service.stop() == 0
    data = tmp_path / "data"
    segment = data / "log" / "0" / ("0" * 20 + ".segment")
    original = segment.read_bytes()
    third = json.loads(log("inspect", data, "--headers").stdout)[2]
    damaged = bytearray(original)
    damaged[third["position"] + 80] ^= 1
    segment.write_bytes(damaged)

    told = log("verify", data, code=3).stderr.decode()
    assert f"byte {third['position']}" in told and segment.name in told
    refused = start_penstock("log.partitions=1")
    connection = http.client.HTTPConnection("127.0.0.1", refused.ports["query"], timeout=DEADLINE)
    connection.request("GET", "/readyz")
    answer = connection.getresponse()
    assert answer.status == 503 and b"penstock log repair" in answer.read()
    refused.stop(signal.SIGKILL)

    assert b"nothing was changed" in log("repair", data, code=1).stderr
    assert segment.read_bytes() == bytes(damaged)
    plan = json.loads(log("repair", data, "--yes", "--output", "json").stdout)
    assert plan[0]["end_offset"] == third["base_offset"] == 2 and plan[0]["lost_to"] == 5
    assert segment.read_bytes() == original[: third["position"]]
    aside = list((data / "log-damaged").rglob(segment.name))
    assert [path.read_bytes() for path in aside] == [bytes(damaged)]
    log("verify", data)
    assert b"nothing is to be repaired" in log("repair", data).stderr

    # The views had counted what is lost: they are computed anew.
    (data / "compute").rename(tmp_path / "compute-before")
    service = start_penstock("log.partitions=1")
    with service.connect("/v1/stream?source=s") as ws:
        assert receive(ws, "welcome")["resume"] == {"s": {"epoch": 0, "sequence": 2}}
        ws.send(json.dumps([event("s", sequence) for sequence in range(1, 6)]))
        assert wait_for_ack(ws, 1)["appended"] == 3
    assert service.stop() == 0


def test_while_the_reserve_of_the_disk_is_used_ingest_says_503_and_1013_and_is_not_ready(start_penstock):
    service = start_penstock("log.disk_reserve=1TiB", "log.partitions=2")
    connection = http.client.HTTPConnection("127.0.0.1", service.ports["ingest"], timeout=DEADLINE)
    connection.request("POST", "/v1/events", json.dumps(event("s", 1)), {"Content-Type": "application/cloudevents+json"})
    answer = connection.getresponse()
    body = json.loads(answer.read())
    assert (answer.status, body["code"]) == (503, "log_disk_full") and int(answer.headers["Retry-After"]) > 0
    with service.connect() as ws:
        receive(ws, "welcome")
        ws.send(json.dumps(event("s", 1)))
        with pytest.raises(ConnectionClosed) as closed:
            ws.recv(timeout=DEADLINE)
        assert closed.value.rcvd.code == 1013
    connection.request("GET", "/readyz")
    answer = connection.getresponse()
    assert answer.status == 503 and b"disk" in answer.read()


def test_simulated_devices_are_answered_for_and_a_second_run_is_new(start_penstock):
    service = start_penstock()
    arguments = ["simulate", "--devices", 20, "--rate", 2000, "--duration", "500ms", "--connections", 3, "--output", "json"]
    arguments += ["--url", f"ws://127.0.0.1:{service.ports['ingest']}/v1/stream"]
    for epoch in (1, 2):
        counts = json.loads(run(*arguments, "--epoch", epoch).stdout)[0]
        assert counts["sent"] == counts["appended"] > 0 and counts["ack_p99_ms"] >= counts["ack_p50_ms"] > 0
    assert json.loads(run(*arguments, "--epoch", 2).stdout)[0]["duplicates"] > 0


def test_retain_shows_and_deletes_only_when_forced(tmp_path, start_penstock):
    service = start_penstock("log.partitions=1", "log.segment_bytes_max=1MiB")
    url = f"ws://127.0.0.1:{service.ports['ingest']}/v1/stream"
    send(service, WEATHER)
    run("simulate", "--devices", 2000, "--rate", 60000, "--duration", "1500ms", "--batch", 1000, "--url", url)
    assert service.stop() == 0
    data = tmp_path / "data"
    before = json.loads(log("list", data, "-o", "json").stdout)[0]
    if before["segments"] == 1:
        pytest.fail(f"too few events for two segments: {before}")
    assert b"nothing was deleted" in log("retain", data, "--bytes", "1MiB").stderr
    assert json.loads(log("list", data, "-o", "json").stdout)[0] == before
    row = json.loads(log("retain", data, "--bytes", "1MiB", "--force", "-o", "json").stdout)[0]
    after = json.loads(log("list", data, "-o", "json").stdout)[0]
    assert row["segments"] > 0 and after["start_offset"] == row["new_start_offset"] > 0
    assert b"is not kept" in log("inspect", data, "--partition", 0, "--from", 0, code=1).stderr
    log("verify", data)
