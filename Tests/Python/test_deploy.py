"""The Dockerfile and the compose file, by their text: a linter, and what the executable says of the settings. test_container.py runs them."""

import os
import re
import subprocess
import sys

import pytest
import yaml
from conftest import BUILD, ROOT

DOCKER = ROOT / "ops" / "docker"
COMPOSE = yaml.safe_load((DOCKER / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
OURS = ["ingest", "log", "compute", "query"]


def test_the_linter_has_nothing_to_say_of_the_dockerfile():
    linted = subprocess.run(
        [os.path.join(os.path.dirname(sys.executable), "hadolint"), "--config", str(DOCKER / ".hadolint.yaml"), str(DOCKER / "Dockerfile")],
        capture_output=True, text=True)
    assert (linted.returncode, linted.stdout, linted.stderr) == (0, "", "")


@pytest.mark.parametrize("name", OURS)
def test_each_service_is_a_command_with_settings_there_are(name, tmp_path):
    service = SERVICES[name]
    assert service["command"].split()[0] == name
    assert subprocess.run([str(BUILD / "penstock"), name, "--help"], capture_output=True).returncode == 0
    tokens = tmp_path / "tokens"
    tokens.write_text('{"token":"CHANGE-ME-0123456789","subject":"operator","scopes":["ingest","query","admin"],"sources":["*"]}\n')
    environment = {key: value.replace("/run/secrets/tokens", str(tokens)) for key, value in service["environment"].items()}
    checked = subprocess.run(
        [str(BUILD / "penstock"), "config", "check", "--config", str(ROOT / "config" / "penstock.yaml")], capture_output=True, text=True,
        env={**os.environ, **environment})
    assert checked.returncode == 0, checked.stderr
    assert service["network_mode"] == "service:consul", "services and agent speak over loopback"


def test_each_service_has_a_sidecar_of_its_own_and_only_the_six_calls_are_allowed():
    for name in OURS:
        instance = SERVICES[name]["environment"]["PENSTOCK_MESH__INSTANCE"]
        assert SERVICES[f"{name}-sidecar"]["command"].split() == ["connect", "proxy", "-sidecar-for", instance]
        assert SERVICES[f"{name}-sidecar"]["network_mode"] == "service:consul"
    script = SERVICES["consul"]["command"][0]
    created = re.findall(r"consul intention create -replace -(\w+) (\S+) ([^\s;]+)", script)
    assert created == [("deny", "'*'", "'*'")] + [("allow", f"penstock-{a}", f"penstock-{b}") for a, b in
                                                 (("ingest", "log"), ("compute", "log"), ("query", "log"), ("query", "compute"),
                                                  ("operators", "query"), ("operators", "ingest"))]
    # Nobody starts before the last is made.
    assert SERVICES["consul"]["healthcheck"]["test"] == ["CMD", "consul", "intention", "get", *created[-1][1:]]
    for name in SERVICES.keys() - {"consul"}:
        assert SERVICES[name]["depends_on"] == {"consul": {"condition": "service_healthy"}}


def test_only_loopback_of_the_host_is_published():
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published and all(port.startswith("127.0.0.1:") for port in published)
    for name in ("ingest", "query"):
        assert "PENSTOCK_AUTH__TOKENS" in SERVICES[name]["environment"], "an address that others reach needs tokens"
