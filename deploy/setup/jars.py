"""Downloads the jars of `jars.lock`: in parallel, resumable, each checked against its digest.

The repository's address is the one that Beam uses (a constant in its sources, read without
importing Beam); DRIFTLINE_MAVEN_REPOSITORY names a mirror. A jar of the right size was verified
when it was renamed into place, so it is not downloaded again.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from deploy.config.paths import SETUP, InstallPaths
from deploy.setup import stamps
from deploy.setup.screen import Progress, SetupFailed

LOCK = SETUP / "jars.lock"
_HEAD = "# engine coordinates bytes sha256; made by deploy/setup/resolve_jars.py, do not edit\n"
_TRIES = 4
_WAIT_SECONDS = 60.0
_PARALLEL = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Jar:
    """One pinned jar."""

    engine: str
    coordinates: str
    """group:artifact:version"""
    size: int
    sha256: str

    @property
    def name(self) -> str:
        """File name, as in the repository."""
        _, artifact, version = self.coordinates.split(":")
        return f"{artifact}-{version}.jar"

    @property
    def path(self) -> str:
        """Path inside a Maven repository."""
        group, artifact, version = self.coordinates.split(":")
        return f"{group.replace('.', '/')}/{artifact}/{version}/{self.name}"


def parse(text: str) -> tuple[Jar, ...]:
    """Parse a lock.

    >>> parse("# head\\nkafka org.lz4:lz4-java:1.8.0 682804 d74a\\n")[0].path
    'org/lz4/lz4-java/1.8.0/lz4-java-1.8.0.jar'
    """
    lines = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    return tuple(Jar(engine=e, coordinates=c, size=int(s), sha256=d) for e, c, s, d in lines)


def to_text(jars: Iterable[Jar]) -> str:
    """Format a lock; the inverse of `parse`."""
    rows = [f"{jar.engine} {jar.coordinates} {jar.size} {jar.sha256}\n" for jar in jars]
    return _HEAD + "".join(rows)


def file_digest(file: Path) -> str:
    """SHA-256 of a file, in hex."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def repository(install_paths: InstallPaths, environment: Mapping[str, str] = os.environ) -> str:
    """Address of the Maven repository: the override, else the constant in Beam's sources."""
    override = environment.get("DRIFTLINE_MAVEN_REPOSITORY")
    if override:
        return override.rstrip("/")
    source = install_paths.site_packages / "apache_beam" / "utils" / "subprocess_server.py"
    constant = re.compile(r"^\s*MAVEN_CENTRAL_REPOSITORY = '([^']+)'", re.MULTILINE)
    match = constant.search(source.read_text()) if source.exists() else None
    if match is None:
        raise SetupFailed(
            f"No repository address in {source}; run `make setup`, or set "
            "DRIFTLINE_MAVEN_REPOSITORY to the address of a Maven repository."
        )
    return match[1]


def install(engine: str, folder: Path, install_paths: InstallPaths, lock: Path = LOCK) -> str:
    """Make a folder match the lock: download missing jars, remove unlisted files.

    Raises
    ------
    SetupFailed
        When jars cannot be downloaded or do not have their digest; the others stay.
    """
    listed = [jar for jar in parse(lock.read_text()) if jar.engine == engine]
    folder.mkdir(parents=True, exist_ok=True)
    _remove_unlisted(folder, {jar.name for jar in listed})
    missing = [jar for jar in listed if not _is_complete(folder / jar.name, jar.size)]
    if missing:
        source = repository(install_paths)
        _download_all(missing, lambda jar: download(f"{source}/{jar.path}", folder / jar.name, jar))
    total = sum(jar.size for jar in listed) / 1e6
    return f"{len(listed)} jars, {total:.0f} MB ({len(missing)} downloaded now)"


def _is_complete(file: Path, size: int) -> bool:
    return file.exists() and file.stat().st_size == size


def _remove_unlisted(folder: Path, keep: set[str]) -> None:
    for file in folder.iterdir():
        if file.name not in keep:
            file.unlink()


def _download_all(missing: Sequence[Jar], get: Callable[[Jar], None]) -> None:
    done, failed, progress = [], [], Progress()
    total = sum(jar.size for jar in missing) / 1e6
    with ThreadPoolExecutor(_PARALLEL) as pool:
        running = {pool.submit(get, jar): jar for jar in missing}
        for finished in as_completed(running):
            done.append(running[finished])
            error = finished.exception()
            if error is not None:
                failed.append(f"{running[finished].coordinates}: {error}")
            megabytes = sum(jar.size for jar in done) / 1e6
            progress.update(
                f"downloading: {len(done)} of {len(missing)} jars, "
                f"{megabytes:,.0f} of {total:,.0f} MB"
            )
    progress.close()
    if failed:
        raise SetupFailed(
            f"{len(failed)} of {len(missing)} jars could not be downloaded; the others stay. Run "
            "the same command again when the network is back. First: " + failed[0]
        )


def download(address: str, target: Path, jar: Jar) -> None:
    """Download one jar, check it and rename it into place; retries when the network fails."""
    if not address.startswith(("https://", "http://", "file://")):
        raise SetupFailed(f"{address} is not a repository address; it must begin with https://.")
    for attempt in range(1, _TRIES + 1):
        try:
            with urllib.request.urlopen(address, timeout=_WAIT_SECONDS) as response:  # noqa: S310
                content = response.read()
            break
        except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
            permanent = isinstance(error, urllib.error.HTTPError) and error.code in {403, 404, 410}
            if permanent or attempt == _TRIES:
                raise
            time.sleep(2.0**attempt)
    digest = hashlib.sha256(content).hexdigest()
    if digest != jar.sha256:
        raise SetupFailed(
            f"{target.name} has digest {digest[:12]}… instead of {jar.sha256[:12]}…; "
            "the repository or a proxy has changed it."
        )
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    fresh.write_bytes(content)
    os.replace(fresh, target)


def made_from(engine: str, lock: Path = LOCK) -> str:
    """Content of the stamp of an engine's jars."""
    return stamps.digest(engine, lock)
