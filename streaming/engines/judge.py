"""Summaries against the reference that is live: one keyed step that remembers both.

Summaries and promotions of a model meet in one stateful step. A promotion replaces the reference
while the job runs and forgets the history of the old one; a summary is judged with
`streaming.drift` and its verdict sent on.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import msgspec
from apache_beam.coders import BytesCoder
from apache_beam.transforms.userstate import ReadModifyWriteStateSpec

from streaming.contracts.codec import decode, decode_as, encode
from streaming.contracts.errors import DriftlineError, Unreadable
from streaming.contracts.model import ModelContract
from streaming.contracts.records import (
    DriftVerdict,
    Promotion,
    ReferenceSummary,
    WindowSummary,
)
from streaming.drift import DriftHistory, DriftRules, PreparedReference, judge_drift
from streaming.engines.artifacts import ArtifactStore
from streaming.engines.job import JobSettings
from streaming.season import SeasonalReference

_LOG = logging.getLogger(__name__)


_PROMOTION = ReadModifyWriteStateSpec("promotion", BytesCoder())
_HISTORY = ReadModifyWriteStateSpec("history", BytesCoder())
_PROMOTION_PARAM = beam.DoFn.StateParam(_PROMOTION)
_HISTORY_PARAM = beam.DoFn.StateParam(_HISTORY)


@beam.typehints.with_input_types(tuple[str, bytes])
@beam.typehints.with_output_types(bytes)
class Judge(beam.DoFn):  # type: ignore[misc]
    """(model, record) in, where the record is a summary or a promotion; verdicts out."""

    def __init__(self, settings: JobSettings) -> None:
        self.settings = settings

    def setup(self) -> None:
        self.references = References(
            ArtifactStore(Path(self.settings.artifact_root)),
            self.settings.contract,
            self.settings.rules,
        )

    def process(
        self,
        element: tuple[str, bytes],
        promotion_state: Any = _PROMOTION_PARAM,
        history_state: Any = _HISTORY_PARAM,
    ) -> Iterator[bytes]:
        record = decode(element[1])
        promotion = read_promotion(promotion_state.read())
        if isinstance(record, WindowSummary):
            history = read_history(history_state.read())
            verdict, history = self._verdict(record, promotion, history)
            history_state.write(msgspec.msgpack.encode(history))
            yield encode(verdict)
        elif isinstance(record, Promotion) and replaces(record, promotion):
            promotion_state.write(element[1])
            history_state.clear()

    def _verdict(
        self, window: WindowSummary, promotion: Promotion | None, history: DriftHistory
    ) -> tuple[DriftVerdict, DriftHistory]:
        return judge_drift(
            window,
            self.references.of(promotion, window),
            promotion.record_id if promotion else "",
            history,
            self.settings.rules,
            self.settings.contract,
        )


class References:
    """The references of promotions, read once and kept while they are in use."""

    def __init__(self, store: ArtifactStore, contract: ModelContract, rules: DriftRules) -> None:
        self._store = store
        self._contract = contract
        self._rules = rules
        self._kept: tuple[str, SeasonalReference] | None = None

    def of(self, promotion: Promotion | None, window: WindowSummary) -> PreparedReference | None:
        """The yardstick for `window` that came with `promotion`; None when none can be trusted.

        A reference that is missing or changed judges nothing: its windows are inconclusive, and
        it is tried again with the next one.
        """
        if promotion is None or promotion.reference is None:
            return None
        if self._kept is None or self._kept[0] != promotion.record_id:
            try:
                data = self._store.get(promotion.reference)
                reference = decode_as(data, ReferenceSummary)
                season = SeasonalReference(reference, self._contract, self._rules)
                self._kept = (promotion.record_id, season)
            except (DriftlineError, OSError) as error:
                _LOG.error("No reference for version %d: %s", promotion.version, error)
                return None
        return self._kept[1].at(window.window_start, window.window_end)


def replaces(new: Promotion, current: Promotion | None) -> bool:
    """Is `new` another promotion than the current one, and not older?"""
    return current is None or (new.record_id != current.record_id and new.at >= current.at)


def read_promotion(data: bytes | None) -> Promotion | None:
    """The promotion in the state."""
    return decode_as(data, Promotion) if data else None


def read_history(data: bytes | None) -> DriftHistory:
    """The history in the state; empty at first."""
    return msgspec.msgpack.decode(data, type=DriftHistory) if data else DriftHistory()


@beam.typehints.with_input_types(bytes)
@beam.typehints.with_output_types(tuple[str, bytes])
class OnlyPromotions(beam.DoFn):  # type: ignore[misc]
    """Keeps the promotions of one model; what cannot be read is logged and skipped."""

    def __init__(self, model: str) -> None:
        self.model = model

    def process(self, element: bytes) -> Iterable[tuple[str, bytes]]:
        try:
            promotion = decode_as(element, Promotion)
        except Unreadable as error:
            _LOG.error("A record in promotions was skipped: %s", error)
            return []
        return [(self.model, element)] if promotion.model == self.model else []
