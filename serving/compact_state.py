"""The state of a decision as few bytes: without defaults, and with the ids of records in it.

What the log has anyway (versions, promotions) is named, what only counting needs is left out, and
what the inputs keep elsewhere (blocks, evidence) is emptied.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec
from msgspec.structs import replace

from serving.evidence.collected import RolloutEvidence
from serving.evidence.predictions import PredictionEvidence
from serving.evidence.quality import QualityEvidence
from serving.ports import Observation
from serving.state import RolloutState
from streaming.contracts.base import Record
from streaming.contracts.ids import digest
from streaming.contracts.recomputed import MissingInputError
from streaming.contracts.records import AnyRecord

_RECORD = "record"
_LEVEL = 9


class DecisionState(msgspec.Struct, frozen=True, kw_only=True):
    """What a tick decides from, besides the time and the rules."""

    state: RolloutState
    observed: Observation


def pack(decision: DecisionState) -> bytes:
    """The state and observation as deflated JSON."""
    data = {"state": _plain(_slim(decision.state)), "observed": _plain(_unread(decision.observed))}
    return zlib.compress(msgspec.json.encode(data), _LEVEL)


def unpack(data: bytes, records: Mapping[str, AnyRecord]) -> DecisionState:
    """The state and observation, with the records that they name.

    Raises
    ------
    MissingInputError
        When a record is not among `records`, or the bytes are damaged.
    """
    try:
        plain = msgspec.json.decode(zlib.decompress(data))
        return msgspec.convert(_with_records(plain, records), DecisionState)
    except (zlib.error, msgspec.MsgspecError, ValueError) as error:
        raise MissingInputError(f"The recorded state cannot be read: {error}") from error


def evidence_digest(evidence: RolloutEvidence) -> str:
    """Digest of evidence besides request counts, without the ids that were seen."""
    bare = replace(
        evidence,
        predictions=replace(evidence.predictions, seen=()),
        quality=replace(evidence.quality, seen=()),
    )
    empty = bare.predictions == PredictionEvidence() and bare.quality == QualityEvidence()
    if empty and not bare.queries:
        return ""
    plain = msgspec.to_builtins(bare)
    if not bare.slices:  # so that rollouts of releases without them are recomputed
        del plain["slices"]
    return digest(msgspec.json.encode(plain))[:24]


def _slim(state: RolloutState) -> RolloutState:
    """The state without what no decision of a tick reads, and what the inputs keep elsewhere."""
    rollout = state.rollout
    if rollout is not None:
        rollout = replace(
            rollout,
            counts=replace(rollout.counts, blocks=(), last_scrape=None),
            watch=replace(rollout.watch, last_scrape=None),
            evidence=RolloutEvidence(),
            unrecorded=(),
            recorded_blocks=0,
            recorded_id="",
        )
    experiment = state.experiment
    if experiment is not None:  # a rollout's decision depends on its phase and its arms only
        experiment = replace(experiment, counts=None, effects=(), guards=(), last_scrape=None)
    return replace(
        state,
        rollout=rollout,
        experiment=experiment,
        seen=(),
        rejected_versions=(),
        rejections=(),
    )


def _unread(observed: Observation) -> Observation:
    """The observation without what was counted already; a comparison has its own record."""
    return replace(observed, scrapes=(), looks=(), problems=(), answers=None)


def _plain(value: object) -> Any:
    """Lists, mappings and plain values; defaults are left out, and records named."""
    if isinstance(value, Record):
        return {_RECORD: value.record_id}
    if isinstance(value, msgspec.Struct) and not value.__struct_config__.array_like:
        pairs = ((name, getattr(value, name), default) for name, default in _defaults(type(value)))
        return {name: _plain(v) for name, v, default in pairs if not _is_default(v, default)}
    if isinstance(value, tuple):
        return [_plain(entry) for entry in value]
    return msgspec.to_builtins(value)


def _is_default(value: object, default: object) -> bool:
    return type(value) is type(default) and value == default


@cache
def _defaults(kind: type[msgspec.Struct]) -> tuple[tuple[str, object], ...]:
    return tuple((entry.name, entry.default) for entry in msgspec.structs.fields(kind))


def _with_records(plain: Any, records: Mapping[str, AnyRecord]) -> Any:
    if isinstance(plain, list):
        return [_with_records(entry, records) for entry in plain]
    if not isinstance(plain, dict):
        return plain
    if set(plain) == {_RECORD}:
        name = plain[_RECORD]
        if name not in records:
            raise MissingInputError(f"Record {name} is not on the log any more.")
        return msgspec.to_builtins(records[name])
    return {key: _with_records(entry, records) for key, entry in plain.items()}
