"""`pip install .` gives a working `driftline`, whose state lies outside site-packages."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.config.paths import PROJECT

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's wheel in a folder of its own; its dependencies are those of the test run."""
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "dist")]
    subprocess.run(pip, cwd=PROJECT, check=True, capture_output=True)
    (wheel,) = (folder / "dist").glob("driftline-*.whl")
    uv = PROJECT / ".driftline" / "uv" / "bin" / "uv"
    command = [str(uv), "pip", "install", "--quiet", "--no-deps", "--python", sys.executable]
    command += ["--target", str(folder / "site"), str(wheel)]
    subprocess.run(command, check=True, capture_output=True)
    return folder / "site"


def run(installed: Path, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("DRIFTLINE")
    }
    environment |= {"PYTHONPATH": str(installed), "HOME": str(home), "NO_COLOR": "1"}
    environment.pop("XDG_STATE_HOME", None)
    command = [sys.executable, "-P", str(installed / "bin" / "driftline"), *arguments]
    return subprocess.run(
        command, cwd=home, env=environment, capture_output=True, text=True, check=False
    )


def test_the_command_of_the_wheel_runs(installed: Path, tmp_path: Path) -> None:
    version = run(installed, tmp_path, "--version")
    assert (version.returncode, version.stdout[:10]) == (0, "driftline ")
    checked = run(installed, tmp_path, "config", "check")
    assert checked.returncode == 0, checked.stderr
    assert str(installed) in checked.stderr  # the configuration that ships in the wheel


def test_its_state_lies_in_the_users_state_folder(installed: Path, tmp_path: Path) -> None:
    show = "from deploy.config import paths; print(paths.home(), paths.install_paths().opt)"
    environment = os.environ | {"PYTHONPATH": str(installed), "HOME": str(tmp_path)}
    for name in ("XDG_STATE_HOME", "DRIFTLINE_HOME", "DRIFTLINE_OPT"):
        environment.pop(name, None)
    shown = subprocess.run(
        [sys.executable, "-P", "-c", show],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    state = tmp_path / ".local" / "state" / "driftline"
    assert shown.stdout.split() == [str(state), str(state / "opt")]


def test_nothing_is_written_into_the_installed_package(installed: Path, tmp_path: Path) -> None:
    before = sorted(file for file in installed.rglob("*") if "__pycache__" not in file.parts)
    run(installed, tmp_path, "status")
    after = sorted(file for file in installed.rglob("*") if "__pycache__" not in file.parts)
    assert after == before


@pytest.mark.parametrize(
    "file",
    [
        "deploy/config/driftline.yaml",
        "deploy/config/demo-avro.yaml",
        "deploy/config/demo.yaml",
        "deploy/console/assets/pico-2.1.1.min.css",
        "deploy/console/assets/licences/inter.txt",
        "deploy/console/templates/base.html",
        "deploy/prometheus/rules/loop.yml",
        "deploy/setup/jars.lock",
        "retrain/models/big_tipper/schema.pbtxt",
        "streaming/py.typed",
    ],
)
def test_the_wheel_carries_its_data_files(installed: Path, file: str) -> None:
    assert (installed / file).is_file()
