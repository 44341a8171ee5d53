"""Command line of the model server; each serving role has its own process."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from pathlib import Path

from serving.engines.modelserver import grpc_api, rest
from serving.engines.modelserver.faults import Faults
from serving.engines.modelserver.library import library
from serving.engines.modelserver.log import configure_logging, log
from serving.engines.modelserver.policy import read_policy
from serving.engines.modelserver.service import Service
from streaming.contracts.errors import ConfigurationError

_STARTED_AT = time.monotonic()
_FIRST_LOAD_SECONDS = 120.0
_GRACE_SECONDS = 5.0
_FAULT_THREADS = 32  # with injected latency, two threads would queue the sleeping requests


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="modelserver",
        description="Serves one model with TF Serving's REST and gRPC APIs.",
        epilog="example: python -m serving.engines.modelserver --role stable --grpc-port 8510 "
        "--rest-port 8511 --model-name big_tipper --base-path artifacts/models/big_tipper",
    )
    parser.add_argument("--role", required=True, help="stable, control, canary or shadow")
    parser.add_argument("--grpc-port", type=int, required=True)
    parser.add_argument("--rest-port", type=int, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--model-name", required=True)
    parser.add_argument("--base-path", type=Path, required=True, help="folder of version folders")
    parser.add_argument("--versions", default="latest", help="latest, none or 3,4")
    parser.add_argument("--workers", type=int, default=2, help="gRPC worker threads")
    parser.add_argument("--fault-file", type=Path, help="file with injected faults; for tests only")
    return parser


async def _serve(options: argparse.Namespace, service: Service) -> None:
    stop_requested = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop_requested.set)
    workers = options.workers if options.fault_file is None else _FAULT_THREADS
    server = grpc_api.serve(service, f"{options.host}:{options.grpc_port}", workers=workers)
    try:
        runner = await rest.serve(service, options.host, options.rest_port, workers=options.workers)
    except OSError as error:
        server.stop(None)
        raise ConfigurationError(f"The REST port cannot be opened: {error}.") from error
    log.info("server.ready", start_seconds=round(time.monotonic() - _STARTED_AT, 3))
    await stop_requested.wait()
    log.info("server.stopping")
    grpc_stopped = server.stop(_GRACE_SECONDS)
    await runner.cleanup()
    await asyncio.to_thread(grpc_stopped.wait)


def main() -> int:
    """Serve until SIGTERM. Exit status 0 after a graceful shutdown, 2 if it cannot start."""
    options = _arguments().parse_args()
    configure_logging(role=options.role, model=options.model_name)
    try:
        policy = read_policy(options.versions)
        library()
        service = Service(options.model_name, options.base_path, faults=Faults(options.fault_file))
        service.versions.start(policy, wait_seconds=_FIRST_LOAD_SECONDS)
        asyncio.run(_serve(options, service))
    except ConfigurationError as error:
        log.error("server.refused_to_start", reason=str(error))
        return 2
    service.versions.stop()
    log.info("server.stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
