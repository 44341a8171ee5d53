"""Predictions per second and response times, through Envoy and directly at the server."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import psutil

from deploy.config.paths import PROJECT, install_paths
from deploy.demo import messages
from deploy.demo.trips import generate
from serving.engines.envoy.config import Endpoint, EnvoyLayout
from serving.engines.envoy.router import write_bootstrap
from tests.bench.figures import Ratio, Round, Spread, ratio, spread

MODEL = "big_tipper"
SERVER_REST, SERVER_GRPC, ENVOY, ADMIN = 13511, 13510, 13500, 13901
CONNECTIONS, SINGLE = 8, 1
"""Numbers of connections for measuring the rate and the response time."""


class ServingBench:
    """One model server with Envoy in front."""

    def __init__(self, home: Path, models: Path, *, rounds: int, seconds: float) -> None:
        self.home = home
        self.models = models
        self.rounds = rounds
        self.seconds = seconds
        rows = messages.rows(generate(np.random.default_rng(3), 200))
        self.requests = [_request(messages.predict_body(row)) for row in rows]

    def run(self) -> tuple[tuple[Ratio, ...], tuple[Spread, ...]]:
        """Alternate rounds through Envoy and direct."""
        rates: dict[int, list[Round]] = {ENVOY: [], SERVER_REST: []}
        times: dict[int, list[float]] = {ENVOY: [], SERVER_REST: []}
        with self._server() as server, self._envoy() as envoy:
            for number in range(self.rounds + 1):
                for port in (ENVOY, SERVER_REST):
                    busy = self._round(port, (server, envoy))
                    single = asyncio.run(send_requests(port, self.requests, SINGLE, self.seconds))
                    if number:
                        rates[port].append(busy)
                        times[port] += single
        return (
            (
                ratio(
                    "predictions through Envoy",
                    rates[ENVOY],
                    rates[SERVER_REST],
                    work=f"REST predict, one row, {CONNECTIONS} connections",
                    unit="predictions/s per core",
                    comparison_name="the model server directly",
                    comparison_version="embedded, TF C API",
                ),
            ),
            (
                spread("prediction through Envoy, one connection", times[ENVOY]),
                spread("prediction direct, one connection", times[SERVER_REST]),
            ),
        )

    def _round(self, port: int, processes: tuple[psutil.Process, psutil.Process]) -> Round:
        before = sum(_cpu(process) for process in processes)
        began = time.perf_counter()
        times = asyncio.run(send_requests(port, self.requests, CONNECTIONS, self.seconds))
        return Round(
            work=len(times),
            wall_seconds=time.perf_counter() - began,
            cpu_seconds=sum(_cpu(process) for process in processes) - before,
        )

    @contextmanager
    def _server(self) -> Iterator[psutil.Process]:
        argv = [sys.executable, "-m", "serving.engines.modelserver", "--role", "stable"]
        argv += ["--grpc-port", str(SERVER_GRPC), "--rest-port", str(SERVER_REST)]
        argv += ["--model-name", MODEL, "--base-path", str(self.models)]
        url = f"http://127.0.0.1:{SERVER_REST}/v1/models/{MODEL}"
        with _running(argv, self.home / "server.log", url, "AVAILABLE") as process:
            yield process

    @contextmanager
    def _envoy(self) -> Iterator[psutil.Process]:
        end = Endpoint(grpc_port=SERVER_GRPC, rest_port=SERVER_REST)
        layout = EnvoyLayout(
            model=MODEL,
            port=ENVOY,
            admin_port=ADMIN,
            endpoints={"stable": end, "control": end, "canary": end},
        )
        file = write_bootstrap(self.home / "envoy", [layout])
        argv = [str(install_paths().venv_bin / "envoy"), "-c", str(file), "--base-id", "77"]
        url = f"http://127.0.0.1:{ENVOY}/v1/models/{MODEL}"
        argv += ["--concurrency", "1", "--log-level", "warning"]
        with _running(argv, self.home / "envoy.log", url, "AVAILABLE") as process:
            yield process


async def send_requests(
    port: int, requests: list[bytes], connections: int, seconds: float
) -> list[float]:
    """The response times; each connection sends its next request after a response."""
    until = time.perf_counter() + seconds
    times: list[float] = []

    async def send(first: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        number = first
        while (began := time.perf_counter()) < until:
            writer.write(requests[number % len(requests)])
            head = await reader.readuntil(b"\r\n\r\n")
            status, length = head[9:12], 0
            for line in head.lower().split(b"\r\n"):
                if line.startswith(b"content-length:"):
                    length = int(line[15:])
            body = await reader.readexactly(length)
            if status != b"200":
                raise RuntimeError(f"The server responded {status.decode()}: {body[:300].decode()}")
            times.append(time.perf_counter() - began)
            number += 1
        writer.close()

    await asyncio.gather(*(send(17 * index) for index in range(connections)))
    return times


def _request(body: bytes) -> bytes:
    head = (
        f"POST /v1/models/{MODEL}:predict HTTP/1.1\r\nHost: bench\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


@contextmanager
def _running(argv: list[str], log: Path, url: str, expected: str) -> Iterator[psutil.Process]:
    with log.open("ab") as output:
        process = subprocess.Popen(argv, cwd=PROJECT, stdout=output, stderr=output)
    try:
        until = time.monotonic() + 60
        while not _responds(url, expected):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{argv[0]} does not respond; see {log}.")
            time.sleep(0.2)
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _responds(url: str, expected: str) -> bool:
    try:
        return expected in httpx.get(url, timeout=2).text
    except httpx.HTTPError:
        return False
