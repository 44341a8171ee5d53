"""The tables of a backtest show rules as the configuration file writes them."""

from __future__ import annotations

from dataclasses import replace

from deploy.views.backtest import rules_as_written
from streaming.drift import DriftRules


def test_rules_are_shown_as_the_file_writes_them() -> None:
    rules = replace(DriftRules(), false_alarms=2.0, period_seconds=7 * 86_400.0, sustained=2, of=4)
    written = rules_as_written(replace(rules, learn_day_variance=False, between_day_sd=0.1))
    assert written["false_alarms"] == "2 per 7d"
    assert written["sustained"] == "2 of 4"
    assert written["day_variation"] == "0.1"
    assert rules_as_written(rules)["day_variation"] == "learnt"
