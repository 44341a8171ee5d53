"""Reports: one small file that needs nothing else and says who decided what, and why."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from deploy.projection.reader import ProjectionReader
from deploy.reports.contents import Report, report_of_change, report_of_period
from deploy.reports.page import MAX_BYTES, rendered
from streaming.contracts.errors import NotFoundError
from streaming.contracts.log import MemoryLog
from streaming.contracts.records import Command, ModelVersion
from tests.deploy.cli.runner import DEMO, UNUSED_PORTS, run
from tests.deploy.console import scenario
from tests.deploy.console.test_decisions import copied
from tests.deploy.projection.builders import projected

MODEL = scenario.MODEL
HOSTILE = "<script>alert(1)</script><img src=http://evil.example/x onerror=alert(1)>\x1b[2J\u202e"


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProjectionReader]:
    log = copied()
    loop = scenario.shared()
    log.append(
        [
            Command(
                record_id="hostile-command", model=MODEL, at=loop.clock.now() - 1.0, action="pause",
                reason=HOSTILE, who="mallory<b>", caused_by=(),
            )
        ]
    )  # fmt: skip
    projection = projected(log, tmp_path_factory.mktemp("projection"))
    yield projection
    projection.close()


@pytest.fixture(scope="module")
def period(reader: ProjectionReader) -> Report:
    return report_of_period(reader, MODEL, 0.0, scenario.shared().clock.now())


@pytest.fixture(scope="module")
def page(reader: ProjectionReader, period: Report) -> str:
    return rendered(period, reader, now=scenario.shared().clock.now(), by="ann")


class _Tags(HTMLParser):
    """Collects what a page loads or runs."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name.startswith("on") or name in ("src", "href", "action", "data", "poster"):
                self.loaded.append(f"{name}={value}")


def test_the_file_is_small_and_loads_nothing(page: str) -> None:
    assert len(page.encode()) < MAX_BYTES
    tags = _Tags()
    tags.feed(page)
    assert not {"script", "link", "iframe", "object", "form", "img"} & set(tags.tags)
    assert [entry for entry in tags.loaded if not entry.startswith("href=#")] == []
    styles = "".join(re.findall(r"<style>(.*?)</style>", page, re.S))
    assert "url(" not in styles
    assert "@import" not in page
    assert "@media print" in styles
    assert 'http-equiv="Content-Security-Policy"' in page


def test_it_says_what_changed_why_and_who_decided(page: str, period: Report) -> None:
    shown = [change for change in period.changes if change.approvals]
    assert shown
    for change in shown:
        assert f"Version {change.version.version}" in page
        assert change.version.artifact.digest in page
        for approval in change.approvals:
            assert approval.request.digest in page
            for decision in approval.decisions:
                assert decision.who in page
    assert "<svg" in page  # the drift, drawn
    assert "<figcaption>" in page
    for outcome, count in period.windows.items():
        assert f"{count} {outcome}" in page


def test_text_of_people_is_text(page: str) -> None:
    assert "&lt;script&gt;alert(1)" in page
    assert "<script" not in page
    assert "mallory<b>" not in page
    assert "\x1b" not in page
    assert "\u202e" not in page


def test_one_change_begins_with_the_windows_that_caused_it(reader: ProjectionReader) -> None:
    newest = reader.newest(ModelVersion, MODEL)[0]
    report = report_of_change(reader, MODEL, newest.version, scenario.shared().clock.now())
    (change,) = report.changes
    assert change.version.version == newest.version
    assert report.start < newest.at
    kinds = {step.row.kind for step in change.chain}
    assert {"model-version", "retrain-request", "drift-verdict"} <= kinds


def test_what_is_not_known_is_an_error(reader: ProjectionReader) -> None:
    with pytest.raises(NotFoundError, match="has no version 99"):
        report_of_change(reader, MODEL, 99, 1.0)
    with pytest.raises(NotFoundError, match="Nothing is known"):
        report_of_period(reader, MODEL, 1.0, 2.0)


def test_long_tables_are_cut_and_say_so(reader: ProjectionReader, period: Report) -> None:
    from dataclasses import replace as changed

    many = changed(period.commands, rows=period.commands.rows[:1] * 300, total=4000)
    long = changed(period, commands=many)
    text = rendered(long, reader, now=1.0, by="ann")
    assert "3700 older ones are not shown" in text
    assert len(text.encode()) < MAX_BYTES


def test_the_command_writes_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRIFTLINE_HOME", str(tmp_path / "home"))
    log: MemoryLog = copied()
    file = tmp_path / "report.html"
    result = run(
        *("-c", str(DEMO), "report", MODEL, "--from", "1970-01-02", "--to", "2100-01-01"),
        *("-o", str(file)),
        log=log,
    )
    assert result.exit_code == 0, result.output
    assert file.read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("nobody",), 3),
        ((MODEL, "--from", "1h", "--to", "2h"), 2),
        ((MODEL, "--version", "1", "--from", "1h"), 2),
        ((MODEL, "-o", "/no/such/folder/x.html"), 2),
        ((MODEL, "--from", "yesterday-ish"), 2),
    ],
)
def test_wrong_use_is_refused(words: tuple[str, ...], code: int) -> None:
    assert run("-c", str(DEMO), "report", *words, log=MemoryLog()).exit_code == code


def test_open_prints_the_page() -> None:
    result = run("-c", str(DEMO), "open", MODEL, "--print", log=MemoryLog())
    address = f"http://127.0.0.1:{8580 + int(UNUSED_PORTS)}"
    assert result.output.strip() == f"{address}/models/{MODEL}"


def test_open_needs_a_console() -> None:
    assert run("-c", str(DEMO), "open", log=MemoryLog()).exit_code == 8
