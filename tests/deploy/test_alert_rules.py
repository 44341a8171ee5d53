"""Alert rules are valid, fire when they should, use existing metrics, and have a runbook entry."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from deploy.app.deployment import Deployment
from deploy.cli.main import app
from deploy.grafana.names import KNOWN, metric_names
from deploy.metrics.limits import alert_settings
from tests.deploy.cli.runner import DEMO
from tests.deploy.command_line import assert_is_command
from tests.deploy.promtool import PROJECT, promtool
from tests.e2e.alert_drills import DRILLS

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


def test_every_alert_has_a_case_in_which_it_fires() -> None:
    tested = {
        case["alertname"]
        for file in TEST_FILES
        for test in yaml.safe_load(file.read_text())["tests"]
        for case in test.get("alert_rule_test", ())
        if case["exp_alerts"]
    }
    assert {rule["alert"] for rule in ALERTS} == tested


def test_the_series_of_every_drill_are_tested() -> None:
    """The drills need a whole stack; that one cause gives one alert is tested here too."""
    text = (FOLDER / "tests" / "drills.yml").read_text()
    for drill in DRILLS:
        for alert in drill.expected:
            assert alert in text


@pytest.mark.parametrize("rule", _rules(), ids=lambda rule: str(next(iter(rule.values()))))
def test_rules_use_metrics_that_exist(rule: dict[str, Any]) -> None:
    names = metric_names(rule["expr"])
    assert names
    assert names <= KNOWN


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: str(rule["alert"]))
def test_every_alert_has_a_severity_and_a_runbook_entry(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["annotations"]["summary"].endswith((".", ")."))
    address, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert address == "{{ $externalLabels.console }}/runbook"
    titles = re.findall(r"^### (\w+)$", (FOLDER / "RUNBOOK.md").read_text(), re.MULTILINE)
    assert anchor in [title.lower() for title in titles]
    assert rule["alert"].lower() == anchor


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: str(rule["alert"]))
def test_every_alert_says_cause_value_limit_and_link(rule: dict[str, Any]) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", rule["labels"]["cause"])
    notes = rule["annotations"]
    assert notes["value"]
    assert notes["limit"]
    assert notes["link"].startswith("{{ $externalLabels.console }}/")


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: str(rule["alert"]))
def test_alerts_and_notes_read_settings_that_are_exported(rule: dict[str, Any]) -> None:
    """A setting that the daemon does not export makes a rule that never fires."""
    text = rule["expr"] + " ".join(rule["annotations"].values())
    named = set(re.findall(r"""setting=["'](\w+)["']""", text))
    assert named <= set(alert_settings(Deployment.load(DEMO).settings.models["big_tipper"]))


def test_no_alert_is_shorter_than_the_wait_of_its_group() -> None:
    """What ends within `group_wait` is never sent: a state that passes needs keep_firing_for."""
    passing = {"DriftlineSchemaBroken", "DriftlineProcessUnresponsive", "DriftlineControlSick"}
    for rule in ALERTS:
        if rule["alert"] in passing:
            assert rule["keep_firing_for"]
        assert 'phase="rolling-back"' not in rule["expr"]


def runbook_commands() -> list[str]:
    runbook = (FOLDER / "RUNBOOK.md").read_text()
    return sorted(set(re.findall(r"`driftline ([a-z][^`]*)`", runbook)))


@pytest.mark.parametrize("command", runbook_commands())
def test_the_runbook_names_only_commands_that_exist(command: str) -> None:
    assert_is_command(typer.main.get_command(app), command.split())


def test_every_runbook_entry_belongs_to_an_alert_and_says_what_to_do() -> None:
    runbook = (FOLDER / "RUNBOOK.md").read_text()
    entries = re.split(r"^### (\w+)$", runbook, flags=re.MULTILINE)[1:]
    titles, bodies = entries[::2], entries[1::2]
    assert sorted(titles) == sorted(rule["alert"] for rule in ALERTS)
    for title, body in zip(titles, bodies, strict=True):
        assert "- Look: " in body, title
        assert "- Do: " in body, title


def test_every_required_alert_exists() -> None:
    names = " ".join(rule["alert"] for rule in ALERTS)
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
        assert f"Driftline{subject}" in names
