"""Builds the summary of a closed window and stores its statistics."""

from __future__ import annotations

from collections.abc import Iterable

from streaming.contracts.ids import digest
from streaming.contracts.model import ModelContract
from streaming.contracts.records import Artifact, WindowSummary
from streaming.engines.artifact_store import ArtifactStore
from streaming.engines.tfdv.validation import Statistics
from streaming.job.schema_step import ActiveSchema
from streaming.windowing.accumulator import WindowAccumulator, WindowCombiner

_NO_SCHEMA = Statistics()


class SummaryBuilder:
    """Builds the summaries of one model's windows; the same accumulators give the same record."""

    def __init__(self, contract: ModelContract, store: ArtifactStore) -> None:
        self._contract = contract
        self._combiner = WindowCombiner(contract)
        self._store = store

    def build(
        self,
        accumulators: Iterable[WindowAccumulator],
        end_ms: int,
        schema: ActiveSchema | None = None,
    ) -> WindowSummary:
        """The summary of the window that ends at `end_ms`, validated against a schema."""
        merged = self._combiner.merge(accumulators)
        statistics = schema.statistics if schema else _NO_SCHEMA
        proto = statistics.of(merged.counts)
        return self._combiner.extract(
            merged,
            end_ms,
            statistics=self._store_statistics(proto.SerializeToString(deterministic=True), end_ms),
            anomalies=statistics.anomalies(proto, merged.unknown, merged.counts),
            schema_digest=schema.schema.digest if schema else "",
        )

    def _store_statistics(self, data: bytes, end_ms: int) -> Artifact:
        """The name contains the digest, so a replay never changes what an earlier record names."""
        name = f"statistics/{self._contract.model}/{end_ms // 1000}-{digest(data)[:12]}.pb"
        return self._store.put(name, data)
