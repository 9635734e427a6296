"""The Debian package: built of the build under test, installed into this machine, started from its installed path, removed again."""

import fcntl
import gzip
import json
import os
import pathlib
import pwd
import re
import shutil
import subprocess
import urllib.request

import pytest
from conftest import BUILD, DEADLINE, ROOT, Service, event

UNITS = sorted((ROOT / "ops" / "systemd").glob("*.service"))


def as_root(*arguments, **options):
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    return subprocess.run([*sudo, *arguments], capture_output=True, text=True, **options)


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    built = subprocess.run(
        [str(ROOT / "ops" / "package"), "--executable", str(BUILD / "penstock"), "--output", str(tmp_path_factory.mktemp("package"))],
        capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return pathlib.Path(built.stdout.strip())


@pytest.fixture(scope="module")
def machine():
    """The machine's one place for the package: another run of the tests waits for its turn."""
    with open("/tmp/penstock-package-test.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="module")
def installed(package, machine):
    there = subprocess.run(["dpkg-query", "-W", "-f", "${db:Status-Status}", "penstock"], capture_output=True, text=True).stdout
    assert there in ("", "not-installed"), "a penstock package is installed here, which this test would replace: remove it first"
    folder = pathlib.Path("/var/lib/penstock")
    assert not folder.exists(), f"{folder} is there already, and may hold somebody's log"
    done = as_root("dpkg", "--install", str(package))
    try:
        assert done.returncode == 0, done.stderr
        yield
    finally:
        as_root("dpkg", "--purge", "penstock")
        as_root("rm", "-rf", str(folder))
        as_root("deluser", "--system", "penstock")


def test_its_version_is_the_executables_and_its_configuration_is_kept_as_such(package):
    fields = subprocess.run(["dpkg-deb", "--field", str(package), "Package", "Version", "Depends"], capture_output=True, text=True, check=True).stdout
    version = subprocess.run([str(BUILD / "penstock"), "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    assert f"Package: penstock\nVersion: {version}\n" in fields
    assert package.name.startswith(f"penstock_{version}_")
    conffiles = subprocess.run(["dpkg-deb", "--info", str(package), "conffiles"], capture_output=True, text=True, check=True).stdout
    assert conffiles.split() == ["/etc/penstock/penstock.yaml", "/etc/penstock/views.yaml"]


def test_lintian_has_neither_error_nor_warning_to_tell(package):
    assert shutil.which("lintian"), "ops/test installs it"
    checked = subprocess.run(["lintian", "--fail-on", "error,warning", "--tag-display-limit", "0", str(package)], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_its_manual_page_says_what_help_says(package, tmp_path):
    subprocess.run(["dpkg-deb", "--extract", str(package), str(tmp_path)], check=True)
    page = gzip.decompress((tmp_path / "usr/share/man/man1/penstock.1.gz").read_bytes()).decode()
    told = subprocess.run([str(BUILD / "penstock"), "--help"], capture_output=True, text=True, check=True, env=dict(os.environ, COLUMNS="80")).stdout
    shown = re.sub(r"^\\&", "", page, flags=re.M).replace("\\-", "-").replace("\\e", "\\")
    assert "SUBCOMMANDS:" in told and told in shown


def test_it_runs_from_its_installed_path_as_its_own_user(installed):
    user = pwd.getpwnam("penstock")
    assert user.pw_uid != 0 and user.pw_dir == "/var/lib/penstock"
    folder = pathlib.Path("/var/lib/penstock").stat()
    assert (folder.st_uid, folder.st_mode & 0o777) == (user.pw_uid, 0o700)
    # Its own libraries, where the build is one that needs them: no Swift is asked of the machine.
    loaded = subprocess.run(
        ["ldd", "/usr/lib/penstock/penstock"], capture_output=True, text=True, check=True).stdout
    assert "not found" not in loaded
    checked = as_root("runuser", "-u", "penstock", "--", "/usr/bin/penstock", "config", "check", "--config", "/etc/penstock/penstock.yaml", "--output", "json")
    assert checked.returncode == 0, checked.stderr
    values = {one["key"]: one for one in json.loads(checked.stdout)}
    assert values["data"]["value"] == "/var/lib/penstock"
    assert values["views"]["value"] == "/etc/penstock/views.yaml"
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    service = Service(
        # Becomes the executable, which so has the signal that ends it.
        [*sudo, "setpriv", "--reuid=penstock", "--regid=penstock", "--init-groups", "/usr/bin/penstock", "up", "--config", "/etc/penstock/penstock.yaml", "--set", "ingest.listen=127.0.0.1:0",
         "--set", "query.listen=127.0.0.1:0"], ["ingest", "query"])
    try:
        request = urllib.request.Request(
            f"http://127.0.0.1:{service.ports['ingest']}/v1/events", data=json.dumps(event("package", 1)).encode(),
            headers={"Content-Type": "application/cloudevents+json"})
        with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
            assert json.load(answer)["appended"] == 1
        with urllib.request.urlopen(f"http://127.0.0.1:{service.ports['query']}/v1/views", timeout=DEADLINE) as answer:
            assert {one["name"] for one in json.load(answer)["views"]} >= {"station_daily"}
    finally:
        code = service.stop()
        assert code == 0, "".join(service.lines)
    listed = as_root("runuser", "-u", "penstock", "--", "/usr/bin/penstock", "log", "list", "--data", "/var/lib/penstock", "--output", "json")
    assert listed.returncode == 0, listed.stderr


def asked_of_systemd(tmp_path, script, *arguments):
    """The calls of systemd by a maintainer's script, in a mount namespace, so that nothing of this machine is meant."""
    told = tmp_path / "told"
    systemctl = tmp_path / "systemctl"
    systemctl.write_text(f'#!/bin/sh\necho "$*" >>{told}\n')
    systemctl.chmod(0o755)
    done = as_root(
        "env", f"PATH={tmp_path}:/usr/sbin:/usr/bin:/sbin:/bin", "unshare", "--mount", "--propagation", "private", "sh", "-ec",
        # A container's image may forbid its packages to start or stop anything.
        'if [ -e /usr/sbin/policy-rc.d ]; then mount --bind /dev/null /usr/sbin/policy-rc.d; fi; mount -t tmpfs none /run; mkdir -p /run/systemd/system; mount -t tmpfs none /var/lib; mount -t tmpfs none /etc/systemd; '
        'mkdir -p /etc/systemd/system/multi-user.target.wants; cd /etc/systemd/system/multi-user.target.wants; '
        'touch penstock.service penstock-log@1.service penstock-ingest@2.service other@1.service; cd /; "$@"; '
        'ls /etc/systemd/system/multi-user.target.wants', "sh", str(ROOT / "ops" / "debian" / script), *arguments)
    assert done.returncode == 0, done.stderr
    return told.read_text().splitlines() if told.exists() else [], done.stdout.split()


def test_a_removal_stops_each_unit_and_every_instance_the_edges_first(tmp_path):
    services, _ = asked_of_systemd(tmp_path, "prerm", "remove")
    units = ["penstock", *(f"penstock-{name}@*" for name in ("ingest", "query", "compute", "log", "sidecar"))]
    assert services == [f"stop {unit}.service" for unit in units]
    assert {unit.name for unit in UNITS} == {f"{unit.replace('*', '')}.service" for unit in units}
    (tmp_path / "upgrade").mkdir()
    assert asked_of_systemd(tmp_path / "upgrade", "prerm", "upgrade", "0.2.0")[0] == []


def test_an_upgrade_restarts_the_instances_that_run_and_a_first_installation_starts_nothing(installed, tmp_path):
    (tmp_path / "first").mkdir()
    assert asked_of_systemd(tmp_path / "first", "postinst", "configure", "")[0] == ["--system daemon-reload"]
    services, _ = asked_of_systemd(tmp_path, "postinst", "configure", "0.0.9")
    units = ["penstock", *(f"penstock-{name}@*" for name in ("log", "compute", "query", "ingest"))]
    assert services == ["--system daemon-reload", *(f"try-restart {unit}.service" for unit in units)]


def test_removed_it_leaves_the_log_and_its_configuration_and_nothing_else(installed):
    """The last of those that use the installed package."""
    as_root("touch", "/var/lib/penstock/a-log")
    assert as_root("dpkg", "--remove", "penstock").returncode == 0
    assert not pathlib.Path("/usr/bin/penstock").is_symlink() and not pathlib.Path("/usr/lib/penstock").exists()
    assert as_root("test", "-e", "/etc/penstock/penstock.yaml").returncode == 0
    purged = as_root("dpkg", "--purge", "penstock")
    assert purged.returncode == 0 and "stays" in purged.stderr
    assert as_root("test", "-e", "/var/lib/penstock/a-log").returncode == 0
    assert not pathlib.Path("/etc/penstock").exists()


def test_a_removal_leaves_no_enabled_unit_behind(tmp_path):
    assert asked_of_systemd(tmp_path, "postrm", "remove") == (["--system daemon-reload"], ["other@1.service"])


# Units may differ in their command, their user, and the time that a start may take.
OWN = {
    "Type", "StateDirectory", "WorkingDirectory", "EnvironmentFile", "Environment", "LoadCredential", "ExecStart", "ExecReload", "TimeoutStopSec",
    "Restart", "RestartSec", "ReadWritePaths", "LimitNOFILE", "User", "Group", "StateDirectoryMode",
}


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_every_unit_is_as_hardened_as_the_one_that_runs_all(unit):
    def hardening(path):
        service = path.read_text().partition("[Service]\n")[2].partition("\n[")[0]
        settings = [line.split("=", 1) for line in service.splitlines() if line and not line.startswith("#")]
        return {name: value for name, value in settings if name not in OWN}, dict(settings)

    whole, _ = hardening(ROOT / "ops" / "systemd" / "penstock.service")
    assert len(whole) > 20 and whole["UMask"] == "0077"
    found, settings = hardening(unit)
    assert found == whole
    if "StateDirectory" in settings:
        assert settings["StateDirectoryMode"] == "0700"


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_the_units_are_what_systemd_takes(unit, tmp_path):
    assert shutil.which("systemd-analyze"), "ops/test installs it"
    # Where nothing is installed, any executable stands for those that units start.
    text = re.sub(r"^(Exec\w+=)(/\S+)", r"\1/bin/true", unit.read_text(), flags=re.M)
    copy = tmp_path / unit.name.replace("@", "@1")
    copy.write_text(text)
    verified = subprocess.run(["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True)
    assert (verified.returncode, verified.stderr) == (0, "")
