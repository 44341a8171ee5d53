"""A TFX component that serves the trained model for a moment, without Docker.

TFX's own InfraValidator supports Docker and Kubernetes only, and its subclasses do not compile for
Kubeflow, so this one is a plain component. A model that cannot be served, or predicts other values
than its trainer, fails the run. A model that is only slow is reported and not blessed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import msgspec
from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import artifact_utils, component_spec, standard_artifacts
from tfx.utils import path_utils

from retrain.engines.tfx.server_check import ServingCheck, check_serving
from retrain.ports import ServerCommand
from streaming.contracts.errors import UnavailableError
from streaming.contracts.model import FeatureSpec
from streaming.contracts.task import Task

_BUSY = 0.5
"""Load of each core from which on a slow version may be the machine's fault."""

_BUSY_TRIES = 5
"""How often a version is measured at most while the machine is busy; else it is measured twice."""
_BUSY_PAUSE_SECONDS = 3.0

LOAD_SECONDS_PER_COLUMN = 0.1
"""Three times what a column of `retrain.models.tabular` takes on a quiet machine."""

REPORT = "serving_check.json"
"""Name of the file with the measurements, inside the blessing's folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingLimits:
    """Upper bounds for a version in a real server."""

    load_seconds: float = 5.0
    """Upper bound of the time from version seen to version available."""
    warm_predict_seconds: float = 0.2
    """Upper bound of the median duration of a warm single-row prediction."""
    p99_predict_seconds: float | None = None
    """Upper bound of the 99 % quantile of these durations; None = it is measured only."""

    @classmethod
    def of_columns(cls, columns: int) -> ServingLimits:
        """The limits of a model with this many columns; each has operations that are loaded.

        >>> ServingLimits.of_columns(10).load_seconds, ServingLimits.of_columns(200).load_seconds
        (5.0, 20.0)
        """
        usual = cls()
        return replace(
            usual, load_seconds=max(usual.load_seconds, columns * LOAD_SECONDS_PER_COLUMN)
        )


class _Executor(base_executor.BaseExecutor):  # type: ignore[misc]
    def Do(self, input_dict: Any, output_dict: Any, exec_properties: Any) -> None:
        """Write `REPORT` into the blessing and mark whether the version is within the limits."""
        model = artifact_utils.get_single_instance(input_dict["model"])
        blessing = artifact_utils.get_single_instance(output_dict["blessing"])
        folder = Path(blessing.uri)
        folder.mkdir(parents=True, exist_ok=True)
        limits = ServingLimits(**json.loads(exec_properties["limits"]))
        measure = partial(
            check_serving,
            Path(path_utils.serving_model_path(model.uri)),
            model=exec_properties["model_name"],
            version=exec_properties["version"],
            features=msgspec.json.decode(exec_properties["features"], type=list[FeatureSpec]),
            task=msgspec.json.decode(exec_properties["task"], type=Task),
            log_file=folder / "server.log",
            server=msgspec.json.decode(exec_properties["server"], type=ServerCommand),
            keep=True,
        )
        check = _best(partial(_measured, measure), limits)
        (folder / REPORT).write_text(json.dumps(asdict(check)))
        blessing.set_int_custom_property("blessed", int(not exceeded_limit(check, limits)))
        blessing.set_float_custom_property("load_seconds", check.load_seconds)
        blessing.set_float_custom_property("warm_predict_seconds", check.warm_predict_seconds)
        blessing.set_float_custom_property("p99_predict_seconds", check.p99_predict_seconds)


def _measured(measure: Callable[[], ServingCheck]) -> ServingCheck:
    """The check; once more when the server, which may be a kept one, has ended."""
    try:
        return measure()
    except UnavailableError:
        return measure()


def _best(
    measure: Callable[[], ServingCheck],
    limits: ServingLimits,
    sleep: Callable[[float], None] = time.sleep,
) -> ServingCheck:
    """The first check within the limits, else the last one.

    A busy machine slows any model down, for moments; a slow model is slow each time.
    """
    check = measure()
    for more in range(_BUSY_TRIES - 1):
        if not exceeded_limit(check, limits) or (more and check.load_per_core < _BUSY):
            break
        if more:
            sleep(_BUSY_PAUSE_SECONDS)
        check = measure()
    return check


class _Spec(component_spec.ComponentSpec):  # type: ignore[misc]
    PARAMETERS: ClassVar[dict[str, Any]] = {
        "model_name": component_spec.ExecutionParameter(type=str),
        "version": component_spec.ExecutionParameter(type=int),
        "features": component_spec.ExecutionParameter(type=str),
        "task": component_spec.ExecutionParameter(type=str),
        "limits": component_spec.ExecutionParameter(type=str),
        "server": component_spec.ExecutionParameter(type=str),
    }
    INPUTS: ClassVar[dict[str, Any]] = {
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model)
    }
    OUTPUTS: ClassVar[dict[str, Any]] = {
        "blessing": component_spec.ChannelParameter(type=standard_artifacts.InfraBlessing)
    }


class ServingValidator(base_component.BaseComponent):  # type: ignore[misc]
    """Serves a model in a real model server and measures it."""

    SPEC_CLASS = _Spec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(_Executor)

    def __init__(
        self,
        model: Any,
        *,
        model_name: str,
        version: int,
        features: tuple[FeatureSpec, ...],
        task: Task,
        limits: ServingLimits,
        server: ServerCommand,
    ) -> None:
        spec = _Spec(
            model=model,
            model_name=model_name,
            version=version,
            features=msgspec.json.encode(features).decode(),
            task=msgspec.json.encode(task).decode(),
            limits=json.dumps(asdict(limits)),
            server=msgspec.json.encode(server).decode(),
            blessing=types.Channel(type=standard_artifacts.InfraBlessing),
        )
        super().__init__(spec=spec)


def read_report(blessing: Path) -> ServingCheck:
    """The measurements that the component wrote."""
    return ServingCheck(**json.loads((blessing / REPORT).read_text()))


def exceeded_limit(check: ServingCheck, limits: ServingLimits) -> str:
    """The limit that a version exceeds, in words; empty when it is within all of them.

    A busy machine is named, because it may be the cause.
    """
    if check.load_seconds > limits.load_seconds:
        reason = (
            f"it took {check.load_seconds:.1f} s to become available;"
            f" at most {limits.load_seconds:g} s are allowed"
        )
    elif check.warm_predict_seconds > limits.warm_predict_seconds:
        reason = (
            f"a warm prediction took {1000 * check.warm_predict_seconds:.0f} ms;"
            f" at most {1000 * limits.warm_predict_seconds:g} ms are allowed"
        )
    elif limits.p99_predict_seconds is not None and (
        check.p99_predict_seconds > limits.p99_predict_seconds
    ):
        reason = (
            f"one warm prediction in a hundred took {1000 * check.p99_predict_seconds:.0f} ms;"
            f" at most {1000 * limits.p99_predict_seconds:g} ms are allowed"
        )
    else:
        return ""
    if check.load_per_core < _BUSY:
        return reason
    return f"{reason} (the machine was busy: {check.load_per_core:.1f} processes for each core)"
