"""Every command of the pages below is run, in order, against one `penstock up` for each page, and prints what the page says it prints.

A ```console block holds commands after `$ ` (a backslash at the end, an open ', or <<'END', goes on with the next line) and what they print, standard error included. In that, `…` stands for
anything within a line, a line of `…` for any lines, and runs of spaces are equal; JSON, which is one line, may be shown in several. `curl -N` follows a stream, of which the beginning is looked at. A command with nothing below it may print anything. It has to end with 0,
or as its comment says (`# exit code 3`), or, where `penstock: …` is printed, with something else than 0. The documented addresses are free ports here.
"""

import os
import re
import shutil
import subprocess
import time

import pytest
from conftest import BUILD, DEADLINE, ROOT, Service
from test_security import Authority

PAGES = ["README.md", "docs/tour.md", "docs/operations.md", "docs/query.md", "docs/security.md", "docs/semantics.md", "docs/replay.md"]

READS = re.compile(r"penstock (query|sql|events|sources|top|view (list|show|diff))|curl ('|-[GN] )")

# The `penstock` on the PATH: the build's executable, with the addresses of its services.
WRAPPER = """#!/usr/bin/env bash
case $1 in
send | simulate) set -- "$@" --url "$INGEST" ;;
sql | events | replay | sources | top) set -- "$@" --url "$QUERY" ;;
query) if [ -n "${2:-}" ]; then set -- "$@" --url "$QUERY"; fi ;;
view) if [ "$2" != check ]; then set -- "$@" --url "$QUERY"; fi ;;
esac
exec "$PENSTOCK_BUILD/penstock" "$@"
"""


def goes_on(command):
    """Whether the next line is a part of it: after a backslash, within quotation marks, and in a here-document up to its END."""
    return command.endswith("\\") or ("<<'END'" not in command and re.sub(r"\s# .*", "", command).count("'") % 2 == 1) or ("<<'END'" in command and not command.endswith("\nEND"))


def commands(page):
    """Each command with its line's number and the lines it prints; None where the page shows none."""
    found, inside = [], False
    lines = (ROOT / page).read_text().splitlines()
    for number, line in enumerate(lines, 1):
        if line.startswith("```"):
            inside = line == "```console"
        elif inside and line.startswith("$ "):
            found.append([number, line[2:], None])
        elif inside and found:
            if found[-1][2] is None and goes_on(found[-1][1]):
                found[-1][1] += "\n" + line
            else:
                found[-1][2] = (found[-1][2] or []) + [line]
    return [(number, command, lines and joined(lines)) for number, command, lines in found]


def joined(lines):
    """With JSON that is shown in several lines, which begin with a space, in one."""
    result = []
    for line in lines:
        if result and result[-1].startswith("{") and line.startswith(" "):
            result[-1] += line.strip()
        else:
            result.append(line)
    return result


def squeezed(line):
    return re.sub(r"\s+", " ", line).strip()


def matches(expected, actual):
    """Whether lines are those expected."""
    if not expected:
        return not actual
    if expected[0].strip() == "…":
        return any(matches(expected[1:], actual[skipped:]) for skipped in range(len(actual) + 1))
    if not actual:
        return False
    pattern = ".*".join(re.escape(squeezed(part)) for part in expected[0].split("…"))
    # A wildcard may stand for what a space belongs to.
    pattern = pattern.replace(r"\ ", " ").replace(".*", " ?.* ?")
    return re.fullmatch(pattern, squeezed(actual[0])) is not None and matches(expected[1:], actual[1:])


class Sandbox:
    """A folder that looks like the repository's, an own data folder in it, and the commands on the PATH."""

    def __init__(self, folder):
        self.folder = folder
        shutil.copytree(ROOT / "config", folder / "config")
        (folder / "Sources" / "Penstock").mkdir(parents=True)
        (folder / "Sources" / "Penstock" / "Resources").symlink_to(ROOT / "Sources" / "Penstock" / "Resources")
        authority = Authority()
        authority.write(folder / "ca.pem")
        authority.issue(folder, "server")
        (folder / "bin").mkdir()
        (folder / "bin" / "penstock").write_text(WRAPPER)
        (folder / "bin" / "penstock").chmod(0o755)
        # As on a terminal, where curl tells of no progress when it prints.
        (folder / ".curlrc").write_text("silent\nshow-error\n")
        self.service = None
        self.environment = {
            **os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "PENSTOCK_BUILD": str(BUILD), "NO_COLOR": "1", "LC_ALL": "C.UTF-8", "CURL_HOME": str(folder),
        }

    def start(self, arguments=()):
        assert self.service is None or self.service.process.poll() is not None, "the page starts a second server beside the first"
        self.service = Service(
            ["bash", "-c", 'cd "$0" && exec "$@"', str(self.folder), str(BUILD / "penstock"), "up", *arguments, "--set", "ingest.listen=127.0.0.1:0",
             "--set", "query.listen=127.0.0.1:0", "--log-level", "error"], ["ingest", "query"])
        if any("auth." in argument for argument in arguments):
            # It answers nobody without a token.
            self.service.check_ledger = lambda: None
        tls = "s" if any("tls." in argument for argument in arguments) else ""
        self.environment["INGEST"] = f"ws{tls}://127.0.0.1:{self.service.ports['ingest']}/v1/stream"
        self.environment["QUERY"] = f"http{tls}://127.0.0.1:{self.service.ports['query']}"
        self.environment["SERVER"] = str(self.service.process.pid)

    def stop(self):
        if self.service:
            self.service.stop()

    def run(self, command):
        """Exit code and lines, with the documented ports in place of the present ones."""
        if command.split("#")[0].strip().startswith("penstock up"):
            self.start(command.split("#")[0].replace("\\\n", " ").split()[2:])
            return 0, [line.rstrip("\n") for line in self.service.lines if line.startswith("listening")] and [
                "listening query 127.0.0.1:8080", "listening ingest 127.0.0.1:4000"]
        if self.service:
            for name, port in (("query", "8080"), ("ingest", "4000")):
                command = command.replace(f"127.0.0.1:{port}", f"127.0.0.1:{self.service.ports[name]}")
        follows = "curl -N " in command
        if follows:
            command = command.replace("curl -N ", "curl -N --max-time 2 ")
        done = subprocess.run(
            ["bash", "-c", command], cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            stdin=subprocess.DEVNULL, timeout=2 * DEADLINE)
        output = done.stdout
        if self.service:
            for name, port in (("query", "8080"), ("ingest", "4000")):
                output = output.replace(f"127.0.0.1:{self.service.ports[name]}", f"127.0.0.1:{port}")
        # 28: the time is over.
        return 0 if follows and done.returncode == 28 else done.returncode, output.splitlines()


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of(page, tmp_path):
    wanted = commands(page)
    assert wanted, "a page without commands needs no place in the list"
    sandbox = Sandbox(tmp_path)
    wrong = []
    try:
        if not any(command.startswith("penstock up") for _, command, _ in wanted):
            sandbox.start()
            code, lines = sandbox.run("penstock send Sources/Penstock/Resources/weather-2013.ndjson.gz --connections 3")
            assert code == 0, lines
        for number, command, expected in wanted:
            code, lines = sandbox.run(command)
            # Views follow the log within moments: what only reads is asked again until then.
            deadline = time.monotonic() + DEADLINE
            while READS.match(command) and expected and not matches(expected, lines) and time.monotonic() < deadline:
                time.sleep(0.1)
                code, lines = sandbox.run(command)
            said = re.search(r"# exit code (\d)", command)
            if said:
                ended = code == int(said[1])
            else:
                ended = (code != 0) == bool(expected and any(line.startswith("penstock: ") for line in expected))
            if os.environ.get("PENSTOCK_DOCS_SHOW"):
                print(f"$ {command}\n" + "\n".join(lines))
            if not ended or (expected is not None and not matches(expected, lines)):
                wrong.append(f"{page}:{number}: $ {command}\nended with {code}, and printed\n" + "\n".join(lines[:60]))
    finally:
        sandbox.stop()
    assert not wrong, "\n\n".join(wrong)
