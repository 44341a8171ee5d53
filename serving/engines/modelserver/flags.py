"""The command line: TF Serving's flags under their names, and our own.

A flag of TF Serving that changes nothing here is accepted and logged (`without_effect`), so that
the command line of the official server starts this one too. Any other flag is refused.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from serving.engines.modelserver.http_server import HEAD_SECONDS
from serving.engines.modelserver.service import RUN_SECONDS

_WITHOUT_EFFECT: dict[str, Any] = {
    "--num_load_threads": int,
    "--num_unload_threads": int,
    "--max_num_load_retries": int,
    "--load_retry_interval_micros": int,
    "--rest_api_num_threads": int,
    "--grpc_max_threads": int,
    "--tensorflow_session_parallelism": int,
    "--tensorflow_intra_op_parallelism": int,
    "--tensorflow_inter_op_parallelism": int,
}
_BOOLEANS_WITHOUT_EFFECT = (
    "--enable_grpc_healthcheck_service",
    "--flush_filesystem_caches",
    "--enable_per_model_batching_parameters",
)


def parser() -> argparse.ArgumentParser:
    """The parser of every flag."""
    result = argparse.ArgumentParser(
        prog="modelserver",
        description="Serves models with TF Serving's REST and gRPC APIs.",
        epilog="example: python -m serving.engines.modelserver --role stable --grpc-port 8510 "
        "--rest-port 8511 --model-name big_tipper --base-path artifacts/models/big_tipper",
        allow_abbrev=False,
    )
    _add_server(result)
    _add_models(result)
    _add_admission(result)
    for name, kind in _WITHOUT_EFFECT.items():
        result.add_argument(name, type=kind, help="accepted; changes nothing here")
    for name in _BOOLEANS_WITHOUT_EFFECT:
        _add_boolean(result, name, default=None, text="accepted; changes nothing here")
    return result


def without_effect(options: argparse.Namespace) -> list[str]:
    """The given flags that change nothing in this server."""
    names = (*_WITHOUT_EFFECT, *_BOOLEANS_WITHOUT_EFFECT)
    given = [name for name in names if getattr(options, name[2:]) is not None]
    return [*given, *(["--enable_batching"] if options.enable_batching else [])]


def _add_server(to: argparse.ArgumentParser) -> None:
    to.add_argument("--role", default="server", help="stable, control, canary or shadow; for logs")
    to.add_argument("--grpc-port", "--port", type=int, default=8500)
    to.add_argument("--rest-port", "--rest_api_port", type=int, default=8501)
    to.add_argument("--host", default="127.0.0.1")
    to.add_argument("--workers", type=int, default=2, help="gRPC worker threads")
    to.add_argument(
        "--run-seconds", type=float, default=RUN_SECONDS, help="longest time of a request"
    )
    to.add_argument(
        "--head-seconds",
        type=float,
        default=HEAD_SECONDS,
        help="a REST connection that has not sent the head of its request by then is closed",
    )
    to.add_argument(
        "--load-priority",
        choices=("low", "usual"),
        default="low",
        help="low: a load gives way to the requests of the versions that are available",
    )
    to.add_argument("--fault-file", type=Path, help="file with injected faults; for tests only")
    _add_boolean(to, "--rest-api-enable-cors-support", text="CORS headers in responses")
    to.add_argument(
        "--monitoring-config-file",
        "--monitoring_config_file",
        type=Path,
        help="MonitoringConfig; without it the metrics are at /monitoring/prometheus/metrics",
    )


def _add_models(to: argparse.ArgumentParser) -> None:
    to.add_argument("--model-name", "--model_name", default="default")
    to.add_argument("--base-path", "--model_base_path", type=Path, help="folder of version folders")
    to.add_argument("--versions", default="latest", help="latest, none or 3,4")
    to.add_argument(
        "--model-config-file",
        "--model_config_file",
        type=Path,
        help="ModelServerConfig with any number of models, in place of name and base path",
    )
    to.add_argument(
        "--model-config-file-poll-wait-seconds",
        "--model_config_file_poll_wait_seconds",
        type=float,
        default=0.0,
        help="seconds between looks at the file; 0: it is read once",
    )
    to.add_argument(
        "--file-system-poll-wait-seconds",
        "--file_system_poll_wait_seconds",
        type=float,
        default=1.0,
        help="seconds between looks at the folders; 0: only when the configuration changes",
    )
    _add_boolean(
        to,
        "--allow-version-labels-for-unavailable-models",
        text="a new label may name a version that is not loaded",
    )
    _add_boolean(to, "--enable-model-warmup", default=True, text="warm versions up")
    _add_boolean(to, "--enable-batching", text="accepted; requests are computed one by one")
    to.add_argument(
        "--batching-parameters-file",
        "--batching_parameters_file",
        type=Path,
        help="BatchingParameters; checked, changes nothing here",
    )


def _add_admission(to: argparse.ArgumentParser) -> None:
    to.add_argument(
        "--manifests",
        choices=("optional", "store", "required"),
        default="optional",
        help="whether a version must have a manifest: never, where another version of the model "
        "has one, always; a manifest is compared with the files in any case",
    )
    to.add_argument(
        "--allow-op",
        action="append",
        default=[],
        metavar="NAME",
        help="an operation that graphs may contain beside the usual ones; may be repeated",
    )


def _add_boolean(
    to: argparse.ArgumentParser, name: str, *, default: bool | None = False, text: str
) -> None:
    """A flag as TF Serving reads it: ``--name``, ``--name=true`` or ``--name=false``."""
    names = dict.fromkeys((name, "--" + name[2:].replace("-", "_")))
    to.add_argument(*names, type=_boolean, nargs="?", const=True, default=default, help=text)


def _boolean(text: str) -> bool:
    """``true``, ``1``, ``false`` or ``0``; ``ValueError`` otherwise."""
    if text.lower() in ("true", "1"):
        return True
    if text.lower() in ("false", "0"):
        return False
    raise ValueError(text)
