"""docs/clients.md does as it says."""

import json
import re
import shutil
import subprocess
import sys

import pytest
from conftest import DEADLINE, ROOT, Penstock

TEXT = (ROOT / "docs" / "clients.md").read_text()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.M | re.S)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    service = Penstock(tmp_path_factory.mktemp("clients"), views=(ROOT / "config" / "views.yaml").read_text())
    yield service
    assert service.stop() == 0, "".join(service.lines)


def at(service, text):
    return text.replace("127.0.0.1:4000", f"127.0.0.1:{service.ports['ingest']}").replace(
        "127.0.0.1:8080", f"127.0.0.1:{service.ports['query']}"
    )


def run(command, **options):
    result = subprocess.run(command, capture_output=True, text=True, timeout=2 * DEADLINE, **options)
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result.stdout


def test_the_commands_and_programs_run_one_after_the_other(served):
    shell, python = blocks("sh"), blocks("python")
    assert len(shell) == 3 and len(python) == 3
    printed = [run(["bash", "-euc", at(served, block)]) for block in shell]
    assert '"appended":2' in printed[0]
    assert '"appended":1' in printed[1] and '"traceparent":"00-4bf92f35' in printed[1]
    assert "station/42" in printed[2] and '"hottest":' in printed[2]
    environment = {"PYTHONPATH": str(ROOT / "clients" / "python" / "src"), "PATH": "/usr/bin:/bin"}
    printed = [run([sys.executable, "-c", at(served, block)], env=environment) for block in python]
    assert "appended=24" in printed[0]
    assert re.search(r"^station/43 +24$", printed[1], re.M)
    assert re.search(r"\('station/43', [^)]*24", printed[2])


def test_the_python_client_is_installed_and_used_as_its_readme_shows(served, tmp_path):
    client = ROOT / "clients" / "python"
    # pip builds beside the sources.
    shutil.copytree(client, tmp_path / "clients" / "python", ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
    text = (client / "README.md").read_text()
    (install,) = re.findall(r"^```sh\n(.*?)\n```", text, re.M | re.S)
    (program,) = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    assert install.startswith("pip install ")
    run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")])
    python = str(tmp_path / "venv" / "bin" / "python")
    run([sys.executable, "-m", "pip", "--python", python, "--quiet", "--disable-pip-version-check", *install.split()[1:]], cwd=tmp_path)
    printed = run([python, "-c", at(served, program)], cwd=tmp_path)
    assert "appended=1001" in printed, printed


def test_the_session_by_hand_goes_as_shown(served):
    (session,) = blocks("session")
    with served.connect("/v1/stream?source=station%2Fby-hand") as ws:
        for line in session.strip().splitlines():
            direction, text = line.split(" ", 1)
            if direction == ">":
                ws.send(text)
                continue
            shown, came = json.loads(text), json.loads(ws.recv(timeout=DEADLINE))
            if shown["kind"] == "reject":
                assert came.pop("detail") and shown.pop("detail")
            if shown["kind"] == "ack":
                # Which partition it is depends on the source.
                assert list(came["offsets"].values())[0] >= 1
                shown["offsets"] = came["offsets"]
            assert came == shown
