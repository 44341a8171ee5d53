"""The yardstick of a version: the windows it was trained on, merged.

The stream job has already summarised them, and the log keeps the summaries; so a reference costs
one read of `window-statistics` and shares its bucket edges with every later window exactly.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from streaming.contracts import topics
from streaming.contracts.codec import decode, encode
from streaming.contracts.errors import Unreadable
from streaming.contracts.log import RecordLog
from streaming.contracts.records import Artifact, ModelVersion, WindowSummary
from streaming.engines.artifacts import ArtifactStore
from streaming.reference import build_reference


@dataclass(slots=True, kw_only=True)
class WindowReferences:
    """Implements `serving.ports.References` over the log and the artifact store."""

    log: RecordLog
    store: ArtifactStore

    def publish(self, version: ModelVersion) -> Artifact | None:
        """Merge the version's windows and store the summary; None when there are none.

        The name carries the version and the bytes depend on the windows alone, so publishing
        twice gives the same artifact.
        """
        found = {
            summary.record_id: summary
            for summary in self._summaries(version.model)
            if summary.window_start >= version.window_start
            and summary.window_end <= version.window_end
            and summary.accepted > 0
        }
        if not found:
            return None
        reference = build_reference(
            sorted(found.values(), key=lambda summary: summary.window_start),
            model=version.model,
            version=version.version,
            at=version.at,
            caused_by=(version.record_id,),
        )
        name = f"references/{version.model}/{version.version}.json"
        return self.store.put(name, encode(reference))

    def _summaries(self, model: str) -> Iterator[WindowSummary]:
        for span in self.log.spans(topics.WINDOW_STATISTICS.name):
            for message in self.log.read(span):
                if message.value is None:
                    continue
                try:
                    record = decode(message.value)
                except Unreadable:
                    continue  # a broken record is no window; its writer has been told
                if isinstance(record, WindowSummary) and record.model == model:
                    yield record
