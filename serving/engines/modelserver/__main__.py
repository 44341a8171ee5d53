"""``python -m serving.engines.modelserver``: one process for each serving role."""

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
from serving.engines.modelserver.log import always, say
from serving.engines.modelserver.policy import read_policy
from serving.engines.modelserver.service import Service
from streaming.contracts.errors import ConfigurationError

_BEGAN = time.monotonic()
_FIRST_LOAD_SECONDS = 120.0
_GRACE_SECONDS = 5.0
_THREADS_WHEN_SLOWED = 32  # sleeping requests must not queue up behind two threads


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
    parser.add_argument("--workers", type=int, default=2, help="threads that answer gRPC")
    parser.add_argument("--fault-file", type=Path, help="faults on purpose; tests only")
    return parser


async def _serve(options: argparse.Namespace, service: Service) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    workers = options.workers if options.fault_file is None else _THREADS_WHEN_SLOWED
    server = grpc_api.serve(service, f"{options.host}:{options.grpc_port}", workers=workers)
    try:
        runner = await rest.serve(service, options.host, options.rest_port, workers=options.workers)
    except OSError as error:
        server.stop(None)
        raise ConfigurationError(f"The REST port cannot be had: {error}.") from error
    say("ready", start_seconds=round(time.monotonic() - _BEGAN, 3))
    await stopped.wait()
    say("stopping")
    ended = server.stop(_GRACE_SECONDS)
    await runner.cleanup()
    await asyncio.to_thread(ended.wait)


def main() -> int:
    """Serve until SIGTERM; 0 after a graceful end, 2 when it cannot start."""
    options = _arguments().parse_args()
    always(role=options.role, model=options.model_name)
    try:
        policy = read_policy(options.versions)
        library()
        service = Service(options.model_name, options.base_path, faults=Faults(options.fault_file))
        service.versions.start(policy, wait_seconds=_FIRST_LOAD_SECONDS)
        asyncio.run(_serve(options, service))
    except ConfigurationError as error:
        say("refused-to-start", why=str(error))
        return 2
    service.versions.stop()
    say("stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
