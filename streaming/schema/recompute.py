"""Computes schema verdicts again from the windows, drift verdicts and schemas on the log."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from streaming.contracts.recomputed import (
    ChangedInputError,
    MissingInputError,
    Recomputed,
    equal_or_different,
    not_recomputed,
)
from streaming.contracts.records import DriftVerdict, SchemaVerdict, WindowSummary
from streaming.drift.recompute import BEFORE_DIGESTS
from streaming.drift.window_rules import WindowRules
from streaming.schema.columns import Schema
from streaming.schema.thresholds import schema_thresholds
from streaming.schema.verdict import SchemaHistory, judge_schema, schema_history_digest

RulesOf = Callable[[str], tuple[WindowRules, str]]
"""The rules with a digest and the version of the code; raises `MissingInputError`."""
SchemaOf = Callable[[SchemaVerdict, WindowRules], Schema]
"""The schema that a verdict names; raises `MissingInputError`."""


class SchemaReplay:
    """The windows of one model, validated again one after the other."""

    def __init__(self, rules_of: RulesOf, schema_of: SchemaOf) -> None:
        self._rules_of = rules_of
        self._schema_of = schema_of
        self._history = SchemaHistory()

    def add(
        self, window: WindowSummary | None, drift: DriftVerdict | None, recorded: SchemaVerdict
    ) -> Recomputed:
        """Validate the next window again; windows come in the order of the job."""
        code = ""
        try:
            if not recorded.rules_digest:
                raise MissingInputError(BEFORE_DIGESTS)
            rules, code = self._rules_of(recorded.rules_digest)
            if window is None or drift is None:
                lacking = "window" if window is None else "drift verdict"
                raise MissingInputError(f"Its {lacking} is not on the log.")
            return self._judge(window, drift, recorded, rules, code)
        except (MissingInputError, ChangedInputError) as error:
            return not_recomputed(recorded, error, code=code)

    def _judge(
        self,
        window: WindowSummary,
        drift: DriftVerdict,
        recorded: SchemaVerdict,
        rules: WindowRules,
        code: str,
    ) -> Recomputed:
        schema = self._schema_of(recorded, rules)
        history = self._history
        known = schema_history_digest(history) == recorded.history_digest
        if not known and recorded.history_digest == schema_history_digest(SchemaHistory()):
            history, known = SchemaHistory(), True
        thresholds = schema_thresholds(
            rules.drift,
            columns=len(schema.columns),
            window_seconds=rules.contract.window_seconds,
            tolerance=rules.tolerance,
        )
        verdict, self._history = judge_schema(
            window, schema, history, thresholds, drift, skew_limit=rules.drift.suspected_sd
        )
        if not known:
            raise MissingInputError(
                "The windows before it are not all on the log, or were changed: they give another "
                "history than it was judged with."
            )
        digests = {
            "rules_digest": recorded.rules_digest,
            "history_digest": recorded.history_digest,
        }
        return equal_or_different(recorded, replace(verdict, **digests), code=code)
