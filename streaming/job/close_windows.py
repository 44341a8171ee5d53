"""The keyed step of a model: windows close, are summarised and judged.

Its state holds the open windows, the progress of the partitions, the live promotion, the history of
the features and the active schema version, and those that hold for later windows. A promotion
replaces the reference while the job runs and clears the history.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam
import msgspec
from apache_beam.coders import BytesCoder
from apache_beam.transforms.userstate import BagStateSpec, ReadModifyWriteStateSpec

from streaming.contracts.codec import decode, decode_as, encode
from streaming.contracts.errors import DecodeError
from streaming.contracts.records import Promotion, SchemaVersion
from streaming.drift import DriftHistory
from streaming.engines.artifact_store import ArtifactStore
from streaming.job.control_input import ControlProgress, ControlRecord, decode_control
from streaming.job.model_step import ModelState, ModelStep
from streaming.job.read_records import control_partitions
from streaming.job.schema_step import read_schema_state
from streaming.job.settings import JobSettings
from streaming.job.upcoming import read_upcoming
from streaming.windowing.completeness import (
    LateRange,
    ShardUpdate,
    WindowProgress,
    complete_windows,
    decode_update,
    passed_window_end,
    state_entry,
)
from streaming.windowing.event_reader import EventReader
from streaming.windowing.open_windows import merge_entries, split_late

SUMMARIES, SCHEMAS, LATE_RANGES = "summaries", "schemas", "late ranges"

_OPEN = beam.DoFn.StateParam(BagStateSpec("open", BytesCoder()))
_PROGRESS = beam.DoFn.StateParam(ReadModifyWriteStateSpec("progress", BytesCoder()))
_PROMOTION = beam.DoFn.StateParam(ReadModifyWriteStateSpec("promotion", BytesCoder()))
_HISTORY = beam.DoFn.StateParam(ReadModifyWriteStateSpec("history", BytesCoder()))
_SCHEMA = beam.DoFn.StateParam(ReadModifyWriteStateSpec("schema", BytesCoder()))
_UPCOMING = beam.DoFn.StateParam(ReadModifyWriteStateSpec("upcoming", BytesCoder()))

StepInput = ShardUpdate | ControlRecord | ControlProgress
"""What the keyed step receives."""
NOTHING_READ = ShardUpdate({}, {}, 0)
ClosedParts = list[tuple[int, list[bytes]]]
"""Window end (milliseconds) and encoded accumulators of each closed window."""


@dataclass(frozen=True, slots=True)
class StateCells:
    """The Beam state cells of one model."""

    open: Any
    progress: Any
    promotion: Any
    history: Any
    schema: Any
    upcoming: Any

    def read_model_state(self) -> ModelState:
        """The decoded state; empty at first."""
        promotion, history = self.promotion.read(), self.history.read()
        return ModelState(
            promotion=decode_as(promotion, Promotion) if promotion else None,
            history=msgspec.msgpack.decode(history, type=DriftHistory)
            if history
            else DriftHistory(),
            schema=read_schema_state(self.schema.read()),
            upcoming=read_upcoming(self.upcoming.read()),
        )

    def write_model_state(self, before: ModelState, after: ModelState) -> None:
        """Write the cells whose content has changed."""
        if after.promotion is not before.promotion and after.promotion is not None:
            self.promotion.write(encode(after.promotion))
        if after.history is not before.history:
            self.history.write(msgspec.msgpack.encode(after.history))
        if after.schema is not before.schema:
            self.schema.write(msgspec.msgpack.encode(after.schema))
        if after.upcoming is not before.upcoming:
            self.upcoming.write(msgspec.msgpack.encode(after.upcoming))

    def read_progress(self) -> WindowProgress:
        """The progress; none at first."""
        data = self.progress.read()
        return msgspec.msgpack.decode(data, type=WindowProgress) if data else WindowProgress()

    def write_progress(self, progress: WindowProgress) -> None:
        """Replace the progress."""
        self.progress.write(msgspec.msgpack.encode(progress))

    def replace_open(self, entries: list[bytes]) -> None:
        """Replace all entries of open windows."""
        self.open.clear()
        for entry in entries:
            self.open.add(entry)


@beam.typehints.with_input_types(tuple[str, bytes])
@beam.typehints.with_output_types(tuple[str, bytes])
class CloseAndJudge(beam.DoFn):  # type: ignore[misc]
    """(model, encoded `StepInput`) in; (model, drift verdict) out.

    Tagged outputs are (model, summary), (model, schema verdict) and (model, late range).
    """

    def __init__(self, settings: JobSettings) -> None:
        self.settings = settings

    def setup(self) -> None:
        store = ArtifactStore(Path(self.settings.artifact_root))
        self.readers = {m.contract.model: EventReader(m.contract) for m in self.settings.models}
        self.steps = {m.contract.model: ModelStep(m, store) for m in self.settings.models}
        self.control = control_partitions()
        # Modules and models are permanent: collecting garbage among them delayed a verdict by 0.1 s
        gc.collect()
        gc.freeze()

    def process(
        self,
        element: tuple[str, bytes],
        open_state: Any = _OPEN,
        progress_state: Any = _PROGRESS,
        promotion_state: Any = _PROMOTION,
        history_state: Any = _HISTORY,
        schema_state: Any = _SCHEMA,
        upcoming_state: Any = _UPCOMING,
    ) -> Iterator[Any]:
        model, data = element
        cells = StateCells(
            open_state,
            progress_state,
            promotion_state,
            history_state,
            schema_state,
            upcoming_state,
        )
        match read_input(data):
            case ShardUpdate() as update:
                yield from self._update(model, update, cells.read_progress(), cells)
            case ControlProgress(partition, read_until_ms):
                progress = cells.read_progress().after_control(partition, read_until_ms)
                yield from self._update(model, NOTHING_READ, progress, cells)
            case ControlRecord() as message:
                before = cells.read_model_state()
                cells.write_model_state(before, after_control_record(before, message))

    def _update(
        self, model: str, update: ShardUpdate, before: WindowProgress, cells: StateCells
    ) -> Iterator[Any]:
        """Take an update, and close the windows that are complete now."""
        closed, late = self._add(model, update, before, cells)
        if late is not None:
            encoded = msgspec.msgpack.encode(late)
            yield beam.pvalue.TaggedOutput(LATE_RANGES, (model, encoded))
        if closed:
            yield from self._close(model, closed, cells)

    def _add(
        self, model: str, update: ShardUpdate, before: WindowProgress, cells: StateCells
    ) -> tuple[ClosedParts, LateRange | None]:
        """Keep the update's accumulators; return the windows that are complete now, and the rows
        that came after theirs had closed."""
        reader = self.readers[model]
        bound_ms = before.bound(self.control, reader.windows.size_ms)
        progress = before.after(update, bound_ms=bound_ms)
        accumulators, late = split_late(reader, update, before.closed_ms)
        for end, accumulator in accumulators.items():
            cells.open.add(state_entry(end, accumulator))
        closed: ClosedParts = []
        if passed_window_end(before.closed_ms, progress.closed_ms, reader.windows.size_ms):
            closed, still_open = complete_windows(cells.open.read(), progress.closed_ms)
            if closed:
                cells.replace_open(still_open)
                progress = progress.with_kept(len(still_open))
        if progress.should_merge:
            merged = merge_entries(reader, cells.open.read())
            cells.replace_open(merged)
            progress = progress.with_kept(len(merged), merged=True)
        cells.write_progress(progress)
        return closed, late

    def _close(self, model: str, closed: ClosedParts, cells: StateCells) -> Iterator[Any]:
        step, combiner = self.steps[model], self.readers[model].combiner
        before = state = cells.read_model_state()
        for end, encoded in closed:
            window, state = step.close(end, map(combiner.from_bytes, encoded), state)
            yield beam.pvalue.TaggedOutput(SUMMARIES, (model, encode(window.summary)))
            yield model, encode(window.drift)
            if window.schema is not None:
                yield beam.pvalue.TaggedOutput(SCHEMAS, (model, encode(window.schema)))
        cells.write_model_state(before, state)


def read_input(data: bytes) -> StepInput:
    """The decoded input of the keyed step; raises `DecodeError` for any other record."""
    message = decode_update(data) or decode_control(data)
    if message is None:
        raise DecodeError("The keyed step expects updates, promotions and schema versions only.")
    return message


def after_control_record(state: ModelState, message: ControlRecord) -> ModelState:
    """The state after a promotion or a schema version was read."""
    record, appended = decode(message.record), message.appended_ms / 1000.0
    match record:
        case Promotion():
            return state.after_promotion(record, appended)
        case SchemaVersion():
            return state.after_schema(record, appended)
        case _:
            raise DecodeError(f"The keyed step expects no {type(record).__name__}.")
