"""Prometheus and Alertmanager without root: on PATH, else unpacked packages, else built.

The first way that gives working programs wins; links in ``opt/prometheus/bin`` point to them, so
that everybody else needs to know one folder only.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from deploy.config.paths import InstallPaths
from deploy.setup.screen import SetupFailed, say

NAMES = {
    "prometheus": ("prometheus",),
    "promtool": ("promtool",),
    "alertmanager": ("alertmanager", "prometheus-alertmanager"),
    "amtool": ("amtool",),
}
PACKAGES = ("prometheus", "prometheus-alertmanager")
# the newest that the Go module proxy serves whole; the tag leaves cloud discovery out
_GO = (
    ("-tags=remove_all_sd", "github.com/prometheus/prometheus/cmd/prometheus@v0.316.0"),
    ("-tags=remove_all_sd", "github.com/prometheus/prometheus/cmd/promtool@v0.316.0"),
    ("", "github.com/prometheus/alertmanager/cmd/alertmanager@v0.28.1"),
    ("", "github.com/prometheus/alertmanager/cmd/amtool@v0.28.1"),
)
_SECONDS = 1500.0


def installed(install_paths: InstallPaths) -> bool:
    """Whether all four programs are there."""
    return all((install_paths.prometheus / "bin" / name).exists() for name in NAMES)


def version(program: Path) -> str:
    """What `--version` says first, empty if the program does not run.

    >>> version(Path("/nowhere/prometheus"))
    ''
    """
    try:
        done = subprocess.run(
            [str(program), "--version"], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = re.search(r"version:? (?:\w+/)?([\d.]+[^\s/,]*)", done.stdout + done.stderr)
    return found[1] if found else ""


def install(install_paths: InstallPaths) -> str:
    """Find or make the four programs and link them.

    Raises
    ------
    SetupFailed
        When no way works, with what each of them said.
    """
    said: list[str] = []
    ways: tuple[tuple[str, Callable[[InstallPaths], Path | None]], ...] = (
        ("on PATH", on_path),
        ("from unpacked packages", from_packages),
        ("built with go", from_go),
    )
    for title, way in ways:
        try:
            folder = way(install_paths)
        except (OSError, subprocess.SubprocessError) as error:
            said.append(f"{title}: {_reason(error)}")
            continue
        programs = _programs(folder)
        if programs is not None:
            _link(install_paths, programs)
            return f"Prometheus {version(programs['prometheus'])} {title}"
        said.append(f"{title}: not all of {', '.join(NAMES)}")
    raise SetupFailed(
        "Prometheus and Alertmanager are needed and no way to get them worked ("
        + "; ".join(said)
        + "). Put prometheus, promtool, alertmanager and amtool on PATH and run `make setup` again."
    )


def _reason(error: Exception) -> str:
    output = getattr(error, "stderr", None) or str(error)
    return str(output).strip().splitlines()[-1] if str(output).strip() else type(error).__name__


def _programs(folder: Path | None) -> dict[str, Path] | None:
    """The four programs in a folder (None: on PATH) that run, or None if one is missing."""
    found: dict[str, Path] = {}
    for name, spellings in NAMES.items():
        for spelling in spellings:
            place = shutil.which(spelling, path=str(folder) if folder else None)
            if place and name not in found and version(Path(place)):
                found[name] = Path(place)
    return found if len(found) == len(NAMES) else None


def _link(install_paths: InstallPaths, programs: dict[str, Path]) -> None:
    links = install_paths.prometheus / "bin"
    links.mkdir(parents=True, exist_ok=True)
    for name, program in programs.items():
        fresh = links / f".{name}"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(program)
        os.replace(fresh, links / name)


def on_path(install_paths: InstallPaths) -> Path | None:
    """Nothing to fetch."""
    return None


def from_packages(install_paths: InstallPaths) -> Path:
    """Debian's packages, unpacked into our folder; nothing is installed on the machine."""
    folder = install_paths.prometheus / "packages"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        _run(["apt-get", "download", *PACKAGES], folder)
    except subprocess.CalledProcessError:
        own = _own_lists(folder)
        _run(["apt-get", *own, "update"], folder)
        _run(["apt-get", *own, "download", *PACKAGES], folder)
    for package in folder.glob("*.deb"):
        _run(["dpkg", "-x", str(package), str(folder)], folder)
        package.unlink()
    _at_home(folder)
    return folder / "usr" / "bin"


def _at_home(folder: Path) -> None:
    """Let Debian's Alertmanager find its templates where we unpacked them.

    It reads them from a fixed folder of the system. The name in the program is replaced by one of
    the same length that means the current folder, and a small script goes there first.
    """
    program = folder / "usr" / "bin" / "prometheus-alertmanager"
    fixed = b"/usr/share/prometheus/alertmanager"
    here = b"." + b"/" * (len(fixed) - 1)
    real = folder / "usr" / "lib" / "alertmanager"
    real.parent.mkdir(parents=True, exist_ok=True)
    real.write_bytes(program.read_bytes().replace(fixed, here))
    real.chmod(0o755)
    share = folder / fixed.decode().lstrip("/")
    program.write_text(f'#!/bin/sh\ncd "{share}" && exec "{real}" "$@"\n')


def _own_lists(folder: Path) -> list[str]:
    """Options that let apt keep package lists of our own, where the machine has none."""
    lists, cache = folder / "lists", folder / "cache"
    (lists / "partial").mkdir(parents=True, exist_ok=True)
    (cache / "archives" / "partial").mkdir(parents=True, exist_ok=True)
    return ["-o", f"Dir::State::lists={lists}", "-o", f"Dir::Cache={cache}"]


def from_go(install_paths: InstallPaths) -> Path:
    """Built from the released sources; takes about five minutes."""
    folder = install_paths.prometheus / "built"
    folder.mkdir(parents=True, exist_ok=True)
    say("    building Prometheus with go, about five minutes")
    environment = {**os.environ, "GOBIN": str(folder), "CGO_ENABLED": "0"}
    for tags, package in _GO:
        _run(["go", "install", *([tags] if tags else []), package], folder, environment)
    return folder


def _run(command: list[str], folder: Path, environment: dict[str, str] | None = None) -> None:
    subprocess.run(
        command,
        cwd=folder,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
    )
