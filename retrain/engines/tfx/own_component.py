"""What Driftline's own TFX components have in common: text parameters in, artifacts in and out.

TFX's base classes are kept: a plain component compiles for Kubeflow, and ML Metadata records it as
any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import component_spec


def own_component(
    name: str,
    executor: type,
    *,
    inputs: Mapping[str, type] = {},
    optional: Mapping[str, type] = {},
    outputs: Mapping[str, type] = {},
    parameters: tuple[str, ...] = (),
) -> Any:
    """A component class.

    Parameters
    ----------
    name:
        Name of the class, as ML Metadata and progress show it.
    executor:
        The executor; its class path is in compiled pipelines, so it must be a module's attribute.
    inputs, optional, outputs:
        Name → artifact type of the channels.
    parameters:
        Names of the text parameters.
    """
    spec = type(
        f"{name}Spec",
        (component_spec.ComponentSpec,),
        {
            "PARAMETERS": {key: component_spec.ExecutionParameter(type=str) for key in parameters},
            "INPUTS": {
                **{key: component_spec.ChannelParameter(type=kind) for key, kind in inputs.items()},
                **{
                    key: component_spec.ChannelParameter(type=kind, optional=True)
                    for key, kind in optional.items()
                },
            },
            "OUTPUTS": {
                key: component_spec.ChannelParameter(type=kind) for key, kind in outputs.items()
            },
        },
    )

    def make(self: Any, **values: Any) -> None:
        channels = {key: types.Channel(type=kind) for key, kind in outputs.items()}
        given = {key: value for key, value in values.items() if value is not None}
        base_component.BaseComponent.__init__(self, spec=spec(**given, **channels))

    return type(
        name,
        (base_component.BaseComponent,),
        {
            "SPEC_CLASS": spec,
            "EXECUTOR_SPEC": executor_spec.ExecutorClassSpec(executor),
            "__init__": make,
            "__module__": executor.__module__,
            "__doc__": executor.__doc__,
        },
    )
