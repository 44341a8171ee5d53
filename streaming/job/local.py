"""The stream job in one process, without Beam, Flink and Kafka: the same parts in a plain loop.

It serves tests and gives the upper bound that the bench compares the real job with. Nothing is
checkpointed: after a stop it starts again from the log.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from streaming.contracts.model import ModelContract
from streaming.contracts.records import (
    DeadLetter,
    DriftVerdict,
    Promotion,
    SchemaVerdict,
    SchemaVersion,
    WindowSummary,
)
from streaming.drift import DriftRules
from streaming.engines.artifact_store import ArtifactStore
from streaming.job.model_step import ModelState, ModelStep
from streaming.job.settings import ModelJob
from streaming.windowing.accumulator import WindowAccumulator
from streaming.windowing.event_clock import INITIAL_WATERMARK_MS, EventClock
from streaming.windowing.event_reader import EventReader, Fetch, ReadResult

JobRecord = WindowSummary | DriftVerdict | SchemaVerdict | DeadLetter
"""A record that the job writes."""


@dataclass(slots=True)
class LocalJob:
    """The stream job of one model; the caller passes it the fetches.

    Parameters
    ----------
    contract, rules:
        The model's contract and its drift rules.
    store:
        Statistics are written to it and references are read from it.
    """

    contract: ModelContract
    rules: DriftRules
    store: ArtifactStore
    state: ModelState = field(default_factory=ModelState, init=False)
    """What the verdicts on the next window depend on."""
    _clocks: dict[int, EventClock] = field(init=False)
    _open: dict[int, list[WindowAccumulator]] = field(default_factory=dict, init=False)
    _reader: EventReader = field(init=False)
    _step: ModelStep = field(init=False)

    def __post_init__(self) -> None:
        self._reader = EventReader(self.contract)
        self._step = ModelStep(ModelJob(contract=self.contract, rules=self.rules), self.store)
        self._clocks = dict.fromkeys(range(self.contract.partitions), EventClock())

    def feed(self, fetch: Fetch, *, now: float) -> list[JobRecord]:
        """Read a fetch; returns its dead letters, and the records of windows that it closed."""
        result = ReadResult(clock=self._clocks[fetch.partition])
        self._reader.add(result, fetch, now=now)
        for end, accumulator in result.windows.items():
            self._open.setdefault(end, []).append(accumulator)
        self._clocks[fetch.partition] = result.clock
        return [*result.dead, *result.late, *self._close()]

    def idle(self, partition: int, *, now: float) -> list[JobRecord]:
        """Advance the watermark of a partition that has nothing usable to read at `now`."""
        clock = self._clocks[partition]
        watermark = self._reader.windows.idle_watermark(now, clock.watermark_ms)
        self._clocks[partition] = clock.at_least(watermark)
        return list(self._close())

    def finish(self) -> list[JobRecord]:
        """Close all open windows."""
        last = max(self._open, default=INITIAL_WATERMARK_MS)
        self._clocks = {number: clock.at_least(last) for number, clock in self._clocks.items()}
        return list(self._close())

    def promote(self, promotion: Promotion) -> None:
        """Use this promotion's reference from the next window on."""
        self.state = self.state.after_promotion(promotion)

    def activate_schema(self, version: SchemaVersion) -> None:
        """Use this schema version from the next window on, unless a newer one is active."""
        self.state = self.state.after_schema(version)

    def _close(self) -> Iterator[JobRecord]:
        watermark = min(clock.watermark_ms for clock in self._clocks.values())
        for end in sorted(end for end in self._open if end <= watermark):
            window, self.state = self._step.close(end, self._open.pop(end), self.state)
            yield from window.records
