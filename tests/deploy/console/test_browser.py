"""The console in a real Chromium: accessible, live, local, and usable without JavaScript."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from deploy.config.paths import PROJECT
from streaming.contracts.records import Command, DriftVerdict
from tests.deploy.console import chromium, document_pictures, operations, scenario
from tests.deploy.console.people import PASSWORDS
from tests.deploy.console.served import ADDRESS, LOAD_PICTURES, Served, serving
from tests.deploy.projection.builders import verdict
from tests.waiting import wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.engine

SHOTS = PROJECT / ".driftline" / "test" / "console"
"""Screenshots of every page, kept for people to look at."""
MAX_SHOT_HEIGHT = 4000
"""Pixels; the browser cannot take a picture of the longest page in one piece."""
CAPTURES = 4
"""How often a screenshot is tried."""
LOOKS = [("light", 400), ("light", 1600), ("dark", 400), ("dark", 1600)]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    try:
        chromium.fetch()
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        pytest.skip(f"npm does not give the browser: {error}")
    with chromium.chromium() as running:
        yield running


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    yield from serving(tmp_path)


@pytest.fixture
def signing_in(tmp_path: Path) -> Iterator[Served]:
    """A console with a sign-in by password."""
    yield from serving(tmp_path, access=PASSWORDS)


@pytest.mark.parametrize(("scheme", "width"), LOOKS)
def test_every_page_is_accessible_and_fits(
    browser: Browser, served: Served, scheme: str, width: int
) -> None:
    request = served.request().record_id
    pages = {
        "overview": "/",
        "model": f"/models/{scenario.MODEL}",
        "approvals": "/approvals",
        "decision": f"/approvals/{request}",
        "record": f"/records/{request}",
        "dead-letters": "/dead-letters",
        "settings": "/settings",
        "runs": "/runs",
        "run": f"/runs/{operations.finished_run(served.console)}",
        "run-failed": f"/runs/{operations.FAILED}",
        "compare": f"/runs/compare?run={operations.RUNNING}"
        f"&run={operations.finished_run(served.console)}",
        "schedules": "/schedules",
        "experiments": f"/models/{scenario.MODEL}/experiments",
        "audit": "/audit",
    }
    for name, path in pages.items():
        page = served.open(
            browser, path, color_scheme=scheme, viewport={"width": width, "height": 900}
        )
        check_look(page, name, scheme, width)
        page.context.close()


def check_look(page: Page, name: str, scheme: str, width: int) -> None:
    """Keep a screenshot; nothing may overflow, and axe must have no finding."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.evaluate(LOAD_PICTURES)
    height = min(page.evaluate("document.documentElement.scrollHeight"), MAX_SHOT_HEIGHT)
    capture(
        page,
        path=SHOTS / f"{name}-{scheme}-{width}.png",
        full_page=True,
        clip={"x": 0, "y": 0, "width": width, "height": height},
    )
    overflow = page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    assert overflow == 0, name
    page.evaluate(chromium.axe())
    violations = page.evaluate(
        "async () => (await axe.run()).violations.map(v => [v.id, v.nodes[0].html])"
    )
    assert violations == [], name


def capture(page: Page, **options: Any) -> None:
    """Take a screenshot; on a busy machine the browser has no frame in time, so it tries again."""
    from playwright.sync_api import Error

    for attempt in range(CAPTURES):
        try:
            page.screenshot(**options)
            return
        except Error as error:
            if "Unable to capture" not in str(error) or attempt == CAPTURES - 1:
                raise


def test_a_version_is_approved_without_javascript(browser: Browser, served: Served) -> None:
    request = served.request()
    page = served.open(browser, "/", java_script_enabled=False)
    page.get_by_role("button", name="Decide on version").click()
    page.get_by_label("Reason").fill("The slices look right")
    page.get_by_role("button", name="Yes, let it go on").click()
    assert page.url == f"{ADDRESS}/approvals/{request.record_id}"
    wait_for(lambda: newest_command(served).digest == request.digest, 10.0)
    newest = newest_command(served)
    assert (newest.action, newest.digest, newest.reason) == (
        "approve",
        request.digest,
        "The slices look right",
    )
    page.context.close()


def test_a_retrain_is_started_without_javascript(browser: Browser, served: Served) -> None:
    page = served.open(browser, f"/runs?model={scenario.MODEL}", java_script_enabled=False)
    page.get_by_label("Reason").fill("the new tariff is in force")
    page.get_by_role("button", name="Retrain big_tipper").click()
    page.get_by_role("heading", name="Accepted: retrain").wait_for()
    page.reload()  # sends the form again, which counts once
    given = [c for c in served.log_records(Command) if c.action == "retrain"]
    assert [c.reason for c in given].count("the new tariff is in force") == 1
    page.get_by_role("button", name="Go on").click()
    assert page.url == f"{ADDRESS}/runs?model={scenario.MODEL}"
    page.context.close()


def test_an_experiment_is_stopped_by_keyboard_alone(browser: Browser, served: Served) -> None:
    page = served.open(browser, f"/models/{scenario.MODEL}/experiments")
    check_look(page, "experiment-stop", "light", 1280)
    while page.evaluate("document.activeElement.id") != "reason-stop-experiment":
        page.keyboard.press("Tab")
    page.keyboard.type("the campaign is over")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Accepted: stop experiment").wait_for()
    check_look(page, "accepted", "light", 1280)
    (command,) = [c for c in served.log_records(Command) if c.action == "stop-experiment"]
    assert (command.reason, command.channel) == ("the campaign is over", "console")
    page.context.close()


def test_the_pictures_of_the_documents_can_be_made(browser: Browser, served: Served) -> None:
    document_pictures.make(browser, served, SHOTS / "documents")
    sizes = [file.stat().st_size for file in sorted((SHOTS / "documents").glob("*.webp"))]
    assert len(sizes) == len(document_pictures.HEIGHTS)
    assert all(5_000 < size < document_pictures.MAX_BYTES for size in sizes)


def newest_command(served: Served) -> Command:
    newest = served.console.reader.newest_record(Command, scenario.MODEL)
    assert newest is not None
    return newest


@pytest.mark.parametrize(("scheme", "width"), LOOKS)
def test_the_sign_in_page_is_accessible_and_fits(
    browser: Browser, signing_in: Served, scheme: str, width: int
) -> None:
    page = signing_in.open(
        browser, "/runs", color_scheme=scheme, viewport={"width": width, "height": 900}
    )
    assert page.url.startswith(f"{ADDRESS}/sign-in")
    check_look(page, "sign-in", scheme, width)
    page.context.close()


def test_runs_are_chosen_and_compared_by_keyboard_alone(browser: Browser, served: Served) -> None:
    page = served.open(browser, "/runs")
    pressed = 0
    while pressed < 2:
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.type") == "checkbox":
            page.keyboard.press("Space")
            pressed += 1
    while page.evaluate("document.activeElement.type") != "submit":
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="2 runs side by side").wait_for()
    page.context.close()


def test_the_audit_is_filtered_without_javascript(browser: Browser, served: Served) -> None:
    page = served.open(browser, "/audit", java_script_enabled=False)
    page.get_by_label("person").select_option("petra")
    page.get_by_role("button", name="Search").click()
    page.get_by_text("the night shift asked for it").wait_for()
    assert page.get_by_text("waiting for the holidays").count() == 0
    page.context.close()


def test_an_open_page_is_redrawn_and_what_was_typed_stays(browser: Browser, served: Served) -> None:
    request = served.request()
    overview = served.open(browser, "/")
    decision = served.open(browser, f"/approvals/{request.record_id}")
    decision.get_by_label("Reason").fill("half a sentence")
    served.log.append([later_verdict(served)])
    overview.get_by_text("a window that came later").wait_for(timeout=10_000)
    decision.locator("img[src*=verdict-big_tipper]").first.wait_for(state="attached")
    assert decision.get_by_label("Reason").input_value() == "half a sentence"
    overview.context.close()
    decision.context.close()


def later_verdict(served: Served) -> DriftVerdict:
    """A verdict that is newer than all others."""
    now = served.console.now()
    return msgspec.structs.replace(
        verdict(1, model=scenario.MODEL, outcome="suspected"),
        at=now,
        reason="a window that came later",
        window_end=now,
    )
