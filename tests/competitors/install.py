"""Environments of the competitors, created by uv from locked files next to the engines.

A second call only computes the digest of the lock. The lock of a competitor is made from its `.in`
file, here:

    uv pip compile --generate-hashes --python-version 3.11 --no-header --no-annotate \\
        --python-platform x86_64-manylinux_2_28 \\
        -o tests/competitors/river.lock tests/competitors/river.in
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.config.paths import InstallPaths, install_paths
from deploy.setup import stamps
from deploy.setup.environment import UV, clean_environment
from deploy.setup.screen import SetupFailed

FOLDER = Path(__file__).resolve().parent
COMPETITORS = tuple(sorted(lock.stem for lock in FOLDER.glob("*.lock")))


def environment(competitor: str, paths: InstallPaths | None = None) -> Path:
    """The interpreter of a competitor's environment, which is created or renewed if its lock
    changed.

    Raises
    ------
    SetupFailed
        When there is no such competitor, or uv is missing or cannot fetch a package.
    """
    lock = FOLDER / f"{competitor}.lock"
    if competitor not in COMPETITORS:
        raise SetupFailed(
            f"There is no competitor {competitor!r}; there are {', '.join(COMPETITORS)}."
        )
    paths = paths or install_paths()
    folder = paths.opt / "competitors" / competitor
    python = folder / "bin" / "python"
    step, made_from = f"competitor-{competitor}", stamps.digest(lock, sys.version)
    if python.exists() and stamps.done(paths.stamps, step, made_from):
        return python
    with _locked(paths, competitor):
        if not (python.exists() and stamps.done(paths.stamps, step, made_from)):
            sys.stderr.write(f"  {competitor}: fetching the packages of its environment\n")
            _create(_uv(paths), folder, python, lock)
            stamps.mark(paths.stamps, step, made_from)
    return python


def _create(uv: Path, folder: Path, python: Path, lock: Path) -> None:
    _run(uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder))
    sync = ("pip", "sync", "--quiet", "--require-hashes", "--compile-bytecode")
    _run(uv, *sync, "--python", str(python), str(lock))


def _uv(paths: InstallPaths) -> Path:
    """The set-up's uv, that of the checkout whose engines are shared, or uv on PATH."""
    on_path = shutil.which("uv")
    shared = paths.opt.parent / "uv" / "bin" / "uv"
    for uv in (UV, shared, *([Path(on_path)] if on_path else [])):
        if uv.exists():
            return uv
    raise SetupFailed("uv is missing; `make setup` fetches it.")


def _run(uv: Path, *arguments: str) -> None:
    completed = subprocess.run([str(uv), *arguments], env=clean_environment(), check=False)
    if completed.returncode != 0:
        raise SetupFailed(
            "uv could not create the environment; its messages are above. When the network is "
            "available again, run the same command once more."
        )


@contextmanager
def _locked(paths: InstallPaths, competitor: str) -> Iterator[None]:
    """Excludes other installers of the same competitor."""
    folder = paths.opt / "competitors"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f".{competitor}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
