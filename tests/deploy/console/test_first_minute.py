"""What a page says in the first minute to somebody who has never seen the console."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from deploy.console.app import create_app
from deploy.console.context import Console
from serving.phase import Phase
from streaming.contracts.records import ApprovalOutcome, Record, RolloutStatus
from tests.deploy.console import operations, scenario, unusable
from tests.deploy.console.consoles import ADDRESS, FORM_HEADERS, browser, console_on
from tests.deploy.console.test_decisions import copied, waiting_request

MODEL = scenario.MODEL
SLOW = "Rollback: gate latency_p99 failed: 14 % of the canary's responses were slow."


def now() -> float:
    return scenario.shared().clock.now()


def shown(folder: Path, records: list[Record], *, at: float) -> TestClient:
    log = copied()
    log.append(records)
    return browser(console_on(log, folder, now=at))


def rolled_back() -> list[Record]:
    """The waiting version is approved, begins its canary, and goes back."""
    request = waiting_request()
    outcome = ApprovalOutcome(
        record_id="approved", model=MODEL, at=now() + 1, request_id=request.record_id,
        rollout_id=request.rollout_id, version=2, outcome="approved", reason="ann approved.",
    )  # fmt: skip
    return [outcome, *(status(at, phase) for at, phase in enumerate(
        (Phase.STEPPING, Phase.ROLLING_BACK, Phase.IDLE), start=2))]  # fmt: skip


def status(after: int, phase: Phase, waits_for: str = "") -> RolloutStatus:
    return RolloutStatus(
        record_id=f"status-{phase}", model=MODEL, at=now() + after, version=2, champion=1,
        rollout_id=waiting_request().rollout_id, phase=phase, weight=0, step=0, reason=SLOW,
        waits_for=waits_for,
    )  # fmt: skip


def test_a_rollout_that_went_back_is_said_with_its_reason_and_next_command(tmp_path: Path) -> None:
    pages = shown(tmp_path, rolled_back(), at=now() + 30)
    for address in ("/", f"/models/{MODEL}"):
        text = pages.get(address).text
        assert "not promoted" in text
        assert "gate latency_p99 failed" in text
    text = pages.get("/").text
    assert f"driftline rollout status {MODEL}" in text
    assert "no retrain or rollout is under way" in text
    assert f'<a href="/runs?model={MODEL}">Start a retrain</a>' in text


def test_a_version_that_waits_for_an_experiment_is_no_failed_rollout(tmp_path: Path) -> None:
    records = [*rolled_back()[:2], status(9, Phase.IDLE, "the end of an experiment")]
    text = shown(tmp_path, records, at=now() + 30).get("/").text
    assert "the end of an experiment of version 2" in text
    assert "not promoted" not in text


def test_windows_that_no_longer_come_are_a_task(tmp_path: Path) -> None:
    pages = shown(tmp_path, [], at=now() + 7200)
    for address in ("/", f"/models/{MODEL}"):
        text = pages.get(address).text
        assert "No window was judged for 2h" in text
        assert f"driftline job status {MODEL}" in text
    assert "2 tasks need you" in pages.get("/").text
    fresh = shown(tmp_path / "fresh", [], at=now() + 60).get("/").text
    assert "No window was judged" not in fresh


def test_a_deadline_that_nobody_ended_leads_to_the_daemon(tmp_path: Path) -> None:
    request = waiting_request()
    pages = shown(tmp_path, [], at=request.deadline + 60)
    for address in ("/", "/approvals", f"/approvals/{request.record_id}"):
        text = pages.get(address).text
        assert "0s left" not in text, address
        assert "driftline status" in text, address
        assert "daemon" in text, address


def test_unusable_events_are_on_the_first_page_and_what_to_do_on_theirs(tmp_path: Path) -> None:
    pages = shown(tmp_path, unusable.dead_letters(now()), at=now())
    text = pages.get("/").text
    assert f'<a href="/dead-letters?model={MODEL}">dead letters</a>' in text
    assert f"replay --model {MODEL} --dry-run" in pages.get(f"/dead-letters?model={MODEL}").text
    assert "Correct what sends them" in pages.get("/dead-letters").text


def test_what_is_wrong_has_the_command_that_shows_more(tmp_path: Path) -> None:
    text = shown(tmp_path, [], at=now()).get("/").text
    assert f"<code>driftline drift {MODEL}</code>" in text
    assert f"<code>driftline quality {MODEL}</code>" in text
    assert f"driftline schema check {MODEL}" not in text  # it conforms
    assert 'href="/runbook"' in text


def test_a_failed_retrain_is_no_decision(tmp_path: Path) -> None:
    later = operations.retrains(now() + 410)
    failed = [entry for entry in later if entry.record_id in (operations.FAILED, "failure")]
    text = shown(tmp_path, failed, at=now() + 60).get("/").text
    assert "The retrain failed: The loss is no number" in text
    assert "2 tasks need you" in text


@pytest.fixture
def console(tmp_path: Path) -> Console:
    return console_on(copied(), tmp_path, now=now())


def test_errors_say_what_happened_and_what_to_do(console: Console) -> None:
    pages = browser(console)
    request = waiting_request().record_id
    stale = {"answer": "approve", "digest": "old"}
    answers = {
        "list what there is": (404, pages.get("/models/nobody")),
        "Open the page that you want": (405, pages.put("/audit", headers=FORM_HEADERS)),
        "Go back and correct it": (422, pages.get("/audit?page=none")),
        "Read it anew below": (
            409, pages.post(f"/approvals/{request}", data=stale, headers=FORM_HEADERS),
        ),
        "send its form again": (
            403, pages.post(f"/approvals/{request}", headers={"sec-fetch-site": "cross-site"}),
        ),
    }  # fmt: skip
    for sentence, (expected, response) in answers.items():
        assert response.status_code == expected, sentence
        assert sentence in response.text, response.text
    assert answers["Open the page that you want"][1].headers["allow"] == "GET"


def test_too_many_requests_say_how_long_to_wait(tmp_path: Path) -> None:
    pages = browser(console_on(copied(), tmp_path, now=now(), access={"requests": 1}))
    refused = [pages.get("/settings") for _ in range(20)][-1]
    assert refused.status_code == 429
    assert f"Wait {refused.headers['retry-after']} s" in refused.text


def test_an_error_of_the_console_is_a_page_with_all_headers(console: Console) -> None:
    def bug(run_id: str) -> None:
        raise RuntimeError("secret detail")

    app = create_app(replace(console, recorded=bug))
    client = TestClient(app, base_url=ADDRESS, raise_server_exceptions=False)
    address = "/runs/" + operations.finished_run(console)
    response = client.get(address)
    assert response.status_code == 500
    assert "look at the audit" in response.text
    assert "<code>driftline status</code>" in response.text
    assert "secret detail" not in response.text
    assert "default-src" in response.headers["content-security-policy"]
    assert response.headers["cache-control"] == "no-store"


def test_an_error_of_the_api_is_a_problem_without_its_details(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bug(*_: object, **__: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("deploy.console.api.read_operations.overview", bug)
    client = TestClient(create_app(console), base_url=ADDRESS, raise_server_exceptions=False)
    response = client.get("/api/v1/models")
    assert response.status_code == 500
    assert response.headers["content-type"] == "application/problem+json"
    assert "Send it again" in response.json()["detail"]
    assert "secret detail" not in response.text


def test_a_run_a_command_and_a_request_lead_to_what_is_to_be_done(tmp_path: Path) -> None:
    console = operations.operating(copied(), tmp_path, now=now())
    pages = browser(console)
    runs = pages.get("/runs").text
    assert runs.count("overdue") == 1  # the one by schedule, whose deadline has passed
    assert "<code>driftline queue</code>" in runs
    assert "Is the daemon running? <code>driftline status</code>" in pages.get("/audit").text
    request = waiting_request().record_id
    assert f'href="/approvals/{request}"' in pages.get(f"/records/{request}").text
    experiment = pages.get(f"/models/{MODEL}/experiments").text
    assert "its effects cannot be trusted" in experiment
    console.reader.close()
