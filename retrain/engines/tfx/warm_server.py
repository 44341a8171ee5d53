"""Model servers that a worker keeps between checks.

To start a server costs most of a check. The server of a model is kept, and gets each version to be
checked under a number of its own. It ends with the process that started it, also when that is
killed; a server that has ended is started anew. TFX calls executors by class, so the servers of a
process are reached through one object of the module.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from contextlib import ExitStack
from multiprocessing.util import Finalize
from pathlib import Path

from retrain.engines.tied_process import tied
from retrain.ports import ServerCommand

MAX_SERVERS = 4
"""Servers that are kept; one for each model, the last used ones."""

_STOP_SECONDS = 10.0


class WarmServer:
    """A server process of one model, with a folder for its versions and a log."""

    def __init__(self, server: ServerCommand, model: str) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="driftline-check-"))
        self.base, self.log_file = self._folder / model, self._folder / "server.log"
        self.base.mkdir()
        grpc_port, self.rest_port = free_ports(2)
        command = server.fill(
            model=model, base_path=self.base, grpc_port=grpc_port, rest_port=self.rest_port
        )
        with self.log_file.open("wb") as output:
            self.process = subprocess.Popen(
                tied(command),
                stdout=output,
                stderr=output,
                env={**os.environ, **server.environment},
            )
        self._version = 0

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self.process.poll() is None

    def next_version(self, at_least: int) -> int:
        """A number that no version has had in this server."""
        self._version = max(self._version + 1, at_least)
        return self._version

    def add(self, servable: Path, version: int) -> None:
        """Let the server see a version."""
        staged = self.base / ".staged"
        staged.symlink_to(servable.resolve())
        staged.rename(self.base / str(version))

    def remove(self, version: int) -> None:
        """Take a version away; the server unloads it at its next look."""
        (self.base / str(version)).unlink(missing_ok=True)

    def log_tail(self) -> str:
        """The last lines of the server's output."""
        lines = self.log_file.read_text(errors="replace").strip().splitlines()
        return " | ".join(lines[-3:]) or "nothing"

    def stop(self) -> None:
        """End the process and remove its folders."""
        if self.alive:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


class WarmServers:
    """The kept servers of this process."""

    def __init__(self) -> None:
        self._servers: dict[str, WarmServer] = {}
        self._lock = threading.Lock()

    def get(self, server: ServerCommand, model: str) -> WarmServer:
        """The server of a model, started when there is none or it has ended; it may not listen yet.

        The kernel ties a server to the thread that starts it, so call this from a thread that
        lasts as long as the process.
        """
        key = _key(server, model)
        with self._lock:
            kept = self._servers.pop(key, None)
            if kept is not None and not kept.alive:
                kept.stop()
                kept = None
            while len(self._servers) >= MAX_SERVERS:
                self._servers.pop(next(iter(self._servers))).stop()
            self._servers[key] = kept or WarmServer(server, model)
            return self._servers[key]

    def discard(self, server: WarmServer) -> None:
        """End a server that is not to be used again."""
        with self._lock:
            self._servers = {k: kept for k, kept in self._servers.items() if kept is not server}
        server.stop()

    def close(self) -> None:
        """End all servers."""
        with self._lock:
            servers, self._servers = list(self._servers.values()), {}
        for server in servers:
            server.stop()


def free_ports(count: int) -> list[int]:
    """TCP ports on 127.0.0.1 that nothing listens on now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listener in sockets:
            listener.bind(("127.0.0.1", 0))
        return [int(listener.getsockname()[1]) for listener in sockets]


def _key(server: ServerCommand, model: str) -> str:
    return repr((server.arguments, sorted(server.environment.items()), model))


SERVERS = WarmServers()
"""The servers that this process keeps."""

# A child of multiprocessing runs no functions of atexit, but these.
Finalize(None, SERVERS.close, exitpriority=10)
