"""Starts Beam's Python workers on request, as Beam's own pool does, and sees that they come.

Flink's task waits without an end, and without an error, for the worker that it asked for. One that
dies before it has reported (memory, a kill, a minute in which the machine is too busy) would stop
the job for good, so a worker that fails is started again until it is no longer wanted: Flink has
taken it back, or nobody listens any more where it would report.

It listens on 127.0.0.1 alone: Beam's ``worker_pool_main`` does on every address, and who reaches
it may start processes here. One pool serves one TaskManager: ids of workers are unique in that.
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
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc
from apache_beam.runners.worker.worker_pool_main import kill_process_gracefully
from apache_beam.utils import thread_pool_executor

ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}
"""A worker's matrices are small: threads that wait for a part of one burn more than they save
(twice the CPU of a first judgement)."""
_OPTIONS = [("grpc.http2.max_pings_without_data", 0), ("grpc.http2.max_ping_strikes", 0)]
_HARNESS = (
    "import sys; from apache_beam.runners.worker.sdk_worker import SdkHarness; "
    "SdkHarness(sys.argv[1], worker_id=sys.argv[2]).run()"
)
_PAUSE, _LONGEST_PAUSE = 2.0, 30.0
"""Seconds before a worker is started again. Flink takes back one that dies at work within a second
and asks for another; the first pause lets it."""
_log = logging.getLogger(__name__)


def harness(control: str, worker: str) -> list[str]:
    """The command of a worker that reports to `control`, a ``host:port``."""
    return [sys.executable, "-c", _HARNESS, control, worker]


def listens(address: str) -> bool:
    """Does somebody take connections at ``host:port``?"""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=2.0).close()
    except OSError:
        return False
    return True


class Worker:
    """A worker's process, started again when it fails while it is wanted.

    Raises
    ------
    OSError
        When its process cannot be started the first time.
    """

    def __init__(self, name: str, control: str, command: Sequence[str], pause: float) -> None:
        self._name, self._control = name, control
        self._command, self._pause = command, pause
        self._unwanted = threading.Event()
        self._lock = threading.Lock()
        self._process = subprocess.Popen(command)
        threading.Thread(target=self._keep, name=f"keep-{name}", daemon=True).start()

    @property
    def alive(self) -> bool:
        """Does its process run?"""
        return self._process.poll() is None

    def stop(self) -> None:
        """End it, by SIGTERM and then by SIGKILL; it is not started again."""
        with self._lock:
            self._unwanted.set()
        kill_process_gracefully(self._process)

    def _keep(self) -> None:
        pause = self._pause
        while self._process.wait() != 0 and not self._unwanted.wait(pause):
            if not listens(self._control):
                _log.info("worker %s: nobody waits for it at %s", self._name, self._control)
                return
            pause = min(2 * pause, _LONGEST_PAUSE)
            self._start_again(self._process.returncode)

    def _start_again(self, code: int) -> None:
        with self._lock:
            if self._unwanted.is_set():
                return
            _log.warning("worker %s ended with %d unasked; starting it again", self._name, code)
            try:
                self._process = subprocess.Popen(self._command)
            except OSError as error:  # no memory for it now: the next pause is longer
                _log.warning("worker %s did not start: %s", self._name, error)


class Pool(beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolServicer):  # type: ignore[misc]
    """Beam's service that starts and stops workers, each a process of its own.

    Parameters
    ----------
    command:
        The command of a worker, from where it reports to and its id.
    pause:
        Seconds before a worker that failed is started again; they double each time, up to 30.
    """

    def __init__(
        self, command: Callable[[str, str], Sequence[str]] = harness, *, pause: float = _PAUSE
    ) -> None:
        self._command, self._pause = command, pause
        # a TaskManager that comes up after a kill counts its workers from the beginning, while one
        # of the old TaskManager may still be about to end
        self._workers: dict[str, list[Worker]] = {}

    def StartWorker(self, request: Any, context: object) -> object:
        """Start one; a process that cannot be started is the answer's error."""
        name, control = request.worker_id, request.control_endpoint.url
        _log.info("starting worker %s, which reports to %s", name, control)
        try:
            worker = Worker(name, control, self._command(control, name), self._pause)
        except OSError as error:
            return beam_fn_api_pb2.StartWorkerResponse(error=f"Worker {name}: {error}")
        others = [one for one in self._workers.get(name, ()) if one.alive]
        self._workers[name] = [*others, worker]
        return beam_fn_api_pb2.StartWorkerResponse()

    def StopWorker(self, request: Any, context: object) -> object:
        """End the latest of that id; one that is not there is ended already."""
        workers = self._workers.get(request.worker_id)
        if workers:
            _log.info("stopping worker %s", request.worker_id)
            workers.pop().stop()
        return beam_fn_api_pb2.StopWorkerResponse()

    def close(self) -> None:
        """End them all."""
        for workers in self._workers.values():
            while workers:
                workers.pop().stop()


def serve(host: str, port: int) -> tuple[grpc.Server, Pool]:
    """A running pool.

    Raises
    ------
    OSError
        When the port is taken.
    """
    server = grpc.server(thread_pool_executor.shared_unbounded_instance(), options=_OPTIONS)
    pool = Pool()
    beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(pool, server)
    try:
        server.add_insecure_port(f"{host}:{port}")
    except RuntimeError as error:
        raise OSError(f"Port {port} of {host} is taken; end what listens there.") from error
    server.start()
    return server, pool


def main() -> None:
    """Serve until SIGTERM or SIGINT, then end the workers."""
    parser = argparse.ArgumentParser(prog="worker_pool", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    asked = parser.parse_args()
    # by force: Beam's import has warned already, and whoever warns first sets logging up
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", force=True
    )
    for name, value in ONE_THREAD.items():
        os.environ.setdefault(name, value)  # workers inherit it
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    server, pool = serve(asked.host, asked.port)
    stop.wait()
    server.stop(grace=1.0)
    pool.close()


if __name__ == "__main__":
    main()
