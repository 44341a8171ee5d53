"""Counts labels in the log itself."""

from __future__ import annotations

from dataclasses import dataclass

from streaming.contracts.log import RecordLog
from streaming.contracts.records import OffsetRange


@dataclass(frozen=True, slots=True)
class LogLabelCounter:
    """`LabelCounter` of one labels topic; each call queries the log, so keep it off hot paths."""

    log: RecordLog
    topic: str

    def spans(self, since: float | None = None) -> tuple[OffsetRange, ...]:
        """See `LabelCounter.spans`."""
        return self.log.spans(self.topic, since=since)

    def count_since(self, time: float) -> int:
        """See `LabelCounter.count_since`."""
        return sum(span.stop - span.start for span in self.log.spans(self.topic, since=time))
