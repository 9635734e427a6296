"""Penstock's files are for its own user alone, whatever the shell's umask."""

import json
import os
import subprocess

from conftest import BUILD, VIEWS, Service, eventually
from test_http import request


def modes(folder):
    """Path → mode of everything in the folder, which itself is given."""
    return {path: path.stat().st_mode & 0o777 for path in folder.rglob("*")}


def start(folder):
    arguments = [
        str(BUILD / "penstock"), "up", "--data", str(folder / "data"), "--views", str(folder / "views.yaml"),
        "--set", "ingest.listen=127.0.0.1:0", "--set", "query.listen=127.0.0.1:0", "--set", "compute.checkpoint_interval=50ms",
    ]
    before = os.umask(0o022)
    try:
        return Service(arguments, ["ingest", "query"])
    finally:
        os.umask(before)


def test_folders_are_0700_and_files_0600(tmp_path):
    (tmp_path / "views.yaml").write_text(VIEWS)
    service = start(tmp_path)
    try:
        event = {"source": "a", "type": "t", "time": "2024-01-01T00:00:00Z", "data": {"temp": 1}}
        status, _, body = request(service.ports["ingest"], "POST", "/v1/events", json.dumps(event), {"Content-Type": "application/json"})
        assert status == 200, body
        eventually(lambda: any(path.name == "state.sqlite" for path in modes(tmp_path / "data")))
        running = modes(tmp_path / "data")
    finally:
        assert service.stop() == 0
    found = running | modes(tmp_path / "data")
    assert {path.suffix for path in found} >= {".segment", ".sqlite"}
    for path, mode in found.items():
        assert mode == (0o700 if path.is_dir() else 0o600), (path, oct(mode))
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700


def test_what_an_earlier_version_left_open_is_closed(tmp_path):
    (tmp_path / "views.yaml").write_text(VIEWS)
    assert start(tmp_path).stop() == 0
    for name in ("log", "compute"):
        (tmp_path / "data" / name).chmod(0o755)
    assert start(tmp_path).stop() == 0
    for name in ("log", "compute"):
        assert (tmp_path / "data" / name).stat().st_mode & 0o777 == 0o700


def test_an_export_is_its_users_alone(tmp_path):
    (tmp_path / "views.yaml").write_text(VIEWS)
    assert start(tmp_path).stop() == 0
    copy = tmp_path / "events.ndjson"
    subprocess.run(
        [str(BUILD / "penstock"), "log", "export", "--data", str(tmp_path / "data"), str(copy)], check=True, umask=0o022, capture_output=True
    )
    assert copy.stat().st_mode & 0o777 == 0o600
