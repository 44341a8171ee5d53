"""schemathesis tries the whole API as OpenAPI describes it: wrong and right input, all checks."""

from __future__ import annotations

from pathlib import Path

import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, events, from_schema

from deploy.console.app import create_app
from deploy.console.context import Console
from tests.deploy.console import scenario
from tests.deploy.console.consoles import browser, console_on
from tests.deploy.console.people import MODEL, PASSWORDS, token_of
from tests.deploy.console.test_decisions import answering, copied, waiting

DESCRIPTION = "/api/v1/openapi.json"
ACCEPTED = ["2xx", "3xx", "401", "403", "404", "409", "412", "428"]
"""Statuses of a request of the right form; 412 and 428: the approval was not read before."""
HOST = {"host": "127.0.0.1:8580"}


def console(folder: Path) -> Console:
    log = answering(copied())
    created = console_on(log, folder, now=scenario.shared().clock.now(), access=PASSWORDS)
    created.live.close()  # the stream of changes ends at once
    return created


def tried(console: Console) -> tuple[set[str], list[str]]:
    """The operations that were tried, and what failed."""
    token = token_of(console, "ada")["authorization"].removeprefix("Bearer ")
    config = SchemathesisConfig.from_dict(
        {
            "seed": 20,
            "headers": HOST,
            "auth": {"openapi": {"token": {"bearer": token}}},
            "checks": {"positive_data_acceptance": {"expected-statuses": ACCEPTED}},
            "generation": {"max-examples": 3, "deterministic": True, "no-shrink": True},
            "phases": {"stateful": {"enabled": False}},
            "parameters": {"path.model": MODEL, "path.request_id": waiting().record_id},
        }
    )
    schema = schemathesis.openapi.from_asgi(
        DESCRIPTION, create_app(console), headers=HOST, config=config
    )
    operations: set[str] = set()
    failed: list[str] = []
    for event in from_schema(schema).execute():
        match event:
            case events.ScenarioFinished(label=str(label), recorder=recorder):
                operations.add(label)
                failed += [
                    f"{label}: {check.name}: {check.failure_info.failure}"
                    for checks in recorder.checks.values()
                    for check in checks
                    if check.status == Status.FAILURE and check.failure_info is not None
                ]
            case events.NonFatalError() | events.FatalError():
                failed.append(repr(event))
    return operations, failed


def described(console: Console) -> set[str]:
    document = browser(console).get(DESCRIPTION).json()
    assert document["openapi"].startswith("3.1")
    return {
        f"{method.upper()} {path}"
        for path, operations in document["paths"].items()
        for method in operations
    }


def test_every_operation_keeps_to_its_description(tmp_path: Path) -> None:
    created = console(tmp_path)
    operations, failed = tried(created)
    assert failed == []
    assert operations == described(created)
