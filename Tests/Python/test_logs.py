"""Logs: JSON lines into a pipe, text on a terminal, a level for each module."""

import json
import os
import pty
import re
import signal
import subprocess
import time
import urllib.request

import ledger
from conftest import BUILD, DEADLINE, VIEWS


def start(folder, *arguments, stderr=subprocess.PIPE, **environment):
    (folder / "views.yaml").write_text(VIEWS)
    return subprocess.Popen(
        [str(BUILD / "penstock"), "up", "--data", str(folder / "data"), "--views", str(folder / "views.yaml"), "--set", "ingest.listen=127.0.0.1:0",
         "--set", "query.listen=127.0.0.1:0", *arguments],
        stdout=subprocess.DEVNULL, stderr=stderr, stdin=subprocess.DEVNULL, env={**os.environ, "TERM": "xterm", "NO_COLOR": "1", **environment})


def entries_of_a_replay(process):
    """The log lines without the addresses: compute logs the replay's begin, the process its end."""
    lines, query = [], None
    for line in process.stderr:
        lines.append(line.decode())
        if found := re.match(r"listening query (\S+)", lines[-1]):
            query = found[1]
        if lines[-1].startswith("listening ingest"):
            request = urllib.request.Request(
                f"http://{query}/v1/views/weather_daily/replays", data=b"{}", headers={"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
                assert answer.status == 202
            ledger.check(lambda: json.load(urllib.request.urlopen(f"http://{query}/v1/ledger", timeout=DEADLINE)), {})
            process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=DEADLINE) == 0
    return [json.loads(line) for line in lines if not line.startswith("listening ")]


def test_into_a_pipe_each_line_is_an_object_that_names_its_module(tmp_path):
    entries = entries_of_a_replay(start(tmp_path))
    for entry in entries:
        assert {"time", "level", "logger", "message"} <= set(entry)
    assert {"penstock", "penstock.compute"} <= {entry["logger"] for entry in entries}, entries


def test_a_module_has_a_level_of_its_own(tmp_path):
    entries = entries_of_a_replay(start(tmp_path, PENSTOCK_LOG_LEVEL="error,compute=info"))
    assert {entry["logger"] for entry in entries} == {"penstock.compute"}, entries


def test_a_module_is_quieter_than_the_others(tmp_path):
    entries = entries_of_a_replay(start(tmp_path, "--log-level", "info,compute=error"))
    loggers = {entry["logger"] for entry in entries}
    assert "penstock" in loggers and "penstock.compute" not in loggers, entries


def test_on_a_terminal_it_is_text(tmp_path):
    ours, theirs = pty.openpty()
    process = start(tmp_path, stderr=theirs)
    os.close(theirs)
    written, deadline = b"", time.monotonic() + DEADLINE
    while True:
        assert time.monotonic() < deadline, written
        try:
            chunk = os.read(ours, 65536)
        except OSError:
            break
        if not chunk:
            break
        written += chunk
        if b"listening ingest" in written and process.poll() is None:
            process.send_signal(signal.SIGTERM)
    os.close(ours)
    assert process.wait(timeout=DEADLINE) == 0
    text = [line for line in written.decode().splitlines() if "shutting down" in line]
    assert text and not text[0].startswith("{") and " notice   penstock: shutting down" in text[0]
