"""Judging a window against the reference: outcome, reason and evidence from pure functions.

Prepare a reference once (`prepare_reference`), then `judge_drift` every window with the history
that the previous judgement returned. How the tests, p-values and limits work is told in the
modules, from `judge` downwards: `features`, `numbers`, `categories`, `shares`, `pvalues`, `limits`.
"""

from streaming.drift.history import DriftHistory
from streaming.drift.judge import judge_drift
from streaming.drift.prepared import PreparedReference, prepare_reference
from streaming.drift.rules import DriftRules

__all__ = [
    "DriftHistory",
    "DriftRules",
    "PreparedReference",
    "judge_drift",
    "prepare_reference",
]
