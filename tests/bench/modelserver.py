"""``python -m tests.bench.modelserver``: the model server by itself, on the models of its tests.

Prints the time until it is ready, requests per second with the CPU time of each for the server and
for the client, over REST on one connection and over gRPC on four, the rate over gRPC beside that of
grpc's own server with nothing but the model (`bare_grpc`), and the response times of one version
with and without loads of another one; both by turns. CPU times are the guide on a machine that
others use too. The clients send prepared bytes (`raw_callers`), so that the rates are the server's.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import psutil

from serving.engines.modelserver.protos import (
    PREDICTION,
    GetModelStatusRequest,
    ModelSpec,
    PredictRequest,
    ReloadConfigRequest,
    call,
)
from tests.bench.raw_callers import GrpcCaller, RestCaller
from tests.serving.engines.modelserver.server_process import MODEL, Server, start, stop

log = logging.getLogger(__name__)
ROW = {"fare": [1.5], "hour": [3], "payment": ["Cash"]}
PHASE_SECONDS = 2.0
GRPC_CALLERS = 4
BARE_ROUNDS = 3
_LOOK_SECONDS = 0.02
"""Seconds between two looks at a load. A look every other millisecond delays requests as much as
the load does."""


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="tests.bench.modelserver", description=__doc__)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=6, help="of loading and not loading")
    parser.add_argument("--models", type=Path, help="folder that make_models has written")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    with tempfile.TemporaryDirectory() as new:
        base = options.models or Path(new)
        if options.models is None:
            _make_models(base)
        log.info("load average %s, %d cores", os.getloadavg(), os.cpu_count() or 0)
        starts = sorted(_ready_seconds(base) for _ in range(5))
        log.info("ready: %s s", ", ".join(f"{seconds:.2f}" for seconds in starts))
        server = start(base, "--versions", "1")
        try:
            callers = [_rest_caller(server)]
            _rate("REST, one connection", server.process.pid, callers, options.seconds)
            _beside_bare(server, base, options.seconds)
            _loads(server, options.rounds)
        finally:
            stop(server)
        log.info("load average %s", os.getloadavg())
    return 0


def _make_models(base: Path) -> None:
    """In a process of its own: it imports TensorFlow."""
    command = [sys.executable, "-m", "tests.serving.engines.modelserver.make_models", str(base)]
    subprocess.run(command, check=True, capture_output=True)


def _ready_seconds(base: Path) -> float:
    server = start(base, "--versions", "1")
    stop(server)
    return server.start_seconds


def _rate(
    name: str, process_id: int, callers: Sequence[Callable[[], None]], seconds: float
) -> float:
    """Send requests with each caller, in a thread of its own, each after its last response."""
    process = psutil.Process(process_id)
    counts = [0] * len(callers)
    for caller in callers:
        caller()
    until = time.perf_counter() + seconds

    def send(index: int) -> None:
        caller = callers[index]
        while time.perf_counter() < until:
            caller()
            counts[index] += 1

    before, own, began = _cpu(process), time.process_time(), time.perf_counter()
    threads = [threading.Thread(target=send, args=(index,)) for index in range(len(callers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wall, cpu, requests = time.perf_counter() - began, _cpu(process) - before, sum(counts)
    log.info(
        "%s: %.0f/s, CPU of each: server %.0f µs, client %.0f µs (%.0f/s per core of the server)",
        *(name, requests / wall, cpu / requests * 1e6),
        *((time.process_time() - own) / requests * 1e6, requests / cpu),
    )
    return requests / wall


def _beside_bare(server: Server, base: Path, seconds: float) -> None:
    """Rates over gRPC of the model server and of the least that grpc's server costs."""
    command = [sys.executable, "-m", "tests.bench.bare_grpc", str(base / "1")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as bare:
        assert bare.stdout is not None
        port = int(bare.stdout.readline())
        rates: dict[str, list[float]] = {"ours": [], "bare": []}
        for name, process, its_port in [
            ("ours", server.process, server.grpc_port),
            ("bare", bare, port),
        ] * BARE_ROUNDS:
            callers = [_grpc_caller(its_port) for _ in range(GRPC_CALLERS)]
            called = f"gRPC, {GRPC_CALLERS} connections, {name}"
            rates[name].append(_rate(called, process.pid, callers, seconds))
        bare.kill()
    ours, least = (float(np.median(rates[name])) for name in ("ours", "bare"))
    log.info("gRPC: %.0f/s, %.2f of a bare server's %.0f/s", ours, ours / least, least)


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _rest_caller(server: Server) -> RestCaller:
    body = json.dumps({"instances": [ROW]}).encode()
    return RestCaller(server.rest_port, f"/v1/models/{MODEL}/versions/1:predict", body)


def _grpc_caller(port: int) -> GrpcCaller:
    request = PredictRequest(model_spec=ModelSpec(name=MODEL))
    for name, code in (("fare", 1), ("hour", 9), ("payment", 7)):
        proto = request.inputs[name]
        proto.dtype = code
        for size in (1, 1):
            proto.tensor_shape.dim.add().size = size
    request.inputs["fare"].float_val.append(1.5)
    request.inputs["hour"].int64_val.append(3)
    request.inputs["payment"].string_val.append(b"Cash")
    return GrpcCaller(port, f"/{PREDICTION}/Predict", request.SerializeToString())


def _loads(server: Server, rounds: int) -> None:
    """Response times of version 1 while version 2 is loaded again and again, and while not."""
    context = multiprocessing.get_context("spawn")
    loading, loads = context.Event(), context.Value("i", 0)
    loader = context.Process(target=_load_again, args=(server.grpc_port, loading, loads))
    loader.daemon = True
    loader.start()
    send = _rest_caller(server)
    times: dict[bool, list[float]] = {True: [], False: []}
    send()
    for number in range(2 * rounds):
        is_loading = number % 2 == 1
        (loading.set if is_loading else loading.clear)()
        time.sleep(0.2)  # the last load ends
        until = time.perf_counter() + PHASE_SECONDS
        while (began := time.perf_counter()) < until:
            send()
            times[is_loading].append(time.perf_counter() - began)
            time.sleep(0.002)
    loader.terminate()
    loader.join()
    for is_loading, values in times.items():
        p50, p99, p999 = (1e3 * float(np.quantile(values, q)) for q in (0.5, 0.99, 0.999))
        name = f"during {loads.value} loads" if is_loading else "without loads"
        log.info("%s: p50 %.2f, p99 %.2f, p99.9 %.2f ms, n %d", name, p50, p99, p999, len(values))


def _load_again(port: int, loading: Any, loads: Any) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        while True:
            loading.wait()
            for versions, state in (([1, 2], 30), ([1], 50)):
                request = ReloadConfigRequest()
                config = request.config.model_config_list.config.add()
                config.name, config.model_platform = MODEL, "tensorflow"
                config.model_version_policy.specific.versions.extend(versions)
                call(channel, "HandleReloadConfigRequest", request, timeout_seconds=60)
                while _state(channel, 2) != state:
                    time.sleep(_LOOK_SECONDS)
            loads.value += 1


def _state(channel: grpc.Channel, version: int) -> int:
    request = GetModelStatusRequest()
    request.model_spec.name = MODEL
    response = call(channel, "GetModelStatus", request, timeout_seconds=60)
    states = {item.version: int(item.state) for item in response.model_version_status}
    return states.get(version, 0)


if __name__ == "__main__":
    sys.exit(main())
