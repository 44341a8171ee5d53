"""A project of the user's own, outside the checkout: every process finds its package."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.app.deployment import Deployment
from deploy.config import loader
from deploy.config.paths import PROJECT, install_paths
from deploy.local.embedded import process_specs
from streaming.contracts.errors import ConfigurationError

CONTRACT = """
from pathlib import Path
from retrain.models.code import ModelCode
from streaming.contracts.model import FeatureSpec

CODE = ModelCode(
    features=(FeatureSpec(name="age", kind="number"),),
    schema=Path(__file__).with_name("schema.pbtxt"),
    preprocessing_fn="x.y", run_fn="x.z", label="left", label_columns=("churned",),
)
"""
SETTINGS = """
code: CODE_FOLDER
models:
  NAME:
    module: NAME.model
    events: {topic: a, key: id}
    labels: {topic: b, key: id}
local: {port_offset: 19000}
"""


def project(folder: Path, name: str, code: str = ".") -> Path:
    """A project with the package `name`; returns its driftline.yaml."""
    package = folder / code / name / "model"
    package.mkdir(parents=True)
    (package / "contract.py").write_text(CONTRACT)
    file = folder / "driftline.yaml"
    file.write_text(SETTINGS.replace("NAME", name).replace("CODE_FOLDER", code))
    return file


def import_in_new_process(module: str, env: dict[str, str], folder: Path) -> int:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, "-c", f"import {module}, streaming.contracts.model"],
        env=environment | env,
        cwd=folder,
        check=False,
        capture_output=True,
    ).returncode


@pytest.mark.parametrize("code", [".", "src/python"])
def test_the_package_lies_beside_the_file(tmp_path: Path, code: str) -> None:
    name = "beside_" + code.replace("/", "_").replace(".", "dot")
    file = project(tmp_path / "churn", name, code)
    settings = loader.load(file, environment={}, contracts=True)
    assert settings.models[name].module == f"{name}.model"


def test_every_service_and_every_beam_worker_can_import_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRIFTLINE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    file = project(tmp_path / "churn", "for_services")
    deployment = Deployment.load(file)
    specs = {spec.name: spec for spec in process_specs(deployment, install_paths())}
    module = "for_services.model.contract"
    for name in ("daemon", "worker", "stream-watchdog", "beam-workers"):
        assert import_in_new_process(module, specs[name].env, tmp_path) == 0, name
    assert import_in_new_process(module, {"PYTHONPATH": str(PROJECT)}, tmp_path) != 0


def test_the_command_finds_it_from_another_folder(tmp_path: Path) -> None:
    example = shutil.copytree(PROJECT / "examples" / "churn", tmp_path / "churn")
    checked = subprocess.run(
        [sys.executable, "-m", "deploy.cli.main", "config", "check"],
        env={
            **os.environ,
            "PYTHONPATH": str(PROJECT),
            "DRIFTLINE_CONFIG": str(example / "driftline.yaml"),
        },
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stderr


def test_a_missing_folder_is_refused_with_its_line(tmp_path: Path) -> None:
    file = project(tmp_path, "missing_code")
    file.write_text(file.read_text().replace("code: .", "code: nowhere"))
    with pytest.raises(ConfigurationError, match=r"driftline.yaml:2: code: .*nowhere is no folder"):
        loader.load(file, environment={})


def test_a_package_that_another_one_hides_is_refused(tmp_path: Path) -> None:
    """`code` comes last in the import path, so that a user's folder replaces no library."""
    file = project(tmp_path, "yaml")
    with pytest.raises(ConfigurationError, match="is hidden by an installed package"):
        loader.load(file, environment={})


def test_a_users_folder_never_replaces_a_package_of_driftline(tmp_path: Path) -> None:
    file = project(tmp_path, "own_model")
    (tmp_path / "serving").mkdir()
    (tmp_path / "serving" / "__init__.py").write_text("raise RuntimeError('the wrong package')")
    loader.load(file, environment={})
    assert sys.path[-1] == str(tmp_path)
