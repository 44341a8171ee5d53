"""Environments of the compared detectors: made by uv from locked files, beside the engines.

A second call costs a digest of the lock. The lock of a peer is made from its `.in` file, here:

    uv pip compile --generate-hashes --python-version 3.11 --no-header --no-annotate \\
        --python-platform x86_64-manylinux_2_28 -o tests/competitors/river.lock tests/competitors/river.in
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

HERE = Path(__file__).resolve().parent
PEERS = tuple(sorted(lock.stem for lock in HERE.glob("*.lock")))


def environment(peer: str, here: InstallPaths | None = None) -> Path:
    """The interpreter of a peer's environment; makes or renews it when its lock asks for that.

    Raises
    ------
    SetupFailed
        When there is no such peer, or uv is missing or cannot fetch a package.
    """
    lock = HERE / f"{peer}.lock"
    if peer not in PEERS:
        raise SetupFailed(f"There is no peer {peer!r}; there are {', '.join(PEERS)}.")
    here = here or install_paths()
    folder = here.opt / "peers" / peer
    python = folder / "bin" / "python"
    step, made_from = f"peer-{peer}", stamps.digest(lock, sys.version)
    if python.exists() and stamps.done(here.stamps, step, made_from):
        return python
    with _alone(here, peer):
        if not (python.exists() and stamps.done(here.stamps, step, made_from)):
            sys.stderr.write(f"  {peer}: fetching the packages of its environment\n")
            _make(_uv(here), folder, python, lock)
            stamps.mark(here.stamps, step, made_from)
    return python


def _make(uv: Path, folder: Path, python: Path, lock: Path) -> None:
    _run(uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder))
    sync = ("pip", "sync", "--quiet", "--require-hashes", "--compile-bytecode")
    _run(uv, *sync, "--python", str(python), str(lock))


def _uv(here: InstallPaths) -> Path:
    """The set-up's own uv, also that of the checkout whose engines are shared, or uv on PATH."""
    found = shutil.which("uv")
    near = here.opt.parent / "uv" / "bin" / "uv"
    for uv in (UV, near, *([Path(found)] if found else [])):
        if uv.exists():
            return uv
    raise SetupFailed("uv is missing; `make setup` fetches it.")


def _run(uv: Path, *arguments: str) -> None:
    done = subprocess.run([str(uv), *arguments], env=clean_environment(), check=False)
    if done.returncode != 0:
        raise SetupFailed(
            "uv could not make the environment; its messages are above. With the network back, "
            "run the same command again."
        )


@contextmanager
def _alone(here: InstallPaths, peer: str) -> Iterator[None]:
    """One installer of a peer at a time."""
    folder = here.opt / "peers"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f".{peer}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
