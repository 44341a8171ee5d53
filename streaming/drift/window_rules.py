"""The rules that windows are judged with, as one value that a record can hold."""

from __future__ import annotations

import msgspec

from streaming.contracts.errors import ConfigurationError
from streaming.contracts.model import ModelContract
from streaming.contracts.recomputed import (
    ChangedInputError,
    MissingInputError,
    rules_digest,
    rules_in_force,
)
from streaming.contracts.records import RulesInForce
from streaming.contracts.tolerance import Tolerance
from streaming.drift.settings import DriftRules


class WindowRules(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a window's verdicts depend on, besides the window, reference and history."""

    contract: ModelContract
    drift: DriftRules
    tolerance: Tolerance
    schema_text: str = ""
    """Text of the schema file beside the model's code; empty where there is none."""

    def record(self, *, code: str, at: float) -> RulesInForce:
        """The record of these rules."""
        model = self.contract.model
        return rules_in_force("windows", self, model=model, code=code, at=at)

    def digest(self, code: str) -> str:
        """The digest by which verdicts name these rules."""
        text = msgspec.json.encode(self, order="deterministic").decode()
        return rules_digest("windows", text, code=code)


def read_window_rules(record: RulesInForce) -> WindowRules:
    """The rules in a record.

    Raises
    ------
    ChangedInputError
        When the text is not the one that the digest was made of.
    MissingInputError
        When this release cannot read it.
    """
    if rules_digest(record.subject, record.text, code=record.code) != record.digest:
        raise ChangedInputError(
            f"The rules {record.digest} were changed: their digest is not that of their text."
        )
    try:
        return msgspec.json.decode(record.text, type=WindowRules)
    except (msgspec.MsgspecError, ConfigurationError) as error:
        raise MissingInputError(
            f"The rules {record.digest} cannot be read by this release: {error}"
        ) from error
