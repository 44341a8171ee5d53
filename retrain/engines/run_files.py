"""The files of runs that outlive their attempts: ``runs/<model>/<request>/…``.

An attempt works in a folder that its worker deletes. What ML Metadata names is kept here, as links
to the same bytes where the file system allows it. The policy keeps the folders of the newest runs,
and the examples of fewer: they are the bulk, and the request's offsets give them again.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from retrain.run_view import RunPolicy

EXAMPLES = "Examples"
"""Name of the folders with examples, as ML Metadata names the type."""


DEFAULT_POLICY = RunPolicy()


@dataclass(frozen=True, slots=True)
class RunFiles:
    """The folder `root` with a folder for each run.

    >>> RunFiles(Path("runs")).folder("taxi", "a1")
    PosixPath('runs/taxi/a1')
    """

    root: Path
    policy: RunPolicy = DEFAULT_POLICY

    def folder(self, model: str, run_id: str) -> Path:
        """A run's folder."""
        return self.root / plain_name(model) / plain_name(run_id)

    def write(self, model: str, run_id: str, name: str, content: bytes) -> Path:
        """Write a file of a run; one with this content stays as it is."""
        file = self.folder(model, run_id) / name
        if file.is_file() and file.read_bytes() == content:
            return file
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_name(f".{file.name}.{os.getpid()}")
        temporary.write_bytes(content)
        temporary.replace(file)
        return file

    def keep(self, source: Path, model: str, run_id: str, name: str) -> Path:
        """Keep a file or folder of an attempt under `name`; what lay there is replaced."""
        target = self.folder(model, run_id) / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(source.resolve(), target, copy_function=_link)
        else:
            target.unlink(missing_ok=True)
            _link(str(source), str(target))
        return target

    def superfluous(self, model: str, in_force: Collection[str] = ()) -> list[Path]:
        """Folders that the policy removes now: whole runs, and examples of others.

        Parameters
        ----------
        in_force:
            Ids of runs that stay, whatever their age; of them only examples go.
        """
        folder = self.root / plain_name(model)
        runs = sorted(
            (path for path in folder.glob("*") if path.is_dir()),
            key=lambda path: path.stat().st_mtime,
            reverse=True,
        )
        needed = {plain_name(run_id) for run_id in in_force}
        old = [run for run in runs[self.policy.runs :] if run.name not in needed]
        with_examples = [run for run in runs[self.policy.examples :] if run not in old]
        return old + [path for run in with_examples for path in sorted(run.glob(f"*/{EXAMPLES}"))]


def metadata_file(home: Path) -> Path:
    """The file of ML Metadata below a stack's state, where no server keeps it."""
    return home / "metadata" / "mlmd.sqlite"


def plain_name(name: str) -> str:
    """The name of one file or folder, also for an id that a foreign record brings.

    >>> plain_name("../etc/x"), plain_name("a1-b.2")
    ('.._etc_x', 'a1-b.2')
    """
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in name)
    return safe if safe.strip(".") else "_"


def _link(source: str, target: str) -> None:
    real = os.path.realpath(source)
    try:
        os.link(real, target)
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(real, target)
