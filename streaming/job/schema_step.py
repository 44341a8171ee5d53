"""A model's windows against the schema version in force, inside the step that closes them.

It is judged here and not in the daemon because everything lies at hand when a window closes (its
counts, TFDV's verdict on them, the drift verdict) and nothing crosses the network for it. Versions
come as promotions do, as records that meet the events in the keyed step; so a version holds from
the next window on, and a savepoint remembers which one it was. Until a version comes, the model's
own file is in force. Reading goes on as the contract says: a schema never changes what is decoded.
"""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec

from streaming.contracts.errors import ConfigurationError, DriftlineError
from streaming.contracts.ids import digest
from streaming.contracts.model import ModelContract
from streaming.contracts.records import (
    DriftVerdict,
    SchemaVerdict,
    SchemaVersion,
    WindowSummary,
)
from streaming.drift import DriftRules
from streaming.engines.tfdv import schema_text
from streaming.engines.tfdv.validation import Statistics
from streaming.schema import Limits, Schema, SchemaHistory, judge_schema, limits

_LOG = logging.getLogger(__name__)


class SchemaKept(msgspec.Struct, frozen=True, kw_only=True):
    """What the keyed step remembers: the version in force, and the windows held against it."""

    version: SchemaVersion | None = None
    history: SchemaHistory = SchemaHistory()

    def after(self, version: SchemaVersion) -> SchemaKept:
        """With `version` in force, unless a newer one is."""
        if self.version is not None and version.version <= self.version.version:
            return self
        return msgspec.structs.replace(self, version=version)


class InForce:
    """One schema, ready to judge by."""

    def __init__(self, text: str, version: int, contract: ModelContract, rules: DriftRules) -> None:
        self.schema: Schema = schema_text.neutral(text, version)
        self.statistics = Statistics(text=text)
        self.statistics.warm_up()
        self.limits: Limits = limits(
            rules, columns=len(self.schema.columns), window_seconds=contract.window_seconds
        )


class SchemaDesk:
    """The schemas of one model, each prepared once while it is in force."""

    def __init__(self, contract: ModelContract, rules: DriftRules) -> None:
        self._contract = contract
        self._rules = rules
        self._file: InForce | None = None
        self._kept: InForce | None = None
        if contract.schema_path:
            text = schema_text.text_of(Path(contract.schema_path))
            self._file = InForce(text, 0, contract, rules)

    def of(self, version: SchemaVersion | None) -> InForce | None:
        """The schema in force; None when the model has none.

        A version that cannot be read is logged, and the one before stays.
        """
        if version is None:
            return self._file
        kept = self._kept
        if kept is not None and kept.schema.version == version.version:
            return kept
        try:
            if digest(version.text.encode()) != version.digest:
                raise ConfigurationError("Its text is not the one of its digest.")
            self._kept = InForce(version.text, version.version, self._contract, self._rules)
        except DriftlineError as error:
            _LOG.error("Schema version %d is not used: %s", version.version, error)
            return kept or self._file
        return self._kept

    def verdict(
        self, window: WindowSummary, drift: DriftVerdict, kept: SchemaKept
    ) -> tuple[SchemaVerdict | None, SchemaKept]:
        """The verdict on a window, and what to remember; None where there is no schema."""
        found = self.of(kept.version)
        if found is None:
            return None, kept
        verdict, history = judge_schema(
            window,
            found.schema,
            kept.history,
            found.limits,
            drift,
            skew_limit=self._rules.suspected_sd,
        )
        return verdict, msgspec.structs.replace(kept, history=history)


def read_kept(data: bytes | None) -> SchemaKept:
    """What the state holds; nothing at first."""
    return msgspec.msgpack.decode(data, type=SchemaKept) if data else SchemaKept()
