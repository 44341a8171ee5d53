"""TF Serving's configuration files, in protobuf's text format.

Source of the rules: ``model_servers/server.cc``, ``server_core.cc`` and ``http_server.cc`` of
TF Serving 2.19.1; the tests cite the lines.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

from google.protobuf import text_format

from serving.engines.modelserver.codes import Code, Refused, invalid
from serving.engines.modelserver.config_messages import BatchingParameters, MonitoringConfig
from serving.engines.modelserver.protos import ModelServerConfig

METRICS_PATH = "/monitoring/prometheus/metrics"
_MAX_BATCH_SIZE = 1000  # BasicBatchScheduler's default


def read_text_proto(file: Path, kind: Any) -> Any:
    """The message in a file (``ParseProtoTextFile`` in ``util/proto_util.h``).

    Raises
    ------
    Refused
        NOT_FOUND when the file cannot be read, INVALID_ARGUMENT when it is not such a message.
    """
    try:
        content = file.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise invalid(f"Invalid protobuf file: '{file}': it is not UTF-8.") from error
    except OSError as error:
        raise Refused(Code.NOT_FOUND, f"{file}; {error.strerror}") from error
    try:
        return text_format.Parse(content, kind())
    except text_format.ParseError as error:
        raise invalid(f"Invalid protobuf file: '{file}': {error}") from error


def read_models(file: Path) -> Any:
    """``ModelServerConfig`` of the flag ``--model_config_file``; `Refused` as `read_text_proto`."""
    return read_text_proto(file, ModelServerConfig)


def single_model(name: str, base_path: Path) -> Any:
    """The configuration of a server that has ``--model_name`` and ``--model_base_path``."""
    config = ModelServerConfig()
    config.model_config_list.config.add(
        name=name, base_path=str(base_path.absolute()), model_platform="tensorflow"
    )
    return config


def metrics_path(file: Path | None) -> str | None:
    """The path of the metrics page; None for no page.

    Without a file the page is at TF Serving's default path: here metrics are on by default.
    """
    if file is None:
        return METRICS_PATH
    prometheus = read_text_proto(file, MonitoringConfig).prometheus_config
    return (prometheus.path or METRICS_PATH) if prometheus.enable else None


def check_batching(file: Path | None, *, enabled: bool) -> None:
    """Check ``--batching_parameters_file``; requests are computed one by one in any case.

    Raises
    ------
    Refused
        INVALID_ARGUMENT for a file without ``--enable_batching``, or parameters that TF Serving
        refuses.
    """
    if file is None:
        return
    if not enabled:
        raise invalid(
            "server_options.batching_parameters_file is set without setting "
            "server_options.enable_batching to true."
        )
    parameters = read_text_proto(file, BatchingParameters)
    sizes = list(parameters.allowed_batch_sizes)
    if sizes:
        _check_sizes(parameters, sizes)


def _check_sizes(parameters: Any, sizes: list[int]) -> None:
    """``CreateBasicBatchingSession`` of ``batching/batching_session.cc``."""
    largest, last = _MAX_BATCH_SIZE, sizes[-1]
    if parameters.HasField("max_batch_size"):
        largest = parameters.max_batch_size.value
    if not parameters.enable_large_batch_splitting.value:
        if last != largest:
            raise invalid(
                "Last entry in allowed_batch_sizes must match max_batch_size; last "
                f"entry was {last}; expected {largest}"
            )
        return
    if any(later <= earlier for earlier, later in pairwise(sizes)):
        raise invalid("allowed_batch_sizes entries must be monotonically increasing")
    if last > largest:
        raise invalid(
            "Last entry in allowed_batch_sizes must be less than or equal to "
            f"max_batch_size; last entry was {last}; expected {largest}"
        )
    in_one_run = parameters.max_execution_batch_size.value
    if in_one_run != last:
        raise invalid(
            "Last entry in allowed_batch_sizes must be equal to "
            f"max_execution_batch_size; last entry was {last}; expected {in_one_run}"
        )
