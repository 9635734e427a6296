"""A log's folder that is lost, copied in part, or another one's; and what the services say of it."""

import json
import shutil
import signal
import subprocess

import pytest
from conftest import BUILD, DEADLINE, Penstock, Service, event, eventually, free_port
from test_http import request
from test_services import Services, message

POSTED = {"Content-Type": "application/cloudevents-batch+json"}


def post(port, events):
    status, _, body = request(port, "POST", "/v1/events", json.dumps(events), POSTED)
    return status, json.loads(body)


def get(port, path):
    status, _, body = request(port, "GET", path)
    return status, json.loads(body)


def log(command, data, *arguments, code=0):
    done = subprocess.run([str(BUILD / "penstock"), "log", command, "--data", str(data), *arguments], capture_output=True, timeout=DEADLINE)
    assert done.returncode == code, (command, done.returncode, done.stdout.decode(), done.stderr.decode())
    return done.stderr.decode()


def weather(source, sequences):
    return [event(source, sequence) for sequence in sequences]


def ready(service):
    return get(service.ports["query"], "/readyz")


@pytest.fixture
def up(tmp_path):
    """Starts `penstock up` over a folder of the test's, and ends it whatever has become of its ledger."""
    started = []

    def start(folder, *settings):
        folder.mkdir(exist_ok=True)
        started.append(Penstock(folder, *settings))
        return started[-1]

    yield start
    for service in started:
        Service.stop(service, signal.SIGKILL)
    Penstock.killed.clear()


@pytest.mark.parametrize("lost", ["", "log", "log/3", "log/lock", "log/meta"])
def test_a_folder_removed_under_a_running_server_ends_its_appends(up, tmp_path, lost):
    service = up(tmp_path / "a")
    assert post(service.ports["ingest"], weather("s/1", [1]))[0] == 200
    path = tmp_path / "a" / "data" / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    eventually(lambda: ready(service)[0] == 503)
    assert "Stop the server" in json.dumps(ready(service)[1])
    answers = [post(service.ports["ingest"], weather(f"s/{number}", [2])) for number in range(40)]
    refused = [answer for status, answer in answers if status == 503]
    # One partition's loss is its own; the whole folder's is everybody's.
    assert len(refused) == 40 if lost != "log/3" else refused, answers
    assert all(answer["code"] == "log_poisoned" for answer in refused), refused
    assert any("is gone" in line for line in service.lines), service.lines


def test_a_copy_that_lacks_a_partition_is_refused_until_the_loss_is_accepted(up, tmp_path):
    service = up(tmp_path / "a")
    sources = [f"s/{number}" for number in range(40)]
    status, answer = post(service.ports["ingest"], [event(source, 1) for source in sources])
    assert (status, answer["appended"]) == (200, 40)
    assert service.stop() == 0
    (tmp_path / "b").mkdir()
    data = tmp_path / "b" / "data"
    shutil.copytree(tmp_path / "a" / "data", data)
    lost = int(next(iter(answer["offsets"])))
    shutil.rmtree(data / "log" / str(lost))

    assert f"partition {lost}, folder" in log("verify", data, code=3)
    copy = up(tmp_path / "b")
    status, body = ready(copy)
    assert status == 503 and "is missing" in json.dumps(body) and "penstock log repair" in json.dumps(body), body
    # None of them is taken again.
    statuses = [post(copy.ports["ingest"], [event(source, 1)]) for source in sources]
    assert all(status == 503 or answer["duplicates"] == 1 for status, answer in statuses), statuses
    assert sum(status == 503 for status, _ in statuses) == answer["offsets"][str(lost)]
    copy.stop(signal.SIGKILL)

    assert "--accept-loss" in log("repair", data, "--yes", code=1)
    assert not (data / "log" / str(lost)).exists()
    log("repair", data, "--yes", "--accept-loss")
    log("verify", data)
    again = up(tmp_path / "b")
    status, body = ready(again)
    assert status == 503 and "compute.accept_log" in json.dumps(body), body
    accepted = json.dumps(body).split("compute.accept_log to ")[1].split(":")[0]
    again.stop(signal.SIGKILL)
    mended = up(tmp_path / "b", f"compute.accept_log={accepted}")
    eventually(lambda: ready(mended)[0] == 200)
    assert post(mended.ports["ingest"], [event(source, 1) for source in sources])[1]["appended"] == answer["offsets"][str(lost)]
    assert mended.stop() == 0


def test_old_state_beside_a_new_log_answers_nothing_until_the_log_is_accepted(up, tmp_path):
    first = up(tmp_path / "a")
    status, answer = post(first.ports["ingest"], weather("station/1", range(1, 100)))
    assert (status, answer["appended"]) == (200, 99)
    assert first.stop() == 0
    shutil.rmtree(tmp_path / "a" / "data" / "log")
    second = up(tmp_path / "a")
    status, body = ready(second)
    assert status == 503 and "another log" in json.dumps(body), body
    status, answer = post(second.ports["ingest"], weather("station/2", range(1, 5)))
    assert (status, answer["appended"]) == (200, 4)
    after = json.dumps(answer["offsets"]).replace(" ", "")
    for path in [f"/v1/views/weather_daily?after={after}", "/v1/views/weather_daily", "/v1/views", "/v1/ledger"]:
        status, body = get(second.ports["query"], path)
        assert (status, body.get("code")) == (503, "another_log"), (path, status, body)
    accepted = body["detail"].split("compute.accept_log to ")[1].split(":")[0]
    second.stop(signal.SIGKILL)
    third = up(tmp_path / "a", f"compute.accept_log={accepted}")
    status, body = get(third.ports["query"], f"/v1/views/weather_daily?after={after}")
    assert status == 200 and ready(third)[0] == 200, body
    assert get(third.ports["query"], "/v1/ledger")[1]["balanced"] is True
    assert third.stop() == 0


def test_a_log_keeps_its_partitions_unless_told_otherwise(up, tmp_path):
    assert up(tmp_path / "a", "log.partitions=1").stop() == 0
    again = up(tmp_path / "a")
    assert len(get(again.ports["query"], "/v1/ledger")[1]["log"]) == 1
    assert again.stop() == 0
    done = subprocess.run(
        [str(BUILD / "penstock"), "up", "--data", str(tmp_path / "a" / "data"), "--set", "log.partitions=8"],
        capture_output=True, timeout=DEADLINE,
    )  # fmt: skip
    assert done.returncode != 0 and b"set log.partitions to 1" in done.stderr, done.stderr


def test_a_second_log_in_the_first_ones_place_gets_nothing_and_is_told_of(tmp_path):
    services = Services(tmp_path)
    try:
        assert post(services.ports["ingest"], json.loads(message(1)))[0] == 200
        services.kill("log")
        # Another folder, the same name and place.
        second = Service(
            [str(BUILD / "penstock"), "log", "--loopback", "--data", str(tmp_path / "second"),
             "--set", f"log.listen=127.0.0.1:{services.ports['log']}"], ["log"],
        )  # fmt: skip
        try:
            for name in ["ingest", "compute", "query"]:
                eventually(lambda name=name: services.get(name, "/readyz")[0] == 503)
                assert "this process began with" in json.dumps(services.get(name, "/readyz")[1])
            status, body = services.get("query", "/v1/views/weather_daily")
            assert (status, body["code"]) == (503, "another_log"), body
            assert services.get("log", "/v1/log/partitions/0")[1]["high_watermark"] == 0
        finally:
            second.stop(signal.SIGKILL)
        services.start("log")
        eventually(lambda: all(services.get(name, "/readyz")[0] == 200 for name in services.ports))
        status, answer = post(services.ports["ingest"], json.loads(message(2)))
        assert status == 200 and services.count(answer["offsets"]) == 10
    finally:
        services.close()
