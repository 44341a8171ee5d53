"""TensorBoard over the logs of runs, on this machine only.

Each run's folder gets a link with a name that people read, so that TensorBoard's list of runs is
that of `driftline runs list`.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from deploy.app.child_process import end_process
from deploy.config.port_map import HOST
from retrain.run_view import Run
from streaming.contracts.errors import DriftlineError, NotFoundError

PORT = 6006
"""TensorBoard's usual port, without the stack's offset."""
_GRACE_SECONDS = 10.0


class BoardFailed(DriftlineError):
    """TensorBoard cannot run."""


def serve(runs: Sequence[Run], *, port: int) -> None:
    """Serve the logs of these runs until TensorBoard ends or the user stops it.

    Raises
    ------
    NotFoundError
        When no run has logs.
    BoardFailed
        When TensorBoard is not installed, or ends by itself with an error.
    """
    check_installed()
    with linked(runs) as folder:
        command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder)]
        command += ["--host", HOST, "--port", str(port), "--load_fast=false"]
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        process = subprocess.Popen(command)
        try:
            code = process.wait()
        except KeyboardInterrupt:  # Ctrl-C, or SIGTERM
            code = 0
        finally:
            end_process(process, _GRACE_SECONDS)
            signal.signal(signal.SIGTERM, before)
    if code > 0:
        raise BoardFailed(
            f"TensorBoard ended with exit code {code}; its message is above. If the port is taken,"
            " give another one: `driftline runs board --port N`."
        )


def check_installed() -> None:
    """Whether TensorBoard is in this environment.

    Raises
    ------
    BoardFailed
        When it is not.
    """
    if find_spec("tensorboard") is None:
        raise BoardFailed(
            "TensorBoard is not installed in this environment; `make setup` installs what"
            " requirements.lock names, and tensorboard is in it."
        )


@contextmanager
def linked(runs: Sequence[Run]) -> Iterator[Path]:
    """A folder with a link to the logs of each run, for the length of a `with`.

    Raises
    ------
    NotFoundError
        When no run has logs.
    """
    with_logs = [run for run in runs if run.logs and Path(run.logs).is_dir()]
    if not with_logs:
        raise NotFoundError(
            "No run has TensorBoard files: none has trained a net yet, or they were removed"
            " (metadata.keep_runs). `driftline runs list` shows the runs."
        )
    folder = Path(tempfile.mkdtemp(prefix="driftline-board-"))
    try:
        for run in with_logs:
            (folder / board_name(run)).symlink_to(Path(run.logs).resolve())
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def board_name(run: Run) -> str:
    """Name of a run in TensorBoard: model, version and the begin of its id.

    >>> board_name(Run(run_id="0123456789abcdef", model="taxi", version=2))
    'taxi-v2-01234567'
    """
    version = f"v{run.version}" if run.version else "unpublished"
    name = f"{run.model}-{version}-{run.run_id[:8]}"
    return "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in name)
