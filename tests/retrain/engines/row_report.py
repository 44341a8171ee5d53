"""A component as a user writes it: it counts the rows of the statistics."""

from pathlib import Path

import tfx.v1 as tfx
from tensorflow_metadata.proto.v0 import statistics_pb2
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact
from tfx.types.experimental import simple_artifacts
from tfx.types.standard_artifacts import ExampleStatistics


@tfx.dsl.components.component  # type: ignore[untyped-decorator, unused-ignore]
def RowReport(
    statistics: InputArtifact[ExampleStatistics], report: OutputArtifact[simple_artifacts.File]
) -> None:
    """Write the number of rows of each split."""
    lines = []
    for file in sorted(Path(statistics.uri).glob("Split-*/FeatureStats.pb")):
        proto = statistics_pb2.DatasetFeatureStatisticsList.FromString(file.read_bytes())
        lines.append(f"{file.parent.name} {proto.datasets[0].num_examples}\n")
    Path(report.uri).mkdir(parents=True, exist_ok=True)
    Path(report.uri, "rows.txt").write_text("".join(lines))
