"""The container image: made by ops/image of the build under test, run by podman as ops/docker/compose.yaml runs it, and the mesh of that file.

No registry is asked: the base image is made of Debian's packages, and the one of Consul holds the binary that the other tests of the mesh run.
"""

import json
import os
import pathlib
import re
import resource
import shutil
import subprocess
import urllib.request

import pytest
import yaml
from conftest import BUILD, DEADLINE, ROOT, Service, event, eventually

COMPOSE = yaml.safe_load((ROOT / "ops" / "docker" / "compose.yaml").read_text())
TAG = "localhost/penstock-test"
BASE = "docker.io/library/debian:12-slim"
CONSUL = "docker.io/" + COMPOSE["services"]["consul"]["image"]
SUDO = [] if os.geteuid() == 0 else ["sudo", "-n"]
# As compose.yaml confines each service.
CONFINED = ["--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]


class Engine:
    """Podman with images, containers and settings of its own."""

    def __init__(self, folder):
        # Packages are unpacked with a sync for each file: in memory where there is room.
        memory = pathlib.Path("/dev/shm")
        self.store = folder / "store"
        if memory.is_dir() and shutil.disk_usage(memory).free > 6 << 30:
            self.store = memory / f"penstock-test-{os.getpid()}"
        # No more than this process may have, nor a cgroup below systemd's: the tests may run in a container themselves.
        limits = [
            f"{name}={limit}:{limit}" for name, which in (("nofile", resource.RLIMIT_NOFILE), ("nproc", resource.RLIMIT_NPROC))
            for limit in [min(value for value in (4096, *resource.getrlimit(which)) if value != resource.RLIM_INFINITY)]]
        (folder / "containers.conf").write_text(
            f'[containers]\ndefault_ulimits = {json.dumps(limits)}\n[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "none"\n')
        self.environment = {
            "CONTAINERS_CONF": str(folder / "containers.conf"), "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"), "BUILDAH_ISOLATION": "chroot",
            "PATH": os.environ["PATH"],
        }
        for driver in ("overlay", "vfs"):
            (folder / "storage.conf").write_text(f'[storage]\ndriver = "{driver}"\ngraphroot = "{self.store}/graph"\nrunroot = "{self.store}/run"\n')
            told = self.run("podman", "info", check=False)
            if told.returncode == 0:
                return
        raise AssertionError(told.stderr)

    def command(self, *arguments):
        return [*SUDO, "env", *(f"{name}={value}" for name, value in self.environment.items()), *arguments]

    def run(self, *arguments, check=True, **options):
        done = subprocess.run(self.command(*arguments), capture_output=True, text=True, timeout=300, **options)
        assert not check or done.returncode == 0, f"{arguments}:\n{done.stdout}{done.stderr}"
        return done

    def close(self):
        self.run("podman", "rm", "--all", "--force", "--time", "0", check=False)
        subprocess.run([*SUDO, "rm", "-rf", "--one-file-system", str(self.store)], check=True)


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("engine")
    engine = Engine(folder)
    try:
        archive = engine.store / "base.tar"
        engine.run("env", f"TMPDIR={engine.store}", "mmdebstrap", "--quiet", "--variant=apt", "bookworm", str(archive), mirror())
        engine.run("podman", "import", str(archive), BASE)
        yield engine
    finally:
        engine.close()


def mirror():
    """Debian's mirror as this machine's apt has it."""
    texts = [path.read_text() for path in (pathlib.Path("/etc/apt/sources.list"), *pathlib.Path("/etc/apt/sources.list.d").glob("*")) if path.is_file()]
    found = re.search(r"^(?:URIs:|deb .*?) *(https?://\S+/debian)/?(?:\s|$)", "\n".join(texts), re.M)
    return found[1] if found else "http://deb.debian.org/debian"


@pytest.fixture(scope="module")
def image(engine):
    made = engine.run(str(ROOT / "ops" / "image"), "--engine", "podman", "--executable", str(BUILD / "penstock"), "--tag", TAG)
    assert made.stdout == f"{TAG}\n"
    return TAG


def post(port, body):
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/events", data=json.dumps(body).encode(), headers={"Content-Type": "application/cloudevents+json"})
    with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
        return json.load(answer)


def events(port, source):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/events?source={source}", timeout=DEADLINE) as answer:
        return json.load(answer)["events"]


def test_the_image_is_the_package_installed_for_a_user_without_rights(engine, image):
    version = subprocess.run([str(BUILD / "penstock"), "--version"], capture_output=True, text=True, check=True).stdout
    run = ["podman", "run", "--rm", "--network", "none"]
    assert engine.run(*run, image, "--version").stdout == version
    script = "id -u; stat -c '%U %a' /var/lib/penstock; dpkg-query -W -f 'penstock ${Version}\\n' penstock; ls -d /package 2>/dev/null || echo gone"
    found = engine.run(*run, "--entrypoint", "/bin/sh", image, "-c", script).stdout
    assert found == f"10001\npenstock 700\n{version}gone\n"


def test_the_context_of_a_build_from_source_is_the_checkout_without_what_is_built_or_secret(engine, tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    engine.run("podman", "build", "--file", str(tmp_path / "Dockerfile"), "--ignorefile", str(ROOT / ".dockerignore"), "--tag", "localhost/context", str(ROOT))
    engine.run("podman", "create", "--name", "context", "localhost/context", "none")
    engine.run("podman", "export", "--output", str(engine.store / "context.tar"), "context")
    taken = set(subprocess.run([*SUDO, "tar", "-tf", str(engine.store / "context.tar")], capture_output=True, text=True, check=True).stdout.splitlines())
    kept = subprocess.run(["git", "-C", str(ROOT), "ls-files", "--cached"], capture_output=True, text=True, check=True).stdout.splitlines()
    assert {name for name in kept if (ROOT / name).exists()} - taken == set()
    assert not [name for name in taken if name.split("/")[0] in (".build", ".venv", ".git", ".mesh", "data", "tokens")]


def test_without_a_package_given_the_one_that_is_built_within_is_taken(engine, tmp_path):
    """The stages only, since there is no Swift image here: what ops/package does is its own test."""
    docker = (ROOT / "ops" / "docker" / "Dockerfile").read_text()
    swift = re.search(r"^FROM (\S+) AS source$", docker, re.M)[1]
    engine.run("podman", "tag", BASE, swift)
    (tmp_path / "ops").mkdir()
    (tmp_path / "ops" / "package").write_text('#!/bin/sh\n[ "$1" = --output ] && mkdir "$2" && touch "$2/penstock_built_within.deb"\n')
    (tmp_path / "ops" / "package").chmod(0o755)
    engine.run(
        "podman", "build", "--file", str(ROOT / "ops" / "docker" / "Dockerfile"), "--target", "package", "--tag", "localhost/package", str(tmp_path))
    assert engine.run("podman", "run", "--rm", "--network", "none", "localhost/package", "ls", "/package").stdout == "penstock_built_within.deb\n"


def test_what_a_container_took_in_is_there_for_the_next(engine, image):
    def start():
        return Service(
            engine.command(
                "podman", "run", "--rm", "--network", "host", *CONFINED, "--volume", "kept:/var/lib/penstock", image, "up", "--config",
                "/etc/penstock/penstock.yaml", "--set", "ingest.listen=127.0.0.1:0", "--set", "query.listen=127.0.0.1:0"),
            ["ingest", "query"])

    service = start()
    try:
        assert post(service.ports["ingest"], event("container", 1))["appended"] == 1
        kept = events(service.ports["query"], "container")
        assert len(kept) == 1
    finally:
        # SIGTERM, which drains.
        code = service.stop()
        assert code == 0, "".join(service.lines)
    service = start()
    try:
        assert events(service.ports["query"], "container") == kept
        assert post(service.ports["ingest"], event("container", 1))["duplicates"] == 1
    finally:
        code = service.stop()
        assert code == 0, "".join(service.lines)


@pytest.fixture
def consul_image(engine, tmp_path):
    """Takes commands as the published one does."""
    binary = os.environ.get("PENSTOCK_CONSUL") or shutil.which("consul") or ROOT / ".consul" / "usr" / "bin" / "consul"
    shutil.copy(binary, tmp_path / "consul")
    (tmp_path / "entry").write_text('#!/bin/sh\ncase $1 in agent | connect) exec consul "$@" ;; *) exec "$@" ;; esac\n')
    (tmp_path / "entry").chmod(0o755)
    (tmp_path / "Dockerfile").write_text(f'FROM {BASE}\nCOPY consul entry /bin/\nENTRYPOINT ["/bin/entry"]\n')
    engine.run("podman", "build", "--tag", CONSUL, str(tmp_path))


def test_the_compose_files_mesh_takes_events_in_and_answers(engine, image, consul_image, tmp_path):
    project = f"penstock-test-{os.getpid()}"
    tokens = tmp_path / "tokens"
    tokens.write_text('{"token":"CHANGE-ME-0123456789","subject":"operator","scopes":["ingest","query","admin"],"sources":["*"]}\n')
    mesh = json.loads(json.dumps(COMPOSE))
    services = mesh["services"]
    # The services share a network with loopback, and use nothing else; the host's ports may be taken.
    del services["consul"]["ports"], services["log"]["build"]
    services["consul"]["network_mode"] = "none"
    for service in services.values():
        if service["image"] == "penstock":
            service["image"] = image
    mesh["secrets"]["tokens"]["file"] = str(tokens)
    mesh["name"] = project
    file = tmp_path / "compose.yaml"
    file.write_text(yaml.safe_dump(mesh))
    compose = [str(ROOT / ".venv" / "bin" / "podman-compose"), "--in-pod=0", "--file", str(file)]

    def inside(service, *arguments, check=True, **options):
        return engine.run("podman", "exec", "--interactive", f"{project}_{service}_1", *arguments, check=check, **options)

    try:
        engine.run(*compose, "up", "--detach", "--no-build")
        eventually(lambda: inside("consul", "consul", "intention", "get", "penstock-query", "penstock-compute", check=False).returncode == 0)
        # Both edges' checks pass as Consul makes them: they are registered, and have what they ask.
        for name in ("log", "compute", "ingest", "query"):
            eventually(lambda: f"penstock-{name}\n" in inside("consul", "consul", "catalog", "services", check=False).stdout)
        inside("ingest", "sh", "-c", "printf CHANGE-ME-0123456789 >/tmp/token")
        inside("query", "sh", "-c", "printf CHANGE-ME-0123456789 >/tmp/token")
        sent = eventually(lambda: inside(
            "ingest", "penstock", "send", "-", "--token-file", "/tmp/token", "--output", "json", check=False,
            input="".join(json.dumps(event("container", number)) + "\n" for number in range(1, 101))).stdout)
        assert json.loads(sent)[0]["appended"] == 100, sent
        found = eventually(lambda: inside(
            "query", "penstock", "events", "--source", "container", "--token-file", "/tmp/token", check=False).stdout)
        assert len(found.splitlines()) == 100
    except BaseException:
        print(engine.run("podman", "ps", "--all", check=False).stdout)
        for name in services:
            print(name, engine.run("podman", "logs", "--tail", "10", f"{project}_{name}_1", check=False).stderr)
        raise
    finally:
        names = [f"{project}_{name}_1" for name in ("ingest", "query", "compute", "log")]
        engine.run("podman", "stop", "--time", str(DEADLINE), *names, check=False)
        codes = engine.run("podman", "inspect", "--format", "{{.State.ExitCode}}", *names, check=False).stdout.split()
        engine.run(*compose, "down", "--volumes", "--timeout", "1", check=False)
    assert codes == ["0"] * 4, "each drains"
