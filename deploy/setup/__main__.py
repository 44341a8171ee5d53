"""`python -m deploy.setup`: bring this checkout from nothing to ready, or say what is missing.

Steps, in order: environment · project · glibc · kafka · beam · flink · prometheus. Each is
skipped when its stamp says that it was made from the same inputs. Runs on bare Python 3.11.
"""

from __future__ import annotations

import argparse
import fcntl
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.config.paths import InstallPaths, install_paths
from deploy.setup import environment, flink, glibc, jars, java, project, prometheus, stamps
from deploy.setup.screen import SetupFailed, say

STEPS = ("environment", "project", "glibc", "kafka", "beam", "flink", "prometheus")


def run(step: str, here: InstallPaths, uv: Path) -> str | None:
    """Do one step; None when its stamp says it is done."""
    steps: dict[str, tuple[Callable[[], bool], str, Callable[[], str]]] = {
        "environment": (
            here.python.exists,
            environment.made_from(),
            lambda: environment.install(uv, here),
        ),
        "project": (
            lambda: project.installed(here),
            stamps.digest(Path(project.__file__)),
            lambda: project.install(here),
        ),
        "kafka": (
            here.kafka.is_dir,
            jars.made_from("kafka"),
            lambda: jars.install("kafka", here.kafka, here),
        ),
        "beam": (
            here.beam.is_dir,
            jars.made_from("beam"),
            lambda: jars.install("beam", here.beam, here),
        ),
        "flink": (here.flink.is_dir, flink.made_from(), lambda: flink.install(uv, here)),
        "prometheus": (
            lambda: prometheus.installed(here),
            stamps.digest(Path(prometheus.__file__)),
            lambda: prometheus.install(here),
        ),
    }
    if step == "glibc":  # its stamp is the state of the modules themselves
        return glibc.install(here)
    there, made_from, install = steps[step]
    if there() and stamps.done(here.stamps, step, made_from):
        return None
    said = install()
    stamps.mark(here.stamps, step, made_from)
    return said


@contextmanager
def alone(here: InstallPaths) -> Iterator[None]:
    """One installer at a time in one checkout."""
    here.opt.mkdir(parents=True, exist_ok=True)
    with (here.opt / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another set-up of this checkout is running; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> int:
    """Run the steps that were named, or all."""
    parser = argparse.ArgumentParser(prog="python -m deploy.setup", description=__doc__)
    parser.add_argument("steps", nargs="*", choices=[*STEPS, []], help="default: all")
    parser.add_argument("--uv", type=Path, default=environment.UV, help="the uv program")
    asked = parser.parse_args()
    here, begun = install_paths(), time.monotonic()
    try:
        with alone(here):
            for step in asked.steps or STEPS:
                started = time.monotonic()
                said = run(step, here, asked.uv)
                if said is not None:
                    say(f"  {step}: {said} ({time.monotonic() - started:.1f} s)")
            java.program(here)
    except SetupFailed as failure:
        say(f"set-up stopped: {failure}")
        return 1
    except KeyboardInterrupt:
        say("interrupted; run the same command again, it goes on where it stopped")
        return 130
    say(f"set-up is complete ({time.monotonic() - begun:.1f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
