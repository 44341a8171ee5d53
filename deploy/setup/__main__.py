"""Prepares this checkout: ``python -m deploy.setup``.

Steps, in order: environment, project, glibc, kafka, beam, flink, loopback, prometheus. A step is
skipped when its stamp has the digest of its current inputs. The step mlflow runs only when it is
named. Needs only the standard library of Python 3.11.
"""

from __future__ import annotations

import argparse
import fcntl
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.config.paths import InstallPaths, install_paths
from deploy.setup import (
    environment,
    flink,
    glibc,
    jars,
    java,
    loopback,
    mlflow,
    project,
    prometheus,
    stamps,
)
from deploy.setup.screen import SetupFailed, show_line

STEPS = ("environment", "project", "glibc", "kafka", "beam", "flink", "loopback", "prometheus")
OPTIONAL = ("mlflow",)
"""Steps that run only when they are named."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the set-up."""

    installed: Callable[[], bool]
    """Whether its result exists."""
    made_from: str
    """Digest of its inputs."""
    install: Callable[[], str]
    """Performs the step and returns a summary."""


def steps(paths: InstallPaths, uv: Path) -> dict[str, Step]:
    """The steps by name; `glibc` has no stamp and is handled by `run`."""
    return {
        "environment": Step(
            paths.python.exists,
            environment.made_from(),
            lambda: environment.install(uv, paths),
        ),
        "project": Step(
            lambda: project.installed(paths),
            stamps.digest(Path(project.__file__)),
            lambda: project.install(paths),
        ),
        "kafka": Step(
            paths.kafka.is_dir,
            jars.made_from("kafka"),
            lambda: jars.install("kafka", paths.kafka, paths),
        ),
        "beam": Step(
            paths.beam.is_dir,
            jars.made_from("beam"),
            lambda: jars.install("beam", paths.beam, paths),
        ),
        "flink": Step(paths.flink.is_dir, flink.made_from(), lambda: flink.install(uv, paths)),
        "loopback": Step(
            loopback.jar(paths).exists, loopback.made_from(), lambda: loopback.install(paths)
        ),
        "mlflow": Step(
            mlflow.python(paths).exists,
            mlflow.made_from(),
            lambda: mlflow.install(uv, paths),
        ),
        "prometheus": Step(
            lambda: prometheus.installed(paths),
            stamps.digest(Path(prometheus.__file__)),
            lambda: prometheus.install(paths),
        ),
    }


def run(name: str, paths: InstallPaths, uv: Path) -> str | None:
    """Run one step and return its summary; None when its stamp is current."""
    if name == "glibc":  # its stamp is the state of the modules themselves
        return glibc.install(paths)
    step = steps(paths, uv)[name]
    if step.installed() and stamps.done(paths.stamps, name, step.made_from):
        return None
    summary = step.install()
    stamps.mark(paths.stamps, name, step.made_from)
    return summary


@contextmanager
def install_lock(paths: InstallPaths) -> Iterator[None]:
    """Lock the installation; a second installer of the checkout waits."""
    paths.opt.mkdir(parents=True, exist_ok=True)
    with (paths.opt / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            show_line("another set-up of this checkout is running; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> int:
    """Run the named steps, or all."""
    parser = argparse.ArgumentParser(prog="python -m deploy.setup", description=__doc__)
    parser.add_argument(
        "steps", nargs="*", choices=[*STEPS, *OPTIONAL, []], help="default: all but mlflow"
    )
    parser.add_argument("--uv", type=Path, default=environment.UV, help="the uv program")
    arguments = parser.parse_args()
    paths, begun = install_paths(), time.monotonic()
    try:
        with install_lock(paths):
            for name in arguments.steps or STEPS:
                started = time.monotonic()
                summary = run(name, paths, arguments.uv)
                if summary is not None:
                    show_line(f"  {name}: {summary} ({time.monotonic() - started:.1f} s)")
            java.program(paths)
    except SetupFailed as failure:
        show_line(f"set-up stopped: {failure}")
        return 1
    except KeyboardInterrupt:
        show_line("interrupted; run the same command again to continue")
        return 130
    show_line(f"set-up is complete ({time.monotonic() - begun:.1f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
