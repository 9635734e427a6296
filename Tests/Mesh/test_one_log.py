"""The mesh has one log: the first that joins. A second one, with a data folder of its own, is refused before anybody can find it."""

import json
import os
import shutil
import signal
import subprocess
import time
import urllib.request

import pytest
from conftest import BUILD, Service, free_port

DEADLINE = 120


@pytest.fixture
def consul(tmp_path):
    """An agent of its own; gives the port of its HTTP API."""
    ports = [free_port() for _ in range(4)]
    config = tmp_path / "consul.json"
    config.write_text(json.dumps({
        "ports": {"http": ports[0], "server": ports[1], "serf_lan": ports[2], "serf_wan": -1, "dns": -1, "grpc": -1, "https": -1},
        "connect": {"enabled": True},
    }))  # fmt: skip
    agent = subprocess.Popen(
        [os.environ.get("PENSTOCK_CONSUL", "consul"), "agent", "-dev", "-bind=127.0.0.1", f"-config-file={config}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + DEADLINE
        # Without a leader the answer is an empty string, in its quotation marks.
        while get(ports[0], "/v1/status/leader") in (b"", b'""'):
            assert agent.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        yield ports[0]
    finally:
        agent.kill()
        agent.wait()


def get(port, path, method="GET"):
    try:
        with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method), timeout=10) as answer:
            return answer.read()
    except OSError:
        return b""


def eventually(condition):
    deadline = time.monotonic() + DEADLINE
    while not (value := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return value


def arguments(consul, data, instance):
    return [
        str(BUILD / "penstock"), "log", "--data", str(data), "--set", f"mesh.consul=127.0.0.1:{consul}",
        "--set", f"mesh.instance={instance}", "--set", "log.listen=127.0.0.1:0", "--set", f"mesh.sidecar_port={free_port()}",
    ]  # fmt: skip


def refused(consul, data, instance):
    done = subprocess.run(arguments(consul, data, instance), capture_output=True, text=True, timeout=DEADLINE)
    assert done.returncode != 0
    return done.stderr


def claimed(consul):
    return get(consul, "/v1/kv/penstock/log?raw").decode()


def instances(consul):
    return [entry["ServiceID"] for entry in json.loads(get(consul, "/v1/catalog/service/penstock-log"))]


def test_a_second_log_is_refused_and_the_first_comes_back(consul, tmp_path):
    first = Service(arguments(consul, tmp_path / "first", "log-1"), ["log"])
    identity = eventually(lambda: claimed(consul))
    eventually(lambda: instances(consul) == ["log-1"])
    first.stop(signal.SIGKILL)
    told = refused(consul, tmp_path / "second", "log-2")
    assert identity in told and "another one" in told and "consul kv delete penstock/log" in told
    assert claimed(consul) == identity and "log-2" not in instances(consul)

    again = Service(arguments(consul, tmp_path / "first", "log-1"), ["log"])
    eventually(lambda: instances(consul) == ["log-1"])
    assert again.stop() == 0
    assert claimed(consul) == identity

    # A log that was repaired takes its own place, and a copy of before does not.
    shutil.copytree(tmp_path / "first", tmp_path / "before")
    shutil.rmtree(tmp_path / "first" / "log" / "3")
    repair = [str(BUILD / "penstock"), "log", "repair", "--data", str(tmp_path / "first"), "--yes", "--accept-loss"]
    subprocess.run(repair, check=True, capture_output=True, timeout=DEADLINE)
    repaired = Service(arguments(consul, tmp_path / "first", "log-1"), ["log"])
    eventually(lambda: claimed(consul) == identity.removesuffix("-1") + "-2")
    assert repaired.stop() == 0
    assert "an earlier state of it" in refused(consul, tmp_path / "before", "log-1")

    get(consul, "/v1/kv/penstock/log", method="DELETE")
    successor = Service(arguments(consul, tmp_path / "second", "log-2"), ["log"])
    eventually(lambda: claimed(consul) not in ("", identity))
    assert successor.stop() == 0
