"""Compiles a pipeline for Kubeflow Pipelines (YAML of the pipeline specification 2.1).

Every node is in the file, also those of Driftline: replay, gate, serving check, blessing and store.
Files are named by URIs, or by paths below a mounted volume. What is written is read back by kfp,
and a file that lacks a node is refused.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from retrain.engines.tfx.places import MOUNTS, is_uri
from retrain.engines.tfx.steps import Steps
from streaming.contracts.errors import ConfigurationError

COMMAND = ("python", "-m", "retrain.engines.tfx.kubeflow_node")
"""What a container runs; the node's arguments follow."""

_LOOPBACK = ("127.", "localhost", "[::1]")


def compile_pipeline(
    steps: Steps,
    *,
    name: str,
    file: Path,
    image: str,
    root: str,
    beam: tuple[str, ...],
    mounts: Mapping[str, str],
) -> tuple[str, ...]:
    """Write `file`, and return the names of its nodes; see `pipeline.RetrainPipeline.compile_to`.

    Raises
    ------
    ConfigurationError
        When a step names a folder of this machine, or kfp refuses the file.
    """
    _refuse_local(root, "root", {})  # Kubeflow takes no folder there
    for option in beam:
        _refuse_loopback(option.rpartition("=")[2], "beam")
    for step, component in steps.items():
        _refuse_loopback(str(component.exec_properties.get("bootstrap", "")), step)
        for value in _texts(component.exec_properties):
            _refuse_local(value, step, mounts)
    spec = _specification(steps, name=name, image=image, root=root, beam=beam)
    spec["defaultPipelineRoot"] = root  # TFX has it beside the specification, which is dropped
    nodes = tuple(str(component.id) for component in steps)
    lacking = sorted(set(nodes) - set(spec["root"]["dag"]["tasks"]))
    if lacking:
        raise ConfigurationError(f"The compiled pipeline lacks the node(s) {', '.join(lacking)}.")
    documents = [spec, _volumes(spec, mounts)] if mounts else [spec]
    text = yaml.safe_dump_all(documents, sort_keys=True)
    _check_with_kfp(text)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return nodes


def _specification(
    steps: Steps, *, name: str, image: str, root: str, beam: tuple[str, ...]
) -> dict[str, Any]:
    """The pipeline specification, as TFX compiles it."""
    from tfx.orchestration.pipeline import Pipeline

    try:
        import kfp.pipeline_spec  # noqa: F401
        from tfx.orchestration.kubeflow.v2 import kubeflow_v2_dag_runner as kubeflow
    except ImportError as error:
        raise ConfigurationError(
            f"Kubeflow's SDK is not installed ({error}); `make setup` installs it."
        ) from error
    pipeline = Pipeline(
        # Kubeflow takes no other characters.
        pipeline_name=name.replace("_", "-").lower(),
        pipeline_root=root,
        components=list(steps),
        beam_pipeline_args=list(beam),
        enable_cache=False,
    )
    config = kubeflow.KubeflowV2DagRunnerConfig(
        default_image=image, default_commands=list(COMMAND), use_pipeline_spec_2_1=True
    )
    with tempfile.TemporaryDirectory() as folder:
        runner = kubeflow.KubeflowV2DagRunner(config, folder, "pipeline.yaml")
        runner.run(pipeline, write_out=True)
        spec: dict[str, Any] = yaml.safe_load(Path(folder, "pipeline.yaml").read_text())
    return spec


def _check_with_kfp(text: str) -> None:
    from kfp import components

    try:
        components.load_component_from_text(text)
    except Exception as error:
        raise ConfigurationError(f"kfp refuses the compiled pipeline: {error}") from error


def _volumes(spec: Mapping[str, Any], mounts: Mapping[str, str]) -> dict[str, Any]:
    """The second document: every container has every volume."""
    executors = spec["deploymentSpec"]["executors"]

    def volumes() -> list[dict[str, Any]]:  # anew for each, or YAML would write references
        return [
            {"mountPath": folder, "pvcNameParameter": {"runtimeValue": {"constant": claim}}}
            for claim, folder in sorted(mounts.items())
        ]

    containers = {
        label: {"pvcMount": volumes()} for label, each in executors.items() if "container" in each
    }
    return {"platforms": {"kubernetes": {"deploymentSpec": {"executors": containers}}}}


def _refuse_local(value: str, step: str, mounts: Mapping[str, str]) -> None:
    """Refuse what only this machine knows."""
    local = value.startswith("file:") or _is_path(value) or (step == "root" and not is_uri(value))
    below = tuple(f"{folder.rstrip('/')}/" for folder in mounts.values())
    if local and not f"{value}/".startswith(below):
        raise ConfigurationError(
            f"The step '{step}' names {value}, which a container does not have: give a URI"
            f" ({', '.join(MOUNTS)}), or a folder of a mounted volume."
        )


def _refuse_loopback(address: str, step: str) -> None:
    if address.startswith(_LOOPBACK):
        raise ConfigurationError(
            f"The step '{step}' names {address}, which is another machine in a container: give the"
            " address in the cluster."
        )


def _is_path(value: str) -> bool:
    """Whether a text is a path of this machine.

    >>> _is_path("/tmp"), _is_path("/no-such-folder/x"), _is_path("trips")
    (True, False, False)
    """
    return value.startswith("/") and Path(f"/{value.split('/')[1]}").exists()


def _texts(value: Any) -> Iterator[str]:
    """Every text in the parameters of a component, also inside of JSON."""
    if isinstance(value, str):
        inner = _from_json(value)
        yield from [value] if inner is None else _texts(inner)
    elif isinstance(value, Mapping):
        yield from _texts(value.values())
    elif isinstance(value, Iterable):
        for each in value:
            yield from _texts(each)


def _from_json(text: str) -> Any:
    """What a JSON object or list says; None for other texts."""
    if text[:1] not in ("{", "["):
        return None
    try:
        return json.loads(text)
    except ValueError:
        return None
