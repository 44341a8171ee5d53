"""Validates a model's windows against the active schema version, in the step that closes them.

This happens here and not in the daemon because the step has everything that the verdict needs when
a window closes (its counts, TFDV's anomalies, the drift verdict), so nothing crosses the network
for it. Versions arrive as promotions do: as records that are merged with the events in the keyed
step. A version is active from the next window on, and a savepoint keeps it. Until the first version
arrives, the model's own schema file is active. The contract alone determines how events are
decoded; a schema version does not change that.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import structlog

from streaming.contracts.errors import ConfigurationError, DriftlineError
from streaming.contracts.ids import digest
from streaming.contracts.model import ModelContract
from streaming.contracts.records import (
    DriftVerdict,
    SchemaVerdict,
    SchemaVersion,
    WindowSummary,
)
from streaming.contracts.tolerance import DEFAULT, Tolerance
from streaming.drift import DriftRules
from streaming.engines.tfdv import schema_text
from streaming.engines.tfdv.validation import Statistics
from streaming.schema import Schema, SchemaHistory, judge_schema, schema_thresholds
from streaming.schema.verdict import schema_history_digest

log = structlog.get_logger(__name__)


class SchemaStepState(msgspec.Struct, frozen=True, kw_only=True):
    """State of the keyed step: the active version, and the history of its windows."""

    version: SchemaVersion | None = None
    """None while the model's own file is active."""
    history: SchemaHistory = SchemaHistory()

    def after(self, version: SchemaVersion) -> SchemaStepState:
        """The state with `version` active, unless a newer version is."""
        if self.version is not None and version.version <= self.version.version:
            return self
        return msgspec.structs.replace(self, version=version)


class ActiveSchema:
    """A schema with everything that a verdict needs, prepared once."""

    def __init__(
        self,
        text: str,
        version: int,
        contract: ModelContract,
        rules: DriftRules,
        tolerance: Tolerance,
    ) -> None:
        self.schema: Schema = schema_text.to_schema(text, version)
        self.statistics = Statistics(text=text)
        self.statistics.warm_up()
        self.thresholds = schema_thresholds(
            rules,
            columns=len(self.schema.columns),
            window_seconds=contract.window_seconds,
            tolerance=tolerance,
        )


class SchemaValidator:
    """Judges the windows of one model against its active schema."""

    def __init__(
        self, contract: ModelContract, rules: DriftRules, tolerance: Tolerance = DEFAULT
    ) -> None:
        self._contract = contract
        self._rules = rules
        self._tolerance = tolerance
        self._from_file: ActiveSchema | None = None
        self._from_version: ActiveSchema | None = None
        if contract.schema_path:
            text = schema_text.read_text(Path(contract.schema_path))
            self._from_file = ActiveSchema(text, 0, contract, rules, tolerance)

    def active(self, version: SchemaVersion | None) -> ActiveSchema | None:
        """The active schema; None when the model has none.

        A version that cannot be read is logged, and the schema before it stays active.
        """
        if version is None:
            return self._from_file
        prepared = self._from_version
        if prepared is not None and prepared.schema.version == version.version:
            return prepared
        try:
            if digest(version.text.encode()) != version.digest:
                raise ConfigurationError("Its text does not match its digest.")
            self._from_version = ActiveSchema(
                version.text, version.version, self._contract, self._rules, self._tolerance
            )
        except DriftlineError as error:
            log.error(
                "schema.version_unusable",
                model=version.model,
                version=version.version,
                error=str(error),
            )
            return prepared or self._from_file
        return self._from_version

    def judge(
        self, window: WindowSummary, drift: DriftVerdict, state: SchemaStepState
    ) -> tuple[SchemaVerdict | None, SchemaStepState]:
        """The verdict on a window and the next state; no verdict where there is no schema."""
        active = self.active(state.version)
        if active is None:
            return None, state
        verdict, history = judge_schema(
            window,
            active.schema,
            state.history,
            active.thresholds,
            drift,
            skew_limit=self._rules.suspected_sd,
        )
        verdict = msgspec.structs.replace(
            verdict, history_digest=schema_history_digest(state.history)
        )
        return verdict, msgspec.structs.replace(state, history=history)


def read_schema_state(data: bytes | None) -> SchemaStepState:
    """The decoded state; empty at first."""
    return msgspec.msgpack.decode(data, type=SchemaStepState) if data else SchemaStepState()
