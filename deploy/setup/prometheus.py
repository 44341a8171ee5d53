"""Installs Prometheus and Alertmanager without root.

Three sources are tried in turn: programs on PATH, Debian's packages unpacked into the state folder,
and a build from the released sources with go. Links in ``opt/prometheus/bin`` point to the programs
of the first source that works.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from deploy.config.paths import InstallPaths
from deploy.setup.screen import Progress, SetupFailed

NAMES = {
    "prometheus": ("prometheus",),
    "promtool": ("promtool",),
    "alertmanager": ("alertmanager", "prometheus-alertmanager"),
    "amtool": ("amtool",),
}
PACKAGES = ("prometheus", "prometheus-alertmanager")
# the newest versions that the Go module proxy serves; the tag leaves cloud discovery out
_GO = (
    ("-tags=remove_all_sd", "github.com/prometheus/prometheus/cmd/prometheus@v0.316.0"),
    ("-tags=remove_all_sd", "github.com/prometheus/prometheus/cmd/promtool@v0.316.0"),
    ("", "github.com/prometheus/alertmanager/cmd/alertmanager@v0.28.1"),
    ("", "github.com/prometheus/alertmanager/cmd/amtool@v0.28.1"),
)
_TIMEOUT_SECONDS = 1500.0
POLL_SECONDS = 0.1


def installed(install_paths: InstallPaths) -> bool:
    """Whether all four programs are installed."""
    return all((install_paths.prometheus / "bin" / name).exists() for name in NAMES)


def version(program: Path) -> str:
    """The version that `--version` prints; empty if the program does not run.

    >>> version(Path("/nowhere/prometheus"))
    ''
    """
    try:
        completed = subprocess.run(
            [str(program), "--version"], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    match = re.search(r"version:? (?:\w+/)?([\d.]+[^\s/,]*)", completed.stdout + completed.stderr)
    return match[1] if match else ""


def install(install_paths: InstallPaths) -> str:
    """Find or build the four programs and link them.

    Raises
    ------
    SetupFailed
        When no source works; the message has the reason of each.
    """
    reasons: list[str] = []
    sources: tuple[tuple[str, Callable[[InstallPaths], Path | None]], ...] = (
        ("on PATH", on_path),
        ("from unpacked packages", from_packages),
        ("built with go", from_go),
    )
    for title, source in sources:
        try:
            folder = source(install_paths)
        except (OSError, subprocess.SubprocessError) as error:
            reasons.append(f"{title}: {_reason(error)}")
            continue
        programs = _programs(folder)
        if programs is not None:
            _link(install_paths, programs)
            return f"Prometheus {version(programs['prometheus'])} {title}"
        reasons.append(f"{title}: not all of {', '.join(NAMES)}")
    raise SetupFailed(
        "Prometheus and Alertmanager could not be installed ("
        + "; ".join(reasons)
        + "). Put prometheus, promtool, alertmanager and amtool on PATH and run `make setup` again."
    )


def _reason(error: Exception) -> str:
    output = getattr(error, "stderr", None) or str(error)
    return str(output).strip().splitlines()[-1] if str(output).strip() else type(error).__name__


def _programs(folder: Path | None) -> dict[str, Path] | None:
    """The four programs in a folder (None: on PATH); None if one is missing or does not run."""
    programs: dict[str, Path] = {}
    for name, spellings in NAMES.items():
        for spelling in spellings:
            path = shutil.which(spelling, path=str(folder) if folder else None)
            if path and name not in programs and version(Path(path)):
                programs[name] = Path(path)
    return programs if len(programs) == len(NAMES) else None


def _link(install_paths: InstallPaths, programs: dict[str, Path]) -> None:
    links = install_paths.prometheus / "bin"
    links.mkdir(parents=True, exist_ok=True)
    for name, program in programs.items():
        fresh = links / f".{name}"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(program)
        os.replace(fresh, links / name)


def on_path(install_paths: InstallPaths) -> Path | None:
    """Use the programs on PATH."""
    return None


def from_packages(install_paths: InstallPaths) -> Path:
    """Unpack Debian's packages into the state folder; the system is not changed."""
    folder = install_paths.prometheus / "packages"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        _run(["apt-get", "download", *PACKAGES], folder)
    except subprocess.CalledProcessError:
        options = _package_lists(folder)
        _run(["apt-get", *options, "update"], folder)
        _run(["apt-get", *options, "download", *PACKAGES], folder)
    for package in folder.glob("*.deb"):
        _run(["dpkg", "-x", str(package), str(folder)], folder)
        package.unlink()
    _relocate_alertmanager(folder)
    return folder / "usr" / "bin"


def _relocate_alertmanager(folder: Path) -> None:
    """Make Debian's Alertmanager find its templates in the state folder.

    The program reads them from a fixed system folder. That name is replaced by one of the same
    length that means the current folder, and a small script changes to the right folder first.
    """
    program = folder / "usr" / "bin" / "prometheus-alertmanager"
    fixed = b"/usr/share/prometheus/alertmanager"
    current = b"." + b"/" * (len(fixed) - 1)
    binary = folder / "usr" / "lib" / "alertmanager"
    binary.parent.mkdir(parents=True, exist_ok=True)
    binary.write_bytes(program.read_bytes().replace(fixed, current))
    binary.chmod(0o755)
    share = folder / fixed.decode().lstrip("/")
    program.write_text(f'#!/bin/sh\ncd "{share}" && exec "{binary}" "$@"\n')


def _package_lists(folder: Path) -> list[str]:
    """Options for separate package lists, for machines without any."""
    lists, cache = folder / "lists", folder / "cache"
    (lists / "partial").mkdir(parents=True, exist_ok=True)
    (cache / "archives" / "partial").mkdir(parents=True, exist_ok=True)
    return ["-o", f"Dir::State::lists={lists}", "-o", f"Dir::Cache={cache}"]


def from_go(install_paths: InstallPaths) -> Path:
    """Build the programs from the released sources; takes about five minutes."""
    folder = install_paths.prometheus / "built"
    folder.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "GOBIN": str(folder), "CGO_ENABLED": "0"}
    for number, (tags, package) in enumerate(_GO, start=1):
        name = package.rpartition("/")[2].partition("@")[0]
        command = ["go", "install", *([tags] if tags else []), package]
        _run(command, folder, environment, f"building {name} with go, {number} of {len(_GO)}")
    return folder


def _run(
    command: list[str], folder: Path, environment: dict[str, str] | None = None, text: str = ""
) -> None:
    """Run a command; shows `text`, or the command, while it runs."""
    progress, deadline = Progress(), time.monotonic() + _TIMEOUT_SECONDS
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=output, stderr=output
        )
        try:
            while process.poll() is None:
                if time.monotonic() > deadline:
                    raise subprocess.TimeoutExpired(command, _TIMEOUT_SECONDS)
                progress.update(text or " ".join(command[:2]))
                time.sleep(POLL_SECONDS)
        finally:
            progress.close()
            if process.poll() is None:
                process.kill()
                process.wait()
        if process.returncode != 0:
            output.seek(0)
            raise subprocess.CalledProcessError(process.returncode, command, stderr=output.read())
