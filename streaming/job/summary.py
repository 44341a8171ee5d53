"""A closed window's partials to its summary, and its statistics to the artifact store."""

from __future__ import annotations

from collections.abc import Iterable

from streaming.contracts.ids import digest
from streaming.contracts.model import ModelContract
from streaming.contracts.records import Artifact, WindowSummary
from streaming.engines.artifact_store import ArtifactStore
from streaming.engines.tfdv.validation import Statistics
from streaming.job.schema_step import InForce
from streaming.windowing.accumulator import Partials, WindowPartial

_NO_SCHEMA = Statistics()


class Summaries:
    """Makes the summary of a window; the same partials give the same record."""

    def __init__(self, contract: ModelContract, store: ArtifactStore) -> None:
        self._contract = contract
        self._partials = Partials(contract)
        self._store = store

    def of(
        self, parts: Iterable[WindowPartial], end_ms: int, schema: InForce | None = None
    ) -> WindowSummary:
        """The summary of all `parts` of the window that ends at `end_ms`, under a schema."""
        whole = self._partials.merge(parts)
        statistics = schema.statistics if schema else _NO_SCHEMA
        proto = statistics.of(whole.rows)
        return self._partials.finish(
            whole,
            end_ms,
            statistics=self._keep(proto.SerializeToString(deterministic=True), end_ms),
            anomalies=statistics.anomalies(proto, whole.unknown),
            schema_digest=schema.schema.digest if schema else "",
        )

    def _keep(self, data: bytes, end_ms: int) -> Artifact:
        """Named by content: a replay never changes what an earlier record points to."""
        name = f"statistics/{self._contract.model}/{end_ms // 1000}-{digest(data)[:12]}.pb"
        return self._store.put(name, data)
