"""``python -m tests.bench.retrain_on_flink``: TFX's components on Flink, and in this process.

Starts a Flink cluster and Beam's job server of its own, with the configuration of the embedded
stack, and runs the same pipeline twice: ImportExampleGen, StatisticsGen, Transform with analyzers,
Evaluator. The two must agree: rows, vocabularies, and the AUC to the last digit.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from tensorflow_metadata.proto.v0 import statistics_pb2

from deploy.config.paths import install_paths
from deploy.config.port_map import HOST, PortMap
from deploy.local import flink
from deploy.local.stack import Stack
from retrain.engines.tfx.evaluation import read_metrics
from retrain.engines.tfx.pipeline import pipeline
from tests.retrain.engines.taxi_trips import trips, write_shards

NEEDED = ("flink-jobmanager", "flink-taskmanager", "beam-jobserver")


@contextmanager
def cluster(home: Path, ports: PortMap) -> Iterator[Stack]:
    """Flink and the job server; ended afterwards."""
    paths = install_paths()
    factories = (flink.jobmanager, flink.taskmanager, flink.jobserver)
    specs = [create(home, ports, paths) for create in factories]
    stack = Stack(home, ports, specs, prepare=(lambda: flink.write_config(home, ports),))
    try:
        stack.up(NEEDED)
        yield stack
    finally:
        stack.down()


def beam_options(ports: PortMap) -> tuple[str, ...]:
    """Options for Beam to use the cluster, with this process as the worker."""
    return (
        "--runner=PortableRunner",
        f"--job_endpoint={HOST}:{ports.jobserver}",
        f"--artifact_endpoint={HOST}:{ports.jobserver_artifacts}",
        "--environment_type=LOOPBACK",
        "--environment_cache_millis=600000",  # else Flink ends the workers after each stage
        "--parallelism=1",
    )


def measured(shards: Path, root: Path, beam: tuple[str, ...]) -> dict[str, Any]:
    """One run: seconds of each component, and what must not depend on the runner."""
    plan = pipeline("big_tipper", root=root, engine="tfx", beam=beam).from_shards(shards)
    plan.generate_statistics().with_schema().validate_input_data()
    plan.preprocess("tests.retrain.engines.analysed_trips.preprocessing_fn")
    run = plan.train(steps=100).evaluate_model().run()
    file = run.outputs["StatisticsGen"]["statistics"] / "Split-train" / "FeatureStats.pb"
    dataset = statistics_pb2.DatasetFeatureStatisticsList.FromString(file.read_bytes()).datasets[0]
    assets = run.outputs["Transform"]["transform_graph"] / "transform_fn" / "assets"
    metrics = read_metrics(run.outputs["Evaluator"]["evaluation"], champion=False)
    (auc,) = (each.value for each in metrics if (each.name, each.slice) == ("auc", ""))
    result = {
        "seconds": {each.name: round(each.seconds, 1) for each in run.components},
        "rows": dataset.num_examples,
        "vocabularies": {each.name: each.read_text() for each in sorted(assets.iterdir())},
        "auc": auc,
    }
    sys.stderr.write(f"{beam[0]}: {json.dumps(result['seconds'])}\n")
    return result


def main() -> None:
    """Run both, compare, and print one JSON line; exit code 1 when they disagree."""
    parser = argparse.ArgumentParser(prog="tests.bench.retrain_on_flink", description=__doc__)
    parser.add_argument("--port-offset", type=int, default=1_000)
    parser.add_argument("--rows", type=int, default=15_000)
    given = parser.parse_args()
    ports = PortMap().shifted(given.port_offset)
    out, sys.stdout = sys.stdout, sys.stderr  # TFX prints
    with tempfile.TemporaryDirectory() as folder, cluster(Path(folder, "home"), ports) as stack:
        shards = write_shards(Path(folder, "shards"), trips(given.rows))
        local = measured(shards, Path(folder, "here"), ("--runner=FnApiRunner",))
        remote = measured(shards, Path(folder, "there"), beam_options(ports))
        url = f"http://{HOST}:{ports.flink_rest}/jobs/overview"
        states = [job["state"] for job in httpx.get(url, trust_env=False).json()["jobs"]]
        buffers = "Insufficient number of network buffers" in _logs(stack, Path(folder, "home"))
    line = {
        "local": local["seconds"],
        "on_flink": remote["seconds"],
        "auc": (local["auc"], remote["auc"]),
        "rows": (local["rows"], remote["rows"]),
        "same_vocabularies": local["vocabularies"] == remote["vocabularies"],
        "flink_jobs": states,
        "network_buffers_lacked": buffers,
        "load": os.getloadavg()[0],
    }
    out.write(json.dumps(line) + "\n")
    same = all(local[name] == remote[name] for name in ("rows", "vocabularies", "auc"))
    sys.exit(0 if same and states and set(states) == {"FINISHED"} else 1)


def _logs(stack: Stack, home: Path) -> str:
    """What the processes of the cluster wrote."""
    files = [file for file in home.rglob("*.log") if file.is_file()]
    return "".join(file.read_text(errors="replace") for file in files)


if __name__ == "__main__":
    main()
