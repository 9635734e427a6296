"""The four services as processes behind a real Consul Connect, as `ops/mesh up` starts them."""

import gzip
import json
import os
import pathlib
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest
from conftest import BUILD, ROOT, VIEWS, WEATHER
from test_query import assert_same, expected_rows

DEADLINE = 60


def free_base():
    """A number from which the mesh's ports are free."""
    for base in range(23000, 32000, 300):
        sockets = []
        try:
            for offset in (0, 1, 2, 10, 11, 20, 30, 40, 41, 110, 111, 120, 130, 140, 141):
                sockets.append(socket.socket())
                sockets[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sockets[-1].bind(("127.0.0.1", base + offset))
            return base
        except OSError:
            continue
        finally:
            for each in sockets:
                each.close()
    raise AssertionError("no free ports")


class Mesh:
    def __init__(self, folder):
        self.folder = folder
        self.base = free_base()
        views = folder / "views.yaml"
        views.write_text(VIEWS)
        self.environment = dict(
            os.environ,
            PENSTOCK_MESH_DIR=str(folder),
            PENSTOCK_MESH_PORT_BASE=str(self.base),
            PENSTOCK_MESH_VIEWS=str(views),
            PENSTOCK_BUILD_DIR=str(BUILD),
        )

    def run(self, command):
        result = subprocess.run(
            [str(ROOT / "ops" / "mesh"), command], env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=180
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    def pid(self, name):
        return int((self.folder / f"{name}.pid").read_text().split()[0])

    def kill(self, name):
        os.kill(self.pid(name), signal.SIGKILL)

    def send(self, lines, ingest=1):
        """Starts a device client; it resumes after dropped connections."""
        process = subprocess.Popen(
            [str(BUILD / "penstock"), "send", "-", "--url", f"ws://127.0.0.1:{self.base + 9 + ingest}/v1/stream", "--output", "json", "--batch", "20"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        return process

    def get(self, path, **parameters):
        url = f"http://127.0.0.1:{self.base + 20}{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=DEADLINE) as answer:
            return json.loads(answer.read())

    def consul(self, *arguments):
        environment = dict(os.environ, CONSUL_HTTP_ADDR=f"127.0.0.1:{self.base}")
        return subprocess.run([os.environ["PENSTOCK_CONSUL"], *arguments], env=environment, check=True, capture_output=True, text=True).stdout


def eventually(condition, deadline=DEADLINE):
    """The condition's value once it holds; it may fail as the services do meanwhile."""
    end = time.monotonic() + deadline
    while True:
        try:
            value = condition()
            if value:
                return value
            failure = f"is {value}"
        except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
            failure = repr(error)
        assert time.monotonic() < end, failure
        time.sleep(0.05)


@pytest.fixture(scope="module")
def mesh(tmp_path_factory):
    mesh = Mesh(tmp_path_factory.mktemp("mesh"))
    try:
        mesh.run("up")
        yield mesh
    finally:
        mesh.run("down")


@pytest.fixture(scope="module")
def observations():
    with gzip.open(WEATHER, "rt") as file:
        return [line for _, line in zip(range(6000), file)]


def counted(mesh):
    rows = mesh.get("/v1/views/weather_daily", limit=10000)["rows"]
    return {(row["window_start"][:10], row["source"]): row for row in rows}


def test_counts_stay_exact_while_each_process_and_each_sidecar_is_killed(mesh, observations):
    names = ["ingest-1", "log-1", "compute-1", "query-1", "log-1-sidecar", "compute-1-sidecar", "ingest-1-sidecar"]
    sender = mesh.send(observations)
    expected = expected_rows(observations)
    try:
        # A share of the lines around each kill, so that each falls into the load.
        share = len(observations) // (len(names) + 1)
        for at, name in enumerate(names):
            sender.stdin.writelines(observations[at * share : (at + 1) * share])
            sender.stdin.flush()
            mesh.kill(name)
            mesh.run("up")
        sender.stdin.writelines(observations[len(names) * share :])
        output, errors = sender.communicate(timeout=120)
    finally:
        sender.kill()
    assert sender.returncode == 0, errors
    eventually(lambda: sum(row["observations"] for row in counted(mesh).values()) == sum(e["observations"] for e in expected.values()))
    rows = counted(mesh)
    assert set(rows) == set(expected)
    for key, row in rows.items():
        assert_same(row, expected[key])


def test_a_withdrawn_intention_stops_the_flow_within_a_second_and_given_back_it_goes_on(mesh):
    eventually(lambda: mesh.get("/v1/views/weather_daily", limit=1))
    mesh.consul("intention", "delete", "penstock-query", "penstock-compute")
    withdrawn = time.monotonic()
    while True:
        try:
            mesh.get("/v1/views/weather_daily", limit=1, timeout="200ms")
        except urllib.error.HTTPError as error:
            assert error.code == 503, error
            break
        assert time.monotonic() - withdrawn < 1, "a query is answered still"
        time.sleep(0.02)
    mesh.consul("intention", "create", "-allow", "penstock-query", "penstock-compute")
    eventually(lambda: mesh.get("/v1/views/weather_daily", limit=1))


def test_plain_text_on_a_sidecar_reaches_nobody(mesh):
    for offset in (110, 120, 130, 140):
        with socket.create_connection(("127.0.0.1", mesh.base + offset), timeout=10) as connection:
            connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
            try:
                answer = connection.recv(100)
            except ConnectionResetError:
                answer = b""
            assert not answer.startswith(b"HTTP/"), answer


def test_down_leaves_nothing_running(tmp_path):
    mesh = Mesh(tmp_path)
    mesh.run("up")
    pids = [int(file.read_text().split()[0]) for file in tmp_path.glob("*.pid")]
    assert len(pids) == 13
    mesh.run("down")
    assert [pid for pid in pids if is_running(pid)] == []


def is_running(pid):
    """Whether the process is there, and not only waiting to be collected."""
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except FileNotFoundError:
        return False
    return state not in "ZX"
