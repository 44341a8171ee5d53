"""`python -m deploy.local.supervisor HOME`: keeps running what run/wanted.json lists.

Level-triggered: each tick compares the list with what runs and repairs the difference, so an
interrupted `up` or a changed spec needs no special path. It leaves the terminal that started it;
SIGTERM ends it and everything it keeps. When it is killed the processes go on, and the next
supervisor adopts them.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType

import msgspec
import psutil

from deploy.local.process_spec import ProcessSpec, digest, write_atomic
from deploy.local.supervised import Keeper

TICK_SECONDS = 0.2


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Which process is the supervisor."""

    pid: int
    created: float


def wanted_file(home: Path) -> Path:
    """The list of specs to keep running."""
    return home / "run" / "wanted.json"


def identity_file(home: Path) -> Path:
    """Where the supervisor writes who it is."""
    return home / "run" / "supervisor.json"


def lock_file(home: Path) -> Path:
    """Held for as long as a supervisor lives."""
    return home / "run" / "supervisor.lock"


def read_wanted(home: Path) -> tuple[ProcessSpec, ...]:
    """The specs to keep running; empty when there is no list."""
    try:
        content = wanted_file(home).read_bytes()
    except FileNotFoundError:
        return ()
    return msgspec.json.decode(content, type=tuple[ProcessSpec, ...])


class Supervisor:
    """Brings what runs to what is wanted."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._keepers: dict[str, Keeper] = {}
        self._seen = 0

    def tick(self) -> None:
        """Read the list if it has changed, and start or stop keepers."""
        file = wanted_file(self._home)
        changed = file.stat().st_mtime_ns if file.exists() else 0
        if changed == self._seen:
            return
        self._seen = changed
        wanted = {spec.name: spec for spec in read_wanted(self._home)}
        self._end(
            [
                keeper
                for name, keeper in self._keepers.items()
                if name not in wanted or digest(wanted[name]) != keeper.digest
            ]
        )
        for name, spec in wanted.items():
            if name not in self._keepers or not self._keepers[name].is_alive():
                self._keepers[name] = Keeper(self._home, spec, self._is_ready, say)
                self._keepers[name].start()

    def end(self) -> None:
        """Stop everything, those that others depend on last."""
        self._end(list(self._keepers.values()))

    def _end(self, leaving: list[Keeper]) -> None:
        names = {keeper.spec.name for keeper in leaving}
        while names:
            needed = {
                name
                for keeper in leaving
                if keeper.spec.name in names
                for name in keeper.spec.depends
            }
            first = [k for k in leaving if k.spec.name in names - needed]
            for keeper in first:
                keeper.ask_to_stop()
            for keeper in first:
                keeper.join()
                names.discard(keeper.spec.name)
                self._keepers.pop(keeper.spec.name, None)

    def _is_ready(self, name: str) -> bool:
        keeper = self._keepers.get(name)
        return keeper is not None and keeper.ready


def say(line: str) -> None:
    """A line for the supervisor's log."""
    sys.stdout.write(f"{time.strftime('%F %T')} {line}\n")
    sys.stdout.flush()


def main() -> int:
    """Detach, take the lock, keep going until SIGTERM."""
    home = Path(sys.argv[1]).resolve()
    (home / "run").mkdir(parents=True, exist_ok=True)
    if os.fork() > 0:
        return 0
    lock = lock_file(home).open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return 0  # another one was faster; it reads the same list
    return _keep(home)


def _keep(home: Path) -> int:
    asked = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        asked.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    me = Identity(pid=os.getpid(), created=psutil.Process().create_time())
    write_atomic(identity_file(home), msgspec.json.encode(me))
    supervisor = Supervisor(home)
    while not asked.is_set():
        supervisor.tick()
        asked.wait(TICK_SECONDS)
    supervisor.end()
    identity_file(home).unlink(missing_ok=True)
    say("supervisor: ended")
    return 0


if __name__ == "__main__":
    sys.exit(main())
