"""Judging a window against the reference: outcome, reason and evidence from pure functions.

Prepare a reference once (`prepare_reference`), then `judge_drift` every window with the history
that the previous judgement returned. How the tests, p-values and limits work is told in the
modules, from `judge` downwards: `features`, `numbers`, `categories`, `shares`, `pvalues`, `limits`.
"""

from streaming.drift.history import DriftHistory
from streaming.drift.prepared_reference import PreparedReference, prepare_reference
from streaming.drift.settings import DriftRules
from streaming.drift.verdict import judge_drift

__all__ = [
    "DriftHistory",
    "DriftRules",
    "PreparedReference",
    "judge_drift",
    "prepare_reference",
]
