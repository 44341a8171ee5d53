"""Runs the nodes of a compiled pipeline one by one, as Kubeflow's driver and launcher would.

``python -m tests.retrain.engines.compiled_nodes FILE ROOT`` runs each in a process of its own, with
the command and the arguments of its container.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from retrain.engines.tfx.kubeflow_node import ROOT

Container = Callable[[list[str], list[str]], None]
"""Runs a command with arguments."""

Outputs = dict[str, dict[str, Any]]
"""Output name → artifact, with its URI."""


def run_nodes(file: Path, container: Container, scratch: Path) -> dict[str, Outputs]:
    """Run every node behind those that it depends on; node → what it reports as its outputs."""
    spec = next(yaml.safe_load_all(file.read_text()))
    finished: dict[str, Outputs] = {}
    for name, task in _in_order(spec["root"]["dag"]["tasks"]):
        component = spec["components"][task["componentRef"]["name"]]
        executor = spec["deploymentSpec"]["executors"][component["executorLabel"]]
        if "importer" in executor:
            finished[name] = {"result": _imported(executor["importer"])}
            continue
        report = scratch / name / "report.json"
        if not report.exists():  # an interrupted sequence goes on
            report.parent.mkdir(parents=True, exist_ok=True)
            invocation = _invocation(name, task, component, finished, spec["defaultPipelineRoot"])
            invocation["outputs"]["outputFile"] = str(report)
            arguments = [
                json.dumps(invocation) if text == "{{$}}" else text
                for text in executor["container"]["args"]
            ]
            container(executor["container"]["command"], arguments)
        reported = json.loads(report.read_text()).get("artifacts", {})
        finished[name] = {key: each["artifacts"][0] for key, each in reported.items()}
    return finished


def in_a_process(mounts: Path) -> Container:
    """Runs the container's command in a process of its own, with the mounts below a folder."""

    def run(command: list[str], arguments: list[str]) -> None:
        program = [sys.executable if command[0] == "python" else command[0], *command[1:]]
        began = time.monotonic()
        done = subprocess.run(
            [*program, *arguments],
            env={**os.environ, ROOT: str(mounts)},
            capture_output=True,
            text=True,
            check=False,
        )
        seconds = time.monotonic() - began
        sys.stderr.write(f"{arguments[1]} {done.returncode} {seconds:.1f} s\n")
        if done.returncode:
            raise RuntimeError(done.stderr[-3000:])

    return run


def _in_order(tasks: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    waiting, seen = dict(tasks), set[str]()
    while waiting:
        ready = [
            n for n, task in waiting.items() if seen.issuperset(task.get("dependentTasks", ()))
        ]
        for name in sorted(ready):
            yield name, waiting.pop(name)
            seen.add(name)


def _imported(importer: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "uri": importer["artifactUri"]["constant"],
        "type": importer["typeSchema"],
        "metadata": importer.get("metadata", {}),
    }


def _invocation(
    name: str,
    task: Mapping[str, Any],
    component: Mapping[str, Any],
    finished: Mapping[str, Outputs],
    root: str,
) -> dict[str, Any]:
    """The executor's input, as the driver writes it."""
    inputs = {}
    for key, given in task.get("inputs", {}).get("artifacts", {}).items():
        source = given["taskOutputArtifact"]
        artifact = finished[source["producerTask"]][source["outputArtifactKey"]]
        kind = component["inputDefinitions"]["artifacts"][key]["artifactType"]
        inputs[key] = {"artifacts": [{"name": key, "type": kind, **artifact}]}
    outputs = {
        key: {
            "artifacts": [
                {"name": key, "uri": f"{root}/1/{name}/{key}", "type": each["artifactType"]}
            ]
        }
        for key, each in component.get("outputDefinitions", {}).get("artifacts", {}).items()
    }
    parameters = task.get("inputs", {}).get("parameters", {})
    values = {key: each["runtimeValue"]["constant"] for key, each in parameters.items()}
    return {
        "inputs": {"artifacts": inputs, "parameterValues": values},
        "outputs": {"artifacts": outputs},
    }


if __name__ == "__main__":
    compiled, place = map(Path, sys.argv[1:])
    reported = run_nodes(compiled, in_a_process(place), place / "reports")
    sys.stdout.write(json.dumps(reported, indent=1) + "\n")
