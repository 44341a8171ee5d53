"""A role that changes in the settings' file counts at the next request of a running console."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from deploy.access.current_roles import CurrentRoles
from deploy.config import loader
from tests.deploy.cli.runner import DEMO
from tests.deploy.console import scenario
from tests.deploy.console.consoles import browser, console_on
from tests.deploy.console.people import MODEL, PASSWORDS, session_of, token_of
from tests.deploy.console.test_decisions import answering, copied


def with_roles(file: Path, *roles: tuple[str, str]) -> None:
    entries = ", ".join(f"{{person: {person}, role: {role}}}" for person, role in roles)
    file.write_text(f"{DEMO.read_text()}\naccess: {{roles: [{entries}]}}\n")


def test_a_running_console_follows_roles_people_and_tokens(tmp_path: Path) -> None:
    file, log = tmp_path / "driftline.yaml", answering(copied())
    with_roles(file, ("vera", "viewer"), ("olaf", "operator"))
    console_before = console_on(log, tmp_path, now=scenario.shared().clock.now(), access=PASSWORDS)
    current = CurrentRoles(loader.load(file), file)
    console = replace(console_before, access=replace(console_before.access, current_roles=current))
    pages, headers = browser(console), token_of(console, "vera")
    signed_in = session_of(console, "vera")

    def paused(number: int) -> Any:
        key = {"idempotency-key": f"key-000{number}"}
        content = {"action": "pause", "reason": "tried"}
        path = f"/api/v1/models/{MODEL}/commands"
        return pages.post(path, headers=headers | key, json=content).status_code

    assert paused(1) == 403
    with_roles(file, ("vera", "operator"), ("olaf", "operator"))
    assert paused(2) == 200
    assert signed_in.get("/").status_code == 200
    with_roles(file, ("olaf", "operator"))
    assert paused(3) == 401
    assert signed_in.get("/").status_code == 303  # to the sign-in
