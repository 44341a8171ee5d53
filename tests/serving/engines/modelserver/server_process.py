"""Starts and stops one real model server."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import grpc
import httpx

from tests.free_ports import free_port

MODEL = "big_tipper"


@dataclass
class Server:
    """One running server."""

    process: subprocess.Popen[bytes]
    grpc_port: int
    rest_port: int
    start_seconds: float
    log: Path
    """What it logs: a file, because a server blocks when nobody reads its pipe."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.rest_port}/v1/models/{MODEL}"

    @property
    def metrics(self) -> str:
        page = f"http://127.0.0.1:{self.rest_port}/monitoring/prometheus/metrics"
        return httpx.get(page).text

    def channel(self) -> grpc.Channel:
        return grpc.insecure_channel(f"127.0.0.1:{self.grpc_port}")


def start(base: Path, *flags: str) -> Server:
    """Start a server and wait until its port answers."""
    ports = free_port(), free_port()
    started = time.monotonic()
    command = [sys.executable, "-m", "serving.engines.modelserver", "--role", "test"]
    command += ["--grpc-port", str(ports[0]), "--rest-port", str(ports[1])]
    command += ["--model-name", MODEL, "--base-path", str(base), *flags]
    with tempfile.NamedTemporaryFile(prefix="model-server-", suffix=".log", delete=False) as log:
        process = subprocess.Popen(command, stderr=log)
    while True:
        try:
            with socket.create_connection(("127.0.0.1", ports[1]), timeout=1):
                return Server(process, *ports, time.monotonic() - started, Path(log.name))
        except OSError:
            assert process.poll() is None, _read(Path(log.name))
            assert time.monotonic() - started < 120, "the server did not start in 120 s"
            time.sleep(0.01)


def stop(server: Server) -> str:
    """Stop the server with SIGTERM, as the supervisor does; returns its log."""
    server.process.send_signal(signal.SIGTERM)
    status = server.process.wait(timeout=20)
    log = _read(server.log)
    assert status == 0, log
    return log


def _read(log: Path) -> str:
    """The whole log, which is removed."""
    text = log.read_text()
    log.unlink()
    return text
