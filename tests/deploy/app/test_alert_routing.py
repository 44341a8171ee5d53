"""Alertmanager's configuration: valid, one cause opens one message, mails where they are set."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.app.alert_routing import SHIPPED, alert_token_file, alertmanager_config
from deploy.config.alert_settings import AlertSettings, EmailSettings
from streaming.contracts.errors import ConfigurationError
from tests.deploy.promtool import PROJECT

MAIL = EmailSettings(
    to="ann@x.org", sender="d@x.org", smarthost="127.0.0.1:25", user="d", password_file="pw"
)


def config(tmp_path: Path, alerts: AlertSettings) -> dict[str, Any]:
    text = alertmanager_config(
        alerts, notifier="http://127.0.0.1:9106/alerts", token_file=tmp_path / "t", folder=tmp_path
    )
    (tmp_path / "alertmanager.yml").write_text(text)
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def amtool(*arguments: str) -> str:
    installed = PROJECT / ".driftline" / "opt" / "prometheus" / "bin" / "amtool"
    executable = str(installed) if installed.exists() else shutil.which("amtool")
    assert executable, "amtool is missing; run `make setup`."
    done = subprocess.run(
        [executable, *arguments], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def alert_names() -> set[str]:
    rules = (PROJECT / "deploy" / "prometheus" / "rules").glob("*.yml")
    return {
        rule["alert"]
        for file in rules
        for group in yaml.safe_load(file.read_text())["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }


def test_every_group_goes_to_the_notifier_with_its_token(tmp_path: Path) -> None:
    written = config(tmp_path, AlertSettings())
    assert written["route"]["group_by"] == ["cause", "model"]
    (receiver,) = written["receivers"]
    (hook,) = receiver["webhook_configs"]
    assert hook["http_config"]["authorization"]["credentials_file"] == str(tmp_path / "t")
    assert hook["http_config"]["follow_redirects"] is False


def test_the_password_comes_from_its_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        config(tmp_path, AlertSettings(email=MAIL))
    (tmp_path / "pw").write_text("geheim\n")
    (mail,) = config(tmp_path, AlertSettings(email=MAIL))["receivers"][1]["email_configs"]
    assert mail["auth_password"] == "geheim"


def test_the_token_is_made_once_and_private(tmp_path: Path) -> None:
    file = alert_token_file(tmp_path)
    token = file.read_text()
    assert len(token) > 30
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert alert_token_file(tmp_path).read_text() == token


def test_inhibition_names_only_alerts_that_exist() -> None:
    """A misspelt name would inhibit nothing and give no error."""
    import re

    names = alert_names()
    text = SHIPPED.read_text()
    matchers = re.findall(r"alertname(?:=~|!=|=)\"([^\"]+)\"", text)
    assert len(matchers) > 20
    for matcher in matchers:
        for alternative in _alternatives(matcher):
            assert any(re.fullmatch(alternative, name) for name in names), alternative


def _alternatives(matcher: str) -> list[str]:
    """The parts of a regular expression that are separated outside brackets."""
    parts, depth, last = [], 0, ""
    for character in matcher:
        depth += (character == "(") - (character == ")")
        if character == "|" and depth == 0:
            parts.append(last)
            last = ""
        else:
            last += character
    return [*parts, last]


def test_every_cause_that_is_inhibited_is_a_cause_of_an_alert() -> None:
    import re

    rules = (PROJECT / "deploy" / "prometheus" / "rules").glob("*.yml")
    causes = {
        rule["labels"]["cause"]
        for file in rules
        for group in yaml.safe_load(file.read_text())["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }
    for matcher in re.findall(r"cause(?:=~|=)\"([^\"]+)\"", SHIPPED.read_text()):
        assert set(matcher.split("|")) <= causes


@pytest.mark.engine
def test_amtool_accepts_it_and_routes_by_severity(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("geheim")
    config(tmp_path, AlertSettings(email=MAIL))
    file = f"--config.file={tmp_path / 'alertmanager.yml'}"
    assert "SUCCESS" in amtool("check-config", str(tmp_path / "alertmanager.yml"))
    assert "SUCCESS" in amtool("check-config", str(SHIPPED))
    page = ("severity=page", "cause=serving", "model=m")
    amtool("config", "routes", "test", file, "--verify.receivers=mail,notifier", *page)
    ticket = ("severity=ticket", "cause=drift", "model=m")
    amtool("config", "routes", "test", file, "--verify.receivers=notifier", *ticket)
