"""One node of a compiled pipeline, as its container runs it.

``python -m retrain.engines.tfx.kubeflow_node --executor_class_path PATH
--json_serialized_invocation_args JSON …`` takes what Kubeflow gives TFX's own entry point. URIs
become paths below the mounts (`places`), TFX runs the executor, and its report names URIs again.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from retrain.engines.tfx.places import mounted, unmounted

ROOT = "DRIFTLINE_MOUNT_ROOT"
"""Variable with the folder that has ``gcs``, ``s3`` and ``minio``; by default ``/``."""

_OWN = "retrain."


def run(arguments: Sequence[str], root: Path) -> None:
    """Run one node with the mounts below `root`."""
    from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_run_executor

    given, beam = _parser().parse_known_args(arguments)
    invocation = json.loads(given.json_serialized_invocation_args)
    for artifact in _artifacts(invocation.get("inputs", {})):
        artifact["uri"] = mounted(artifact["uri"], root)
    for artifact in _artifacts(invocation.get("outputs", {})):
        artifact["uri"] = mounted(artifact["uri"], root)
        Path(artifact["uri"]).parent.mkdir(parents=True, exist_ok=True)
    if given.executor_class_path.startswith(_OWN):
        # TFX's components open URIs by themselves; ours read folders.
        values = invocation.get("inputs", {}).get("parameterValues", {})
        for name, value in values.items():
            values[name] = mounted(value, root) if isinstance(value, str) else value
    report = Path(invocation["outputs"]["outputFile"])
    given.json_serialized_invocation_args = json.dumps(invocation)
    kubeflow_v2_run_executor.main((given, beam))
    written = json.loads(report.read_text())
    for artifact in _artifacts(written):
        artifact["uri"] = unmounted(artifact["uri"], root)
    report.write_text(json.dumps(written))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="retrain.engines.tfx.kubeflow_node")
    parser.add_argument("--executor_class_path", required=True)
    parser.add_argument("--json_serialized_invocation_args", required=True)
    parser.add_argument("--json_serialized_inputs_spec_args", default="")
    return parser


def _artifacts(part: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The artifacts in the inputs or outputs of a node that have a URI."""
    for entry in part.get("artifacts", {}).values():
        yield from (artifact for artifact in entry.get("artifacts", ()) if "uri" in artifact)


if __name__ == "__main__":
    run(sys.argv[1:], Path(os.environ.get(ROOT, "/")))
