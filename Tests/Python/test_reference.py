"""The reference of all modules, by DocC, which warns of nothing."""

import json
import os
import pathlib
import subprocess

from conftest import BUILD, ROOT


def test_docc_builds_the_reference_without_a_warning(tmp_path):
    built = subprocess.run(
        [str(ROOT / "ops" / "docs"), str(tmp_path)], capture_output=True, text=True, env={**os.environ, "PENSTOCK_BUILD_DIR": str(BUILD)})
    assert built.returncode == 0, built.stderr[-5000:]
    archive = pathlib.Path(built.stdout.strip())
    for module in ("Events", "Log", "Views", "PenstockClient"):
        page = json.loads((archive / "data" / "documentation" / f"{module.lower()}.json").read_text())
        assert page["metadata"]["title"] == module
