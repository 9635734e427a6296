"""`penstock top` beside a server that takes events in: on a terminal, into a pipe, once."""

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import time

from conftest import BUILD, DEADLINE, event, wait_for_ack

ESCAPES = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")


def top(service, *arguments):
    url = f"http://127.0.0.1:{service.ports['query']}"
    return [str(BUILD / "penstock"), "top", "--url", url, *arguments]


def send(service, source, count):
    with service.connect() as ws:
        ws.recv(timeout=DEADLINE)
        ws.send(json.dumps([event(source, n + 1) for n in range(count)] + [{"source": source}]))
        wait_for_ack(ws, 1, rejects=[])


class Terminal:
    """A command on a terminal of its own, of which it is the controlling process."""

    def __init__(self, arguments, rows, columns, **environment):
        self.pid, self.descriptor = pty.fork()
        if self.pid == 0:
            os.environ.update(environment)
            os.execv(arguments[0], arguments)
        self.resize(rows, columns)
        self.written = b""

    def resize(self, rows, columns):
        fcntl.ioctl(self.descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read_until(self, condition):
        deadline = time.monotonic() + DEADLINE
        os.set_blocking(self.descriptor, False)
        while not condition(self.written):
            assert time.monotonic() < deadline, self.written[-3000:]
            try:
                self.written += os.read(self.descriptor, 65536)
            except BlockingIOError:
                time.sleep(0.01)
            except OSError:
                # The other side is closed: nothing more comes.
                assert condition(self.written), self.written[-3000:]

    def frames(self):
        return self.written.split(b"\x1b[H")[1:]

    def exit_code(self):
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_once_prints_a_snapshot_whose_counts_are_the_overviews(start_penstock):
    service = start_penstock()
    send(service, "station/top", 20)
    answer = subprocess.run(top(service, "--once", "--interval", "100ms", "--output", "json"), capture_output=True, text=True, check=True)
    overview = json.loads(answer.stdout)
    assert (overview["received"], overview["appended"], overview["rejected"]) == (21, 20, 1)
    assert sum(overview["rejects"].values()) == 1
    assert overview["adds_up"] is True
    assert overview["rates"]["received"] == 0
    assert overview["ack_p99_seconds"] > 0
    text = subprocess.run(top(service, "--once", "--interval", "100ms"), capture_output=True, text=True, check=True).stdout
    assert "received 21  appended 20  duplicates 0  rejected 1" in text
    assert "the ledger adds up" in text and "weather_daily" in text
    assert "\x1b" not in text
    header, record = subprocess.run(
        top(service, "--once", "--interval", "100ms", "--output", "csv"), capture_output=True, text=True, check=True).stdout.splitlines()
    assert header.startswith("time,in/s,") and record.endswith(",true")


def test_into_a_pipe_it_prints_a_line_an_interval_until_it_is_interrupted(start_penstock):
    service = start_penstock()
    process = subprocess.Popen(top(service, "--interval", "100ms"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline().split()[:3] == ["time", "in/s", "appended/s"]
        # The service's clock gives each line another time.
        times = [process.stdout.readline().split()[0] for _ in range(3)]
        assert times == sorted(set(times))
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=DEADLINE)
        assert (process.returncode, errors) == (0, ""), (rest, errors)
    finally:
        process.kill()
        process.wait()


def test_on_a_terminal_it_redraws_in_place_follows_its_size_and_leaves_it_clean(start_penstock):
    service = start_penstock()
    terminal = Terminal(top(service, "--interval", "100ms"), 40, 100, TERM="xterm", NO_COLOR="")
    terminal.read_until(lambda written: b"the ledger adds up" in written)
    assert not termios.tcgetattr(terminal.descriptor)[3] & termios.ECHO
    send(service, "station/screen", 30)
    terminal.read_until(lambda written: b"appended 30  duplicates 0  rejected 1" in written)
    assert b"\x1b[1m" in terminal.written, "headings are bold"
    terminal.resize(6, 30)
    terminal.read_until(lambda written: b"more lines" in written.rsplit(b"\x1b[H", 1)[-1])
    frame = [line.strip("\r") for line in ESCAPES.sub(b"", terminal.frames()[-1]).decode().split("\n")]
    assert len(frame) == 6 and all(len(line) <= 30 for line in frame), frame
    os.write(terminal.descriptor, b"\x03")
    terminal.read_until(lambda written: written.endswith(b"\x1b[?25h\x1b[?1049l"))
    assert termios.tcgetattr(terminal.descriptor)[3] & termios.ECHO
    assert terminal.exit_code() == 0
    os.close(terminal.descriptor)


def test_without_colours_where_none_are_wanted_and_goes_on_when_the_server_is_gone(start_penstock):
    service = start_penstock()
    terminal = Terminal(top(service, "--interval", "100ms"), 40, 100, TERM="xterm", NO_COLOR="1")
    terminal.read_until(lambda written: b"the ledger adds up" in written)
    service.stop()
    terminal.read_until(lambda written: b"no Penstock answers at" in written)
    assert not re.search(rb"\x1b\[[0-9;]*m", terminal.written)
    os.kill(terminal.pid, signal.SIGTERM)
    terminal.read_until(lambda written: written.endswith(b"\x1b[?1049l"))
    assert terminal.exit_code() == 0
    os.close(terminal.descriptor)


def test_what_cannot_be_is_told_at_once(start_penstock):
    service = start_penstock()
    for arguments, code in ((("--interval", "1"), 2), (("--interval", "2h"), 2)):
        assert subprocess.run(top(service, *arguments), capture_output=True).returncode == code
    service.stop()
    answer = subprocess.run(top(service, "--once"), capture_output=True, text=True)
    assert answer.returncode == 1 and "no Penstock answers at" in answer.stderr
