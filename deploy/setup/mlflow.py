"""Installs MLflow into an environment of its own, for copies of runs.

MLflow needs other versions of packages than the locked environment has. It is optional, so
`deploy.setup` installs it only when it is named. `mlflow.lock` pins mlflow-skinny with what a
database as its store needs (SQLAlchemy, Alembic); it was made by
``uv pip compile --generate-hashes --python-version 3.11`` of these three.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from deploy.config.paths import SETUP, InstallPaths
from deploy.setup import environment, stamps
from deploy.setup import uv as uv_program
from deploy.setup.screen import SetupFailed

LOCK = SETUP / "mlflow.lock"


def made_from() -> str:
    """Content of the stamp."""
    return stamps.digest(LOCK)


def python(install_paths: InstallPaths) -> Path:
    """The interpreter of MLflow's environment."""
    return install_paths.opt / "mlflow" / "bin" / "python"


def install(uv: Path, install_paths: InstallPaths) -> str:
    """Create the environment anew with exactly the packages of the lock.

    Raises
    ------
    SetupFailed
        When uv is missing, or cannot fetch or verify a package.
    """
    if not uv.exists():
        raise SetupFailed(f"{uv} is missing; `make setup` fetches it first.")
    folder = python(install_paths).parent.parent
    shutil.rmtree(folder, ignore_errors=True)
    clean = environment.clean_environment()
    uv_program.run([uv, "venv", "--python", sys.executable, folder], environment=clean)
    sync: list[str | Path] = [uv, "pip", "sync", "--require-hashes", "--compile-bytecode"]
    uv_program.run([*sync, "--python", python(install_paths), LOCK], environment=clean)
    return "MLflow in an environment of its own"
