"""Arrivals and promotions of a model: windows close, are summarised and judged.

One keyed step remembers everything about a model: the open parts of its windows, how far its
partitions are, the promotion that is live and the history of its features. A promotion replaces
the reference while the job runs and forgets the history of the old one.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import msgspec
from apache_beam.coders import BytesCoder
from apache_beam.transforms.userstate import BagStateSpec, ReadModifyWriteStateSpec

from streaming.contracts.codec import decode, decode_as, encode
from streaming.contracts.errors import DecodeError
from streaming.contracts.records import (
    DriftVerdict,
    Promotion,
    Record,
    SchemaVersion,
    WindowSummary,
)
from streaming.drift import DriftHistory, judge_drift
from streaming.engines.artifact_store import ArtifactStore
from streaming.job.references import References
from streaming.job.schema_step import SchemaDesk, SchemaKept, read_kept
from streaming.job.settings import JobSettings, ModelJob
from streaming.job.summary import Summaries
from streaming.windowing.completeness import (
    EVER_MS,
    Arrival,
    Progress,
    Stray,
    closing,
    crossed,
    pack,
    stray,
    unpacked,
)
from streaming.windowing.event_reader import Reading

_LOG = logging.getLogger(__name__)

SUMMARIES, SCHEMAS, STRAYS = "summaries", "schemas", "strays"

_OPEN = beam.DoFn.StateParam(BagStateSpec("open", BytesCoder()))
_PROGRESS = beam.DoFn.StateParam(ReadModifyWriteStateSpec("progress", BytesCoder()))
_PROMOTION = beam.DoFn.StateParam(ReadModifyWriteStateSpec("promotion", BytesCoder()))
_HISTORY = beam.DoFn.StateParam(ReadModifyWriteStateSpec("history", BytesCoder()))
_SCHEMA = beam.DoFn.StateParam(ReadModifyWriteStateSpec("schema", BytesCoder()))


class ModelSteps:
    """What the keyed step needs for one model, made before its first record comes."""

    def __init__(self, job: ModelJob, store: ArtifactStore) -> None:
        self.contract = job.contract
        self.rules = job.rules
        self.reading = Reading(job.contract)
        self.summaries = Summaries(job.contract, store)
        self.references = References(store, job.contract, job.rules)
        self.desk = SchemaDesk(job.contract, job.rules)

    def summary(self, end_ms: int, parts: Iterable[bytes], kept: SchemaKept) -> WindowSummary:
        """The summary of the window that ends at `end_ms`."""
        partials = self.reading.partials
        whole = (partials.from_bytes(part) for part in parts)
        return self.summaries.of(whole, end_ms, self.desk.of(kept.version))

    def merged(self, kept: Iterable[bytes]) -> list[bytes]:
        """The same parts of open windows, one for each window."""
        partials = self.reading.partials
        windows, _ = closing(kept, EVER_MS)
        return [
            pack(end, partials.to_bytes(partials.merge(map(partials.from_bytes, parts))))
            for end, parts in windows
        ]

    def verdict(
        self, window: WindowSummary, promotion: Promotion | None, history: DriftHistory
    ) -> tuple[DriftVerdict, DriftHistory]:
        """The verdict on it."""
        return judge_drift(
            window,
            self.references.of(promotion, window),
            promotion.record_id if promotion else "",
            history,
            self.rules,
            self.contract,
        )

    def settled(self, arrival: Arrival, closed_ms: int) -> tuple[dict[int, bytes], Stray | None]:
        """The arrival's parts; rows of windows that had closed count as late in the oldest one that
        is open, so that no offset is lost, and where they lie is told: they have no letter yet."""
        ends, parts = stray(arrival, closed_ms), dict(arrival.parts)
        if not ends:
            return parts, None
        partials, open_end = self.reading.partials, self.reading.windows.end_after(closed_ms)
        closed = partials.merge([partials.from_bytes(parts.pop(end)) for end in ends])
        whole = [partials.as_late(closed)]
        if open_end in parts:
            whole.append(partials.from_bytes(parts[open_end]))
        parts[open_end] = partials.to_bytes(partials.merge(whole))
        return parts, Stray(ends, closed.hulls, closed.accepted) if closed.accepted else None


@beam.typehints.with_input_types(tuple[str, bytes])
@beam.typehints.with_output_types(tuple[str, bytes])
class CloseAndJudge(beam.DoFn):  # type: ignore[misc]
    """(model, arrival, promotion or schema version) in; (model, verdict) out, and (model, summary),
    (model, verdict on the schema) and (model, stray)."""

    def __init__(self, settings: JobSettings) -> None:
        self.settings = settings

    def setup(self) -> None:
        store = ArtifactStore(Path(self.settings.artifact_root))
        self.steps = {one.contract.model: ModelSteps(one, store) for one in self.settings.models}
        # Modules and models stay: looking through them for garbage held a verdict up for 0.1 s.
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
    ) -> Iterator[Any]:
        model, data = element
        arrival = unpacked(data)
        if arrival is None:
            self._renew(data, promotion_state, history_state, schema_state)
        else:
            done, late = self._arrive(model, arrival, open_state, progress_state)
            if late is not None:
                yield beam.pvalue.TaggedOutput(STRAYS, (model, msgspec.msgpack.encode(late)))
            if done:
                yield from self._close(model, done, promotion_state, history_state, schema_state)

    def _renew(
        self, data: bytes, promotion_state: Any, history_state: Any, schema_state: Any
    ) -> None:
        """A promotion or a schema version holds from the next window on."""
        record = decode(data)
        if isinstance(record, SchemaVersion):
            kept = read_kept(schema_state.read()).after(record)
            schema_state.write(msgspec.msgpack.encode(kept))
        elif isinstance(record, Promotion) and replaces(
            record, read_promotion(promotion_state.read())
        ):
            promotion_state.write(data)
            history_state.clear()

    def _arrive(
        self, model: str, arrival: Arrival, open_state: Any, progress_state: Any
    ) -> tuple[list[tuple[int, list[bytes]]], Stray | None]:
        """Keep the arrival's parts; the windows that are complete now, and what came after its."""
        steps = self.steps[model]
        before = read_progress(progress_state.read())
        progress = before.after(arrival)
        parts, late = steps.settled(arrival, before.closed_ms)
        for end, part in parts.items():
            open_state.add(pack(end, part))
        done: list[tuple[int, list[bytes]]] = []
        if crossed(before.closed_ms, progress.closed_ms, steps.reading.windows.size_ms):
            done, still = closing(open_state.read(), progress.closed_ms)
            if done:
                _keep_only(still, open_state)
                progress = progress.left(len(still))
        if progress.full:
            merged = steps.merged(open_state.read())
            _keep_only(merged, open_state)
            progress = progress.left(len(merged), merged=True)
        progress_state.write(msgspec.msgpack.encode(progress))
        return done, late

    def _close(
        self,
        model: str,
        done: list[tuple[int, list[bytes]]],
        promotion_state: Any,
        history_state: Any,
        schema_state: Any,
    ) -> Iterator[Any]:
        steps = self.steps[model]
        promotion = read_promotion(promotion_state.read())
        history = read_history(history_state.read())
        kept = read_kept(schema_state.read())
        for end, parts in done:
            summary = steps.summary(end, parts, kept)
            yield beam.pvalue.TaggedOutput(SUMMARIES, (model, encode(summary)))
            verdict, history = steps.verdict(summary, promotion, history)
            yield model, encode(verdict)
            on_schema, kept = steps.desk.verdict(summary, verdict, kept)
            if on_schema is not None:
                yield beam.pvalue.TaggedOutput(SCHEMAS, (model, encode(on_schema)))
        schema_state.write(msgspec.msgpack.encode(kept))
        history_state.write(msgspec.msgpack.encode(history))


def _keep_only(parts: list[bytes], open_state: Any) -> None:
    open_state.clear()
    for part in parts:
        open_state.add(part)


def replaces(new: Promotion, current: Promotion | None) -> bool:
    """Is `new` another promotion than the current one, and not older?"""
    return current is None or (new.record_id != current.record_id and new.at >= current.at)


def read_promotion(data: bytes | None) -> Promotion | None:
    """The promotion in the state."""
    return decode_as(data, Promotion) if data else None


def read_progress(data: bytes | None) -> Progress:
    """The progress in the state; none at first."""
    return msgspec.msgpack.decode(data, type=Progress) if data else Progress()


def read_history(data: bytes | None) -> DriftHistory:
    """The history in the state; empty at first."""
    return msgspec.msgpack.decode(data, type=DriftHistory) if data else DriftHistory()


@beam.typehints.with_input_types(bytes)
@beam.typehints.with_output_types(tuple[str, bytes])
class OnlyOf(beam.DoFn):  # type: ignore[misc]
    """Keeps one kind of record of the job's models; what cannot be read is logged and skipped."""

    def __init__(self, kind: type[Record], models: frozenset[str]) -> None:
        self.kind = kind
        self.models = models

    def process(self, element: bytes) -> Iterable[tuple[str, bytes]]:
        try:
            record = decode_as(element, self.kind)
        except DecodeError as error:
            _LOG.error("A %s was skipped: %s", self.kind.__name__, error)
            return []
        return [(record.model, element)] if record.model in self.models else []
