"""Command line of the model server; each serving role has its own process."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from typing import Any

from serving.engines.modelserver import grpc_api, rest
from serving.engines.modelserver.admission import Admission
from serving.engines.modelserver.codes import Code, Refused
from serving.engines.modelserver.config_files import (
    check_batching,
    metrics_path,
    read_models,
    single_model,
)
from serving.engines.modelserver.config_poll import ConfigPoll
from serving.engines.modelserver.faults import Faults
from serving.engines.modelserver.flags import parser, without_effect
from serving.engines.modelserver.library import library
from serving.engines.modelserver.log import configure_logging, log
from serving.engines.modelserver.policy import Policy, read_policy
from serving.engines.modelserver.priority import never_in_background
from serving.engines.modelserver.service import Service
from streaming.contracts.errors import ConfigurationError

_STARTED_AT = time.monotonic()
_FIRST_LOAD_SECONDS = 120.0
_GRACE_SECONDS = 5.0
_FAULT_THREADS = 32  # with injected latency, two threads would queue the sleeping requests


def _serve(options: argparse.Namespace, service: Service) -> None:
    stop_requested = os.eventfd(0)  # a lock may not be taken in a signal's handler
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os.eventfd_write(stop_requested, 1))
    workers = options.workers if options.fault_file is None else _FAULT_THREADS
    grpc_server = grpc_api.serve(service, f"{options.host}:{options.grpc_port}", workers=workers)
    try:
        rest_server = rest.serve(
            service,
            options.host,
            options.rest_port,
            workers=options.workers,
            head_seconds=options.head_seconds,
            cors=options.rest_api_enable_cors_support,
        )
    except OSError as error:
        grpc_server.stop(None)
        raise ConfigurationError(f"The REST port cannot be opened: {error}.") from error
    log.info("server.ready", start_seconds=round(time.monotonic() - _STARTED_AT, 3))
    os.read(stop_requested, 8)
    log.info("server.stopping")
    grpc_stopped = grpc_server.stop(_GRACE_SECONDS)
    rest_server.stop(_GRACE_SECONDS)
    grpc_stopped.wait()


def _first_models(options: argparse.Namespace) -> tuple[Any, dict[str, Policy]]:
    """The configuration to start with, and the policies that it does not contain."""
    policy = read_policy(options.versions)
    if options.model_config_file is not None:
        return read_models(options.model_config_file), {}
    if options.base_path is None:
        raise ConfigurationError("Give --model_config_file, or --model_name and --base-path.")
    config = single_model(options.model_name, options.base_path)
    return config, {options.model_name: policy}


def _service(options: argparse.Namespace) -> Service:
    check_batching(options.batching_parameters_file, enabled=options.enable_batching)
    return Service(
        faults=Faults(options.fault_file),
        admission=Admission(manifests=options.manifests, also_allowed=frozenset(options.allow_op)),
        poll_seconds=max(0.0, options.file_system_poll_wait_seconds),
        run_seconds=options.run_seconds,
        metrics_path=metrics_path(options.monitoring_config_file),
        warm=options.enable_model_warmup,
        allow_unavailable_labels=options.allow_version_labels_for_unavailable_models,
    )


def _start_models(options: argparse.Namespace, service: Service) -> ConfigPoll | None:
    """Load the first models; the thread that reads their file again, where there is one."""
    config, policies = _first_models(options)
    try:
        service.models.reload(config, policies=policies, wait_seconds=_FIRST_LOAD_SECONDS)
    except Refused as refused:
        if refused.code is not Code.UNKNOWN:
            raise
        log.error("models.not_available", reason=refused.message)  # they may become so later
    seconds = options.model_config_file_poll_wait_seconds
    if options.model_config_file is None or seconds <= 0:
        return None
    poll = ConfigPoll(options.model_config_file, service.models, seconds=seconds)
    poll.start()
    return poll


def main() -> int:
    """Serve until SIGTERM. Exit status 0 after a graceful shutdown, 2 if it cannot start."""
    options = parser().parse_args()
    configure_logging(role=options.role)
    if ignored := without_effect(options):
        log.info("flags.without_effect", flags=ignored)
    if options.load_priority == "usual":
        never_in_background()
    try:
        library()
        service = _service(options)
        poll = _start_models(options, service)
        _serve(options, service)
    except (ConfigurationError, Refused) as error:
        log.error("server.refused_to_start", reason=str(error))
        return 2
    if poll is not None:
        poll.stop()
    service.models.stop()
    log.info("server.stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
