"""A run is verified in ML Metadata: a node that TFX skips is a failure."""

from __future__ import annotations

from pathlib import Path

import pytest

from streaming.contracts.tolerance import DEFAULT

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("ignore")]


def test_a_skipped_node_is_a_failure(tmp_path: Path) -> None:
    import tfx.v1 as tfx
    from tfx.orchestration.pipeline import Pipeline

    from retrain.engines.tfx import runner
    from retrain.engines.tfx.anomaly_gate import AnomalyGate
    from retrain.engines.tfx.beam_options import BEAM

    metadata = tmp_path / "mlmd.sqlite"
    runner.open_store(metadata)
    kind = tfx.types.standard_artifacts.ExampleAnomalies
    nothing = tfx.dsl.Resolver(
        strategy_class=tfx.dsl.experimental.LatestArtifactStrategy,
        anomalies=tfx.dsl.Channel(type=kind),
        statistics=tfx.dsl.Channel(type=tfx.types.standard_artifacts.ExampleStatistics),
        schema=tfx.dsl.Channel(type=tfx.types.standard_artifacts.Schema),
        examples=tfx.dsl.Channel(type=tfx.types.standard_artifacts.Examples),
    ).with_id("Nothing")
    gate = AnomalyGate(
        **{
            name: nothing.outputs[name]
            for name in ("anomalies", "statistics", "schema", "examples")
        },
        tolerance=DEFAULT,
    )
    skipping = Pipeline(
        pipeline_name="skips",
        pipeline_root=str(tmp_path / "root"),
        components=[nothing, gate],
        metadata_connection_config=(
            tfx.orchestration.metadata.sqlite_metadata_connection_config(str(metadata))
        ),
        beam_pipeline_args=list(BEAM),
    )
    with pytest.raises(runner.NodeFailed, match=r"skipped|SKIPPED|ended") as failure:
        runner.run_pipeline(skipping, metadata, "run-1", lambda progress: None)
    assert failure.value.node in ("Nothing", "AnomalyGate")
