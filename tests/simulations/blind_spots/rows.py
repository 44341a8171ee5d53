"""Real rows through the production summary, as the records that the judges read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from msgspec.structs import replace

from streaming import summary
from streaming.baseline.merge import build_reference
from streaming.contracts.model import FeatureSpec, ModelContract
from streaming.contracts.records import ReferenceSummary, WindowSummary
from streaming.engines.tfdv.validation import Statistics
from tests.simulations.records import MODEL, contract_of, window_of

FEATURES, HOUR = 20, 3_600.0
"""The model has 20 features, which share the budget; only some of them have rows here."""
MIN_PRESENCE = 0.95
"""Share of the rows that must have a value, by the schema."""


def schema_text(specs: Sequence[FeatureSpec], domains: Mapping[str, Sequence[str]]) -> str:
    """The schema of these features: presence for all, a domain where there is one."""
    types = {"number": "FLOAT", "integer": "INT", "text": "BYTES"}
    lines = ['default_environment: "SERVING"']
    for spec in specs:
        values = "".join(f'value: "{value}" ' for value in domains.get(spec.name, ()))
        domain = f"string_domain {{ {values}}}" if values else ""
        lines.append(
            f'feature {{ name: "{spec.name}" type: {types[spec.kind]} '
            f"presence {{ min_fraction: {MIN_PRESENCE} min_count: 1 }} "
            f"value_count {{ min: 1 max: 1 }} {domain} }}"
        )
    return "\n".join(lines)


@dataclass(frozen=True)
class Summariser:
    """Turns rows into window records: production summary, sampled rows, TFDV's anomalies."""

    specs: tuple[FeatureSpec, ...]
    statistics: Statistics

    @property
    def counted(self) -> ModelContract:
        """The contract of the features that have rows."""
        return contract_of(self.specs, HOUR)

    @property
    def judged(self) -> ModelContract:
        """The contract of all features, which divides the budget."""
        others = [
            FeatureSpec(name=f"other{number}", kind="number")
            for number in range(FEATURES - len(self.specs))
        ]
        return contract_of((*self.specs, *others), HOUR)

    def window(
        self, columns: Sequence[pa.Array[Any]], number: int, *, sampled: bool = False
    ) -> WindowSummary:
        """The record of window `number`; with `sampled`, rows are sampled for correlations."""
        names = [spec.name for spec in self.specs]
        batch = pa.RecordBatch.from_arrays(list(columns), names=names)
        rows = batch.num_rows
        keys = summary.row_keys("e", 0, np.arange(rows) + number * rows) if sampled else None
        partial = summary.add(summary.start(self.counted), batch, keys)
        proto = self.statistics.of(partial)
        return replace(
            window_of(summary.finish(partial), number, HOUR, rows),
            anomalies=self.statistics.anomalies(proto, counted=partial),
            sample=summary.finish_sample(partial),
        )

    @staticmethod
    def reference(windows: Sequence[WindowSummary]) -> ReferenceSummary:
        """The reference that a retrain on these windows would give."""
        return build_reference(windows, model=MODEL, version=1, at=0.0)
