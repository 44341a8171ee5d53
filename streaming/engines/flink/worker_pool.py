"""Starts Beam's Python workers on request, as Beam's own pool does, and restarts failed ones.

Flink's task waits without a timeout and without an error for the worker that it requested. If a
worker dies before it has reported (out of memory, a kill, a machine that is too busy), the job
would stop for good. So a worker that fails is restarted until it is no longer needed: Flink has
stopped it, or its control endpoint is closed.

The pool listens on 127.0.0.1 only. Beam's ``worker_pool_main`` listens on every address, and
whoever can connect to it can start processes. A pool serves one TaskManager, because the ids of
workers are unique only within a TaskManager.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

import grpc
import structlog
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc
from apache_beam.runners.worker.worker_pool_main import kill_process_gracefully
from apache_beam.utils import thread_pool_executor

ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}
"""A worker's matrices are small: more threads double the CPU time of a first verdict."""
_OPTIONS = [("grpc.http2.max_pings_without_data", 0), ("grpc.http2.max_ping_strikes", 0)]
_HARNESS = (
    "import sys; from apache_beam.runners.worker.sdk_worker import SdkHarness; "
    "SdkHarness(sys.argv[1], worker_id=sys.argv[2]).run()"
)
_PAUSE, _MAX_PAUSE = 2.0, 30.0
"""Seconds before a worker is restarted. When a worker dies at work, Flink stops it within a second
and requests another one; the first pause leaves time for that."""

log = structlog.get_logger(__name__)


def harness(control: str, worker: str) -> list[str]:
    """The command of a worker that reports to `control`, a ``host:port``."""
    return [sys.executable, "-c", _HARNESS, control, worker]


def listens(address: str) -> bool:
    """Whether a process accepts connections at ``host:port``."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=2.0).close()
    except OSError:
        return False
    return True


class Worker:
    """A worker's process, which is restarted when it fails while it is needed.

    Raises
    ------
    OSError
        When its process cannot be started the first time.
    """

    def __init__(self, name: str, control: str, command: Sequence[str], pause: float) -> None:
        self._name, self._control = name, control
        self._command, self._pause = command, pause
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._process = subprocess.Popen(command)
        self._supervisor = threading.Thread(
            target=self._supervise, name=f"supervise-{name}", daemon=True
        )
        self._supervisor.start()

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self._process.poll() is None

    def stop(self) -> None:
        """Stop it, by SIGTERM and then by SIGKILL; it is not restarted."""
        with self._lock:
            self._stopped.set()
        kill_process_gracefully(self._process)

    def wait_supervised(self, seconds: float | None = None) -> bool:
        """Wait until no restart can follow; whether that is so."""
        self._supervisor.join(seconds)
        return not self._supervisor.is_alive()

    def _supervise(self) -> None:
        pause = self._pause
        while self._process.wait() != 0 and not self._stopped.wait(pause):
            if not listens(self._control):
                log.info(
                    "worker.not_restarted",
                    worker=self._name,
                    reason=f"its control endpoint {self._control} is closed",
                )
                return
            pause = min(2 * pause, _MAX_PAUSE)
            self._restart(self._process.returncode)

    def _restart(self, code: int) -> None:
        with self._lock:
            if self._stopped.is_set():
                return
            log.warning("worker.restarting", worker=self._name, unexpected_exit_code=code)
            try:
                self._process = subprocess.Popen(self._command)
            except OSError as error:  # no memory at the moment: the next pause is longer
                log.warning("worker.start_failed", worker=self._name, error=str(error))


class WorkerPool(beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolServicer):  # type: ignore[misc]
    """Beam's service that starts and stops workers, each in a process of its own.

    Parameters
    ----------
    command:
        Returns the command of a worker for its control endpoint and its id.
    pause:
        Seconds before a failed worker is restarted; they double each time, up to 30.
    """

    def __init__(
        self, command: Callable[[str, str], Sequence[str]] = harness, *, pause: float = _PAUSE
    ) -> None:
        self._command, self._pause = command, pause
        # a TaskManager that starts after a kill numbers its workers from the beginning, while a
        # worker of the old TaskManager may not have ended yet
        self._workers: dict[str, list[Worker]] = {}

    def StartWorker(self, request: Any, context: object) -> object:
        """Start a worker; when its process cannot be started, the response holds the error."""
        name, control = request.worker_id, request.control_endpoint.url
        log.info("worker.starting", worker=name, control_endpoint=control)
        try:
            worker = Worker(name, control, self._command(control, name), self._pause)
        except OSError as error:
            return beam_fn_api_pb2.StartWorkerResponse(error=f"Worker {name}: {error}")
        alive = [other for other in self.workers(name) if other.alive]
        self._workers[name] = [*alive, worker]
        return beam_fn_api_pb2.StartWorkerResponse()

    def StopWorker(self, request: Any, context: object) -> object:
        """Stop the latest worker of that id; an unknown id counts as stopped."""
        workers = self._workers.get(request.worker_id)
        if workers:
            log.info("worker.stopping", worker=request.worker_id)
            workers.pop().stop()
        return beam_fn_api_pb2.StopWorkerResponse()

    def workers(self, name: str) -> tuple[Worker, ...]:
        """The workers of an id that were started and not stopped."""
        return tuple(self._workers.get(name, ()))

    def close(self) -> None:
        """Stop all workers."""
        for workers in self._workers.values():
            while workers:
                workers.pop().stop()


def serve(host: str, port: int) -> tuple[grpc.Server, WorkerPool]:
    """Start a pool that serves requests.

    Raises
    ------
    OSError
        When the port is taken.
    """
    server = grpc.server(thread_pool_executor.shared_unbounded_instance(), options=_OPTIONS)
    pool = WorkerPool()
    beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(pool, server)
    try:
        server.add_insecure_port(f"{host}:{port}")
    except RuntimeError as error:
        raise OSError(f"Port {port} of {host} is taken; stop the process that uses it.") from error
    server.start()
    return server, pool


def main() -> None:
    """Serve until SIGTERM or SIGINT, then stop the workers."""
    parser = argparse.ArgumentParser(prog="worker_pool", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    # Beam and gRPC log through the standard library; forced, because their import has already set
    # it up
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", force=True
    )
    for name, value in ONE_THREAD.items():
        os.environ.setdefault(name, value)  # workers inherit it
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    server, pool = serve(arguments.host, arguments.port)
    stop.wait()
    server.stop(grace=1.0)
    pool.close()


if __name__ == "__main__":
    main()
