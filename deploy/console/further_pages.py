"""The smaller pages: one record and its lineage, dead letters, settings."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import msgspec

from deploy.config.explain import Explained, explain
from deploy.console.context import Console
from deploy.projection.lineage import Step, full_record, steps
from deploy.projection.reader import Stored, UnreadableMessage
from streaming.contracts.codec import encode
from streaming.contracts.errors import NotFoundError, TemporaryError
from streaming.contracts.records import DeadLetter

DEPTH, STEPS = 8, 60
"""How far lineage is followed on one page; each record leads on."""
DEAD_LETTERS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordPage:
    """A record between its causes and its effects."""

    row: Stored
    causes: tuple[Step, ...]
    effects: tuple[Step, ...]
    content: str
    """The full record as indented JSON; empty when it is kept nowhere any more."""
    problem: str
    """Why the full record is not shown; empty when it is."""


def record_page(console: Console, record_id: str) -> RecordPage:
    """Gather the page of a record; raises `NotFoundError`."""
    row = console.reader.find(record_id)
    if row is None or not console.sees(row.model):
        raise NotFoundError(f"There is no record {record_id}.")
    content, problem = _content(console, row)
    return RecordPage(
        row=row,
        causes=_seen(console, steps(console.reader, row, "causes", depth=DEPTH, count=STEPS)),
        effects=_seen(console, steps(console.reader, row, "effects", depth=DEPTH, count=STEPS)),
        content=content,
        problem=problem,
    )


def _seen(console: Console, found: list[Step]) -> tuple[Step, ...]:
    """The steps after the first one that the person may see."""
    return tuple(step for step in found[1:] if console.sees(step.row.model))


def _content(console: Console, row: Stored) -> tuple[str, str]:
    if row.kind == "dead-letter":  # the original may be anything, also what nobody may see here
        command = f"driftline dead-letters show {row.record_id}"
        return "", f"The original is not shown here; `{command}` shows it."
    try:
        body = console.reader.body(row.record_id)
        if body is None:
            with console.open_log() as log:
                record = full_record(console.reader, log, row)
            body = None if record is None else encode(record)
    except TemporaryError as error:
        return "", f"The log cannot be reached: {error}"
    if body is None:
        return "", "The log has dropped the full record; its summary is kept."
    return msgspec.json.format(body, indent=2).decode(), ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLettersPage:
    """The newest dead letters."""

    model: str
    reason: str
    rows: tuple[Stored, ...]
    counts: tuple[tuple[str, str, int], ...]
    """Model, reason and number among the newest ones, most first."""


def dead_letters_page(console: Console, model: str = "", reason: str = "") -> DeadLettersPage:
    """Gather the newest dead letters, of one model and reason where they are named."""
    newest = console.reader.newest(DeadLetter, model or None, DEAD_LETTERS)
    rows = [row for row in newest if console.sees(row.model)]
    counts = Counter((row.model, row.outcome) for row in rows)
    return DeadLettersPage(
        model=model,
        reason=reason,
        rows=tuple(row for row in rows if reason in ("", row.outcome)),
        counts=tuple((*key, number) for key, number in counts.most_common()),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsPage:
    """The settings in force, and the state of the projection."""

    file: str
    groups: tuple[tuple[str, tuple[Explained, ...]], ...]
    """Rows of each section or model."""
    unreadable: tuple[UnreadableMessage, ...]
    positions: tuple[tuple[str, int, int], ...]
    """Topic, partition and the next offset to read."""


def settings_page(console: Console) -> SettingsPage:
    """Gather the settings page."""
    groups: dict[str, list[Explained]] = {}
    for row in explain(console.settings):
        parts = row.key.split(".")
        if not _shown(console, parts):
            continue
        name = ".".join(parts[:2]) if parts[0] == "models" else parts[0]
        groups.setdefault(name, []).append(row)
    return SettingsPage(
        file=console.file,
        groups=tuple((name, tuple(rows)) for name, rows in groups.items()),
        unreadable=tuple(console.reader.unreadable()) if console.identity.is_admin else (),
        positions=tuple(
            (topic, partition, following)
            for (topic, partition), following in console.reader.positions().items()
        ),
    )


def _shown(console: Console, parts: list[str]) -> bool:
    """Whether the person may see a key of the settings: of models by role, of people as admin."""
    if parts[0] == "models":
        return console.sees(parts[1])
    return parts[0] != "access" or console.identity.is_admin
