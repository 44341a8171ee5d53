"""Alert rules: they parse, fire when they should, read metrics that exist, and lead to help."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.grafana.names import KNOWN, metric_names
from tests.deploy.promtool import PROJECT, promtool

FOLDER = PROJECT / "deploy" / "prometheus"
RULE_FILES = sorted((FOLDER / "rules").glob("*.yml"))
TEST_FILES = sorted((FOLDER / "tests").glob("*.yml"))


def _rules() -> list[dict[str, Any]]:
    return [
        rule
        for file in RULE_FILES
        for group in yaml.safe_load(file.read_text())["groups"]
        for rule in group["rules"]
    ]


ALERTS = [rule for rule in _rules() if "alert" in rule]


@pytest.mark.engine
def test_rules_are_valid() -> None:
    assert "SUCCESS" in promtool("check", "rules", *RULE_FILES)


@pytest.mark.engine
@pytest.mark.parametrize("file", TEST_FILES, ids=lambda file: str(file.stem))
def test_rules_fire_when_they_should(file: Path) -> None:
    promtool("test", "rules", file)


def test_every_alert_has_a_test_of_its_own() -> None:
    tested = {
        case["alertname"]
        for file in TEST_FILES
        for test in yaml.safe_load(file.read_text())["tests"]
        for case in test["alert_rule_test"]
        if case["exp_alerts"]
    }
    assert {rule["alert"] for rule in ALERTS} == tested


@pytest.mark.parametrize("rule", _rules(), ids=lambda rule: str(next(iter(rule.values()))))
def test_rules_read_metrics_that_exist(rule: dict[str, Any]) -> None:
    names = metric_names(rule["expr"])
    assert names
    assert names <= KNOWN


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: str(rule["alert"]))
def test_every_alert_has_a_severity_and_leads_to_help(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["annotations"]["summary"].endswith((".", ")."))
    file, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    titles = re.findall(r"^### (\w+)$", (PROJECT / file).read_text(), re.MULTILINE)
    assert anchor in [title.lower() for title in titles]
    assert rule["alert"].lower() == anchor


def test_every_needed_alert_is_there() -> None:
    words = " ".join(rule["alert"] for rule in ALERTS)
    for subject in (
        "WatermarkStalled",
        "VerdictsLate",
        "DeadLetters",
        "Drifted",
        "RetrainStuck",
        "RetrainFailed",
        "CanaryHeld",
        "ApprovalWaiting",
        "NoTraffic",
        "Slow",
        "Errors",
    ):
        assert f"Driftline{subject}" in words
