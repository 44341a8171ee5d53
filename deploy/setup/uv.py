"""Runs uv and shows its progress: packages and bytes while it downloads, then files it compiles.

Without a terminal uv writes one line when a large download begins and one when it ends. These
lines, the bytes that the process has written, and the files of the environment are the sources.
"""

from __future__ import annotations

import os
import re
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deploy.setup.screen import LINE_SECONDS, REDRAW_SECONDS, Progress, SetupFailed

_ANNOUNCED = re.compile(r"^Downloading (\S+) \(([\d.]+)(B|KiB|MiB|GiB)\)")
_DOWNLOADED = re.compile(r"^ *Downloaded (\S+)")
_PHASE = re.compile(r"^(Resolved|Prepared|Installed|Bytecode compiled) (\d+)")
_ROUTINE = re.compile(r"^( *[-+~] |Using |Uninstalled |Audited |Checked | *Built | *Building )")
_BYTES = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}


class TargetFolder:
    """Counts the packages and files of a site-packages folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = (0, 0)
        self._counted_at = float("-inf")

    def packages(self) -> int:
        """Number of installed packages."""
        return sum(1 for _ in self._folder.glob("*.dist-info"))

    def files(self) -> tuple[int, int]:
        """Number of Python sources and of compiled files; counted at most every few seconds."""
        if time.monotonic() - self._counted_at >= LINE_SECONDS:
            names = [name for _, _, files in os.walk(self._folder) for name in files]
            sources = sum(name.endswith(".py") for name in names)
            self._files = sources, sum(name.endswith(".pyc") for name in names)
            self._counted_at = time.monotonic()
        return self._files


@dataclass(slots=True)
class UvState:
    """What uv has reported so far."""

    packages: int = 0
    """Number of packages in the lock."""
    phase: str = ""
    """The last phase that ended."""
    announced: dict[str, int] = field(default_factory=dict)
    """Bytes of each large download."""
    downloaded: set[str] = field(default_factory=set)
    messages: list[str] = field(default_factory=list)
    """Lines that are no routine output: warnings and errors."""

    def read(self, line: str) -> None:
        """Take in one line of uv's output."""
        if match := _ANNOUNCED.match(line):
            self.announced[match[1]] = round(float(match[2]) * _BYTES[match[3]])
        elif match := _DOWNLOADED.match(line):
            self.downloaded.add(match[1])
        elif match := _PHASE.match(line):
            self.phase = match[1]
            self.packages = int(match[2]) if match[1] == "Resolved" else self.packages
        elif line.strip() and not _ROUTINE.match(line):
            self.messages.append(line.rstrip())

    def text(self, target: TargetFolder | None, written: int) -> str:
        """The progress in words.

        Parameters
        ----------
        target:
            The folder that uv installs into; None = its files are not counted.
        written:
            Bytes that the process has written.
        """
        if self.phase in ("", "Resolved"):
            return self._download_text(written)
        if target is None:
            return "installing"
        if self.phase == "Prepared":
            return f"installing: {target.packages()} of {self.packages} packages"
        sources, compiled = target.files()
        return f"compiling to byte code: {compiled:,} of {sources:,} files"

    def _download_text(self, written: int) -> str:
        if not self.announced:
            return f"checking {self.packages or 'the'} packages, {written / 1e6:,.0f} MB written"
        total = sum(self.announced.values()) / 1e6
        done = sum(self.announced[name] for name in self.downloaded & self.announced.keys()) / 1e6
        return (
            f"downloading: {len(self.downloaded)} of {len(self.announced)} large packages, "
            f"{done:,.0f} of {total:,.0f} MB; {written / 1e6:,.0f} MB unpacked"
        )


def run(
    command: Sequence[str | Path],
    *,
    environment: dict[str, str] | None = None,
    site_packages: Path | None = None,
) -> None:
    """Run a uv command and show its progress.

    Raises
    ------
    SetupFailed
        When uv fails; the message has uv's own messages.
    """
    state, progress = UvState(), Progress()
    target = TargetFolder(site_packages) if site_packages is not None else None
    variables = {**(os.environ if environment is None else environment), "NO_COLOR": "1"}
    with subprocess.Popen(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=variables,
    ) as process:
        reader = threading.Thread(target=_read_lines, args=(process, state), daemon=True)
        reader.start()
        try:
            while reader.is_alive():
                reader.join(REDRAW_SECONDS)
                progress.update(lambda: state.text(target, written_bytes(process.pid)))
        except BaseException:
            process.terminate()
            raise
        finally:
            progress.close()
        code = process.wait()
    if code != 0:
        message = " ".join(state.messages or [f"exit status {code}"]).rstrip(".")
        raise SetupFailed(
            f"uv failed: {message}. If the network is the cause, run the same command again; it "
            "continues where it stopped."
        )


def _read_lines(process: subprocess.Popen[str], state: UvState) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        state.read(line)


def written_bytes(pid: int) -> int:
    """Bytes that a process has written to files; 0 when the system does not report it."""
    try:
        report = Path(f"/proc/{pid}/io").read_text()
    except OSError:
        return 0
    match = re.search(r"^wchar: (\d+)", report, re.MULTILINE)
    return int(match[1]) if match else 0
