"""How many labels there are, counted in the log itself."""

from __future__ import annotations

from dataclasses import dataclass

from streaming.contracts.log import RecordLog
from streaming.contracts.records import OffsetRange


@dataclass(frozen=True, slots=True)
class LabelLog:
    """`LabelProgress` of one labels topic; asks the log each time, so call it off the hot path."""

    log: RecordLog
    topic: str

    def spans(self, since: float | None = None) -> tuple[OffsetRange, ...]:
        return self.log.spans(self.topic, since=since)

    def since(self, time: float) -> int:
        return sum(span.stop - span.start for span in self.log.spans(self.topic, since=time))


@dataclass(frozen=True, slots=True)
class NoLabels:
    """`LabelProgress` while the labels topic cannot be asked: nothing starts, nothing fails."""

    def spans(self, since: float | None = None) -> tuple[OffsetRange, ...]:
        return ()

    def since(self, time: float) -> int:
        return 0
