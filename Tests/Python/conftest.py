"""Starts real processes of the build in PENSTOCK_BUILD_DIR (default: .build/debug), each on free ports, each with a folder of its own."""

import gzip
import json
import os
import pathlib
import queue
import random
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request

import ledger
import pytest
from websockets.sync.client import connect

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("PENSTOCK_BUILD_DIR", ROOT / ".build" / "debug"))
WEATHER = ROOT / "Sources" / "Penstock" / "Resources" / "weather-2013.ndjson.gz"
DEADLINE = 60


# Below the ports that the system gives to clients (Linux: from 32768 on), and to whoever binds port 0. A port of that range may
# be another's by the time it is bound; a client that dials it while nobody listens may even be connected to itself, and hold it.
# The mesh's tests have those from 23000 on.
PORTS = range(10_000, 23_000)
given_ports = set()


def free_port():
    """A port that this process has not given before, and on which nobody listens now."""
    while True:
        port = random.choice(PORTS)
        if port in given_ports:
            continue
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
        given_ports.add(port)
        return port


def eventually(condition):
    """The condition's value once it holds."""
    deadline = time.monotonic() + DEADLINE
    while not (value := condition()):
        assert time.monotonic() < deadline, value
        time.sleep(0.01)
    return value


VIEWS = """
views:
  weather_daily:
    where: type == "weather.observed" && data.temp != null
    key: [source]
    window: { tumble: 1d }
    watermark_delay: 1h
    allowed_lateness: 400d
    retention: 3650d
    aggregates:
      observations: count()
      gusts: count(data.wind_gust)
      temp_sum: sum(data.temp)
      temp_avg: avg(data.temp)
      temp_min: min(data.temp)
      temp_max: max(data.temp)
"""


class Service:
    """A process that prints `listening NAME ADDRESS:PORT` on standard error."""

    def __init__(self, arguments, names):
        self.process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.ports = {}
        self.lines = []
        self.is_ending = False
        # The log's high watermarks when it started, where they are known.
        self.log_before = None
        self._found = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        deadline = time.monotonic() + DEADLINE
        while set(names) - set(self.ports):
            try:
                found = self._found.get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                found = None
            if found is None:
                self.stop()
                raise AssertionError(f"{arguments}: not listening on {names}:\n" + "".join(self.lines))
            self.ports[found[0]] = int(found[1])

    def _read(self):
        for line in self.process.stderr:
            self.lines.append(line)
            match = re.match(r"listening (\S+) \S+:(\d+)\s*$", line)
            if match:
                self._found.put(match.groups())
        self._found.put(None)

    def ask_ledger(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['query']}/v1/ledger", timeout=DEADLINE) as answer:
            return json.load(answer)

    def check_ledger(self):
        """Every event is accounted for. Nothing to check where the process has ended, or is a single service."""
        if self.process.poll() is None and not self.is_ending and {"ingest", "query"} <= set(self.ports):
            ledger.check(self.ask_ledger, self.log_before)

    def terminate(self):
        """Asks the process to end in order, and waits for nothing but its ledger before."""
        if self.process.poll() is None and not self.is_ending:
            try:
                self.check_ledger()
            except BaseException:
                self.process.kill()
                raise
            self.is_ending = True
            self.process.terminate()

    def stop(self, how=signal.SIGTERM):
        """Returns the exit code."""
        if how == signal.SIGTERM:
            self.terminate()
        elif self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.process.wait(timeout=DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError("did not stop:\n" + "".join(self.lines))


class Penstock(Service):
    # Folders whose process was killed and not started again yet: what was durable in the log before, and how to start it.
    killed = {}

    def __init__(self, folder, *settings, views=VIEWS):
        self.folder, self.settings, self.views = folder, settings, views
        file = folder / "views.yaml"
        file.write_text(views)
        config = folder / "penstock.yaml"
        config.write_text("ingest: { listen: 127.0.0.1:0 }\nquery: { listen: 127.0.0.1:0 }\n")
        super().__init__(
            [str(BUILD / "penstock"), "up", "--config", str(config), "--data", str(folder / "data"), "--views", str(file)]
            + [argument for setting in settings for argument in ("--set", setting)],
            ["ingest", "query"],
        )
        try:
            self._check_start(self.killed.pop(folder, None))
        except BaseException:
            # Nobody has it yet, to end it.
            self.process.kill()
            self.process.wait()
            raise

    def _check_start(self, killed):
        """Killed is the folder's entry in `killed`; None where no kill was before this start."""
        try:
            found = self.ask_ledger()
        except urllib.error.HTTPError as error:
            # The log reports nothing about a damaged partition but the damage.
            assert error.code in (500, 503), error
            return
        if found["ingest"]["received"] == 0:
            # Devices may have come back before the question.
            self.log_before = ledger.high_watermarks(found)
        if killed:
            ledger.check_crash(found, killed[0])

    def stop(self, how=signal.SIGTERM):
        """Returns the exit code. After a kill, the folder's next process is held to what was durable before."""
        if how == signal.SIGKILL and self.process.poll() is None and not self.is_ending:
            try:
                seen = ledger.high_watermarks(self.ask_ledger())
            except urllib.error.HTTPError:
                seen = None
            self.killed[self.folder] = seen, lambda: type(self)(self.folder, *self.settings, views=self.views)
        return super().stop(how)

    def connect(self, path="/v1/stream", **options):
        options.setdefault("subprotocols", ["penstock.v1"])
        options.setdefault("compression", None)
        options.setdefault("open_timeout", DEADLINE)
        return connect(f"ws://127.0.0.1:{self.ports['ingest']}{path}", **options)


@pytest.fixture(scope="session")
def penstock(tmp_path_factory):
    """One for all tests that don't mind what others have sent: each uses sources of its own."""
    service = Penstock(tmp_path_factory.mktemp("penstock"))
    yield service
    assert service.stop() == 0, "".join(service.lines)


@pytest.fixture(autouse=True)
def ledger_after_crashes():
    """Processes that a test killed and left are started once more: the durable events add up."""
    yield
    while Penstock.killed:
        _, start = Penstock.killed[next(iter(Penstock.killed))]
        start().stop()


@pytest.fixture
def start_penstock(tmp_path, ledger_after_crashes):
    """Starts one in the test's folder, as often as called."""
    started = []

    def start(*settings, **options):
        started.append(Penstock(tmp_path, *settings, **options))
        return started[-1]

    yield start
    try:
        for service in started:
            service.check_ledger()
    finally:
        for service in started:
            Service.stop(service, signal.SIGKILL)


@pytest.fixture(scope="session")
def echo():
    service = Service([str(BUILD / "websocket-echo"), "--port", "0"], ["websocket-echo"])
    yield service.ports["websocket-echo"]
    service.stop()


@pytest.fixture(scope="session")
def weather():
    """The first 3,000 observations, as lines."""
    with gzip.open(WEATHER, "rt") as file:
        return [line.strip() for _, line in zip(range(3000), file)]


def receive(ws, kind):
    """The next message, which must be of that kind."""
    message = json.loads(ws.recv(timeout=DEADLINE))
    assert message["kind"] == kind, message
    return message


def wait_for_ack(ws, messages, rejects=None):
    """Reads until so many messages are acknowledged; rejects are collected where a list is given for them."""
    last = 0
    while True:
        message = json.loads(ws.recv(timeout=DEADLINE))
        if message["kind"] == "reject" and rejects is not None:
            rejects.append(message)
            continue
        assert message["kind"] == "ack", message
        assert message["messages"] > last, "acknowledgements rise"
        last = message["messages"]
        assert last <= messages, message
        if last == messages:
            return message


def event(source, sequence=None, **members):
    result = {"source": source, "type": "test.reading", "time": "2024-05-01T12:00:00Z", "data": {"value": 1.5}}
    if sequence is not None:
        result["sequence"] = sequence
    result.update(members)
    return result
