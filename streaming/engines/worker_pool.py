"""Starts Beam's Python workers on request, as Beam's own pool does, but on 127.0.0.1 alone.

Beam's ``worker_pool_main`` listens on every address, and who reaches it may start processes here.
"""

from __future__ import annotations

import argparse
import os
import signal
import threading

import grpc
from apache_beam.portability.api import beam_fn_api_pb2_grpc
from apache_beam.runners.worker.worker_pool_main import (
    BeamFnExternalWorkerPoolServicer,
    kill_process_gracefully,
)
from apache_beam.utils import thread_pool_executor

ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}
"""A worker's matrices are small: threads that wait for a part of one burn more than they save
(twice the CPU of a first judgement)."""
_OPTIONS = [("grpc.http2.max_pings_without_data", 0), ("grpc.http2.max_ping_strikes", 0)]


def serve(host: str, port: int) -> tuple[grpc.Server, BeamFnExternalWorkerPoolServicer]:
    """A running pool; each worker is a process of its own.

    Raises
    ------
    OSError
        When the port is taken.
    """
    server = grpc.server(thread_pool_executor.shared_unbounded_instance(), options=_OPTIONS)
    pool = BeamFnExternalWorkerPoolServicer(use_process=True)
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
    for name, value in ONE_THREAD.items():
        os.environ.setdefault(name, value)  # workers inherit it
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    server, pool = serve(asked.host, asked.port)
    stop.wait()
    server.stop(grace=1.0)
    for process in list(pool._worker_processes.values()):
        kill_process_gracefully(process)


if __name__ == "__main__":
    main()
