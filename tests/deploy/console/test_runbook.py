"""The links of alerts lead to the runbook's entries."""

from __future__ import annotations

from pathlib import Path

from streaming.contracts.log import MemoryLog
from tests.deploy.console.consoles import browser, console_on
from tests.deploy.test_alert_rules import ALERTS


def test_every_alert_has_its_entry_on_the_page(tmp_path: Path) -> None:
    page = browser(console_on(MemoryLog(), tmp_path, now=0.0)).get("/runbook")
    assert page.status_code == 200
    for rule in ALERTS:
        assert f'id="{rule["alert"].lower()}"' in page.text
    assert page.text.count("<h1") == 1
    assert "<code>driftline up</code>" in page.text
