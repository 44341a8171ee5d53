"""Computes drift verdicts again from the windows, references and rules on the log.

Each verdict names the rules and the history that it was computed with by their digests. The history
is not recorded: it follows from the windows before, against the same reference. A replay may begin
anywhere: once its history has the recorded digest, it is the one that the job had, and until then a
verdict cannot be computed again.
"""

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
from streaming.contracts.records import DriftVerdict, RulesInForce, WindowSummary
from streaming.drift.history import DriftHistory, history_digest
from streaming.drift.prepared_reference import PreparedReference
from streaming.drift.verdict import judge_drift
from streaming.drift.window_rules import WindowRules, read_window_rules

BEFORE_DIGESTS = "It does not name the rules it was computed with: it was written before they were."

RulesOf = Callable[[str], RulesInForce | None]
"""The record of rules with a digest; None when it is not on the log."""
ReferenceOf = Callable[[DriftVerdict, WindowRules], PreparedReference | None]
"""The reference of a verdict's promotion for its window; raises `MissingInputError`."""


class DriftReplay:
    """The windows of one model, judged again one after the other.

    Parameters
    ----------
    rules_of:
        Finds the rules by their digest.
    reference_of:
        Reads the reference that a verdict names.
    """

    def __init__(self, rules_of: RulesOf, reference_of: ReferenceOf) -> None:
        self._rules_of = rules_of
        self._reference_of = reference_of
        self._history = DriftHistory()
        self._read: dict[str, WindowRules] = {}

    def add(self, window: WindowSummary | None, recorded: DriftVerdict) -> Recomputed:
        """Judge the next window again; windows come in the order in which the job judged them.

        Parameters
        ----------
        window:
            The summary that the verdict names; None when it is not on the log.
        recorded:
            The verdict on the log.
        """
        code = ""
        try:
            if not recorded.rules_digest:
                raise MissingInputError(BEFORE_DIGESTS)
            rules, code = self.rules(recorded.rules_digest)
            if window is None:
                raise MissingInputError(f"Its window {recorded.caused_by[:1]} is not on the log.")
            return self._judge(window, recorded, rules, code)
        except (MissingInputError, ChangedInputError) as error:
            return not_recomputed(recorded, error, code=code)

    def rules(self, digest: str) -> tuple[WindowRules, str]:
        """The rules with a digest, and the version of the code that used them."""
        record = self._rules_of(digest)
        if record is None:
            raise MissingInputError(f"The rules {digest} are not on the log.")
        if digest not in self._read:
            self._read[digest] = read_window_rules(record)
        return self._read[digest], record.code

    def _judge(
        self, window: WindowSummary, recorded: DriftVerdict, rules: WindowRules, code: str
    ) -> Recomputed:
        reference = self._reference(recorded, rules)
        history = self._history.for_reference(recorded.reference_id)
        known = history_digest(history) == recorded.history_digest
        if not known and recorded.history_digest == history_digest(
            DriftHistory(reference_id=recorded.reference_id)
        ):
            history, known = DriftHistory(reference_id=recorded.reference_id), True
        verdict, self._history = judge_drift(
            window, reference, recorded.reference_id, history, rules.drift, rules.contract
        )
        if not known:
            raise MissingInputError(
                "The windows before it, against the same reference, are not all on the log, or "
                "were changed: they give another history than it was judged with."
            )
        digests = {
            "rules_digest": recorded.rules_digest,
            "history_digest": recorded.history_digest,
        }
        return equal_or_different(recorded, replace(verdict, **digests), code=code)

    def _reference(self, recorded: DriftVerdict, rules: WindowRules) -> PreparedReference | None:
        """None where the verdict itself says that there was none, or that it was unreadable."""
        if not recorded.reference_id or not recorded.reference_version:
            return None
        return self._reference_of(recorded, rules)
