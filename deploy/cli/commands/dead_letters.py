"""`driftline dead-letters`: events that could not be used; look at them and send them again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from deploy.cli.shared.command import Json, UsageError, Yes, command, confirm
from deploy.cli.shared.completion import complete_model
from deploy.config.units import format_time
from deploy.records import dead_letters
from deploy.records.dead_letters import Skipped, position
from deploy.views.escapes import one_line, visible_json
from deploy.views.output import show_json, stderr, stdout, table
from streaming.contracts.errors import NotFoundError
from streaming.contracts.log import RecordLog
from streaming.contracts.records import DeadLetter

if TYPE_CHECKING:
    from deploy.app.deployment import Deployment
    from deploy.config.settings import Settings

PREVIEW = 60
"""Bytes of a payload that `list` shows."""
REASONS_OF = 1000
"""Newest dead letters whose reasons are listed when none has the given reason."""

app = typer.Typer(
    no_args_is_help=True, help="Events that could not be used: list, show and replay them."
)

OfModel = Annotated[
    str | None,
    typer.Option("--model", help="Only those of this model.", autocompletion=complete_model),
]
WithReason = Annotated[str | None, typer.Option(help="Only those with this reason code.")]


@app.command("list")
@command
def list_(
    deployment: Deployment,
    model: OfModel = None,
    reason: WithReason = None,
    last: Annotated[int, typer.Option(min=1, help="Number of newest dead letters to list.")] = 20,
    json: Json = False,
) -> None:
    """List the newest dead letters, and count those by reason.

    Example: `driftline dead-letters list --last 5`
    """
    if model is not None:
        deployment.settings_of(model)
    with deployment.log() as log:
        letters = dead_letters.newest_dead_letters(log, model=model, reason=reason, last=last)
        if reason is not None and not letters:
            _list_reasons(log, model, reason)
    if json:
        show_json(letters)
        return
    shown = table("dead letters", "at", "id", "position", "reason", "detail", "payload")
    for letter in letters:
        shown.add_row(
            format_time(letter.at),
            letter.record_id[:12],
            position(letter),
            letter.reason,
            letter.detail,
            preview(letter),
        )
    stdout.print(shown)
    for code, count in Counter(letter.reason for letter in letters).most_common():
        stderr.print(one_line(f"{code}: {count} of the newest {len(letters)}"))


@app.command("show")
@command
def show_(
    deployment: Deployment,
    target: Annotated[
        str, typer.Argument(help="TOPIC/PARTITION@OFFSET, or the beginning of the record's id.")
    ],
    json: Json = False,
) -> None:
    """Show one dead letter with its whole payload.

    Example: `driftline dead-letters show taxi.events/0@1024`
    """
    with deployment.log() as log:
        letter = dead_letters.find_dead_letter(log, target)
    if json:
        show_json(letter)
        return
    stdout.print(one_line(f"{format_time(letter.at)}  {position(letter)}  [{letter.record_id}]"))
    stdout.print(one_line(f"{letter.model}: {letter.reason}: {letter.detail}"))
    for line in _key_and_headers(letter):
        stdout.print(line, soft_wrap=True)
    size = len(letter.payload)
    if size < letter.payload_bytes:
        stdout.print(f"The first {size} of {letter.payload_bytes} bytes:")
    elif size > letter.payload_bytes:
        stdout.print(f"{size} bytes, although the record gives {letter.payload_bytes}:")
    stdout.print(formatted(letter.payload), soft_wrap=True)


@app.command("replay")
@command
def replay_(
    deployment: Deployment,
    reason: WithReason = None,
    target: Annotated[
        str | None, typer.Option("--id", help="One dead letter, named as in `show`.")
    ] = None,
    model: OfModel = None,
    last: Annotated[
        int, typer.Option(min=1, help="Maximum number of dead letters; the newest are taken.")
    ] = 1000,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be sent without sending it.")
    ] = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Send the originals of dead letters to their topics again, once their cause is fixed.

    Example: `driftline dead-letters replay --reason wrong_type --dry-run`
    """
    if (reason is None) == (target is None):
        raise UsageError("Give either --reason or --id.")
    if model is not None:
        deployment.settings_of(model)
    topics = _application_topics(deployment.settings)
    with deployment.log() as log:
        letters = _chosen(log, reason=reason, target=target, model=model, last=last)
        whole, skipped = dead_letters.replayable(log, letters, topics=topics)
        for entry in skipped:
            line = f"skipped {position(entry.letter)}: {entry.reason}"
            stderr.print(one_line(line), soft_wrap=True)
        if whole and not dry_run:
            confirm(_consequence(whole), yes=yes)
            keys = {
                name: section.events.key for name, section in deployment.settings.models.items()
            }
            dead_letters.replay(log, whole, keys)
    _report(whole, skipped, sent=bool(whole) and not dry_run, json=json)


def _chosen(
    log: RecordLog, *, reason: str | None, target: str | None, model: str | None, last: int
) -> list[DeadLetter]:
    """The dead letter `target`, or the newest ones with the reason."""
    if target is not None:
        letter = dead_letters.find_dead_letter(log, target)
        if model not in (None, letter.model):
            raise NotFoundError(f"The dead letter {target} is of {letter.model}, not of {model}.")
        return [letter]
    letters = dead_letters.newest_dead_letters(log, model=model, reason=reason, last=last)
    if reason is not None and not letters:
        _list_reasons(log, model, reason)
    return letters


def _list_reasons(log: RecordLog, model: str | None, reason: str) -> None:
    """Print on stderr which reasons the newest dead letters have."""
    counts = dead_letters.reasons(log, model, last=REASONS_OF)
    known = ", ".join(f"{name} ({count})" for name, count in counts.most_common())
    advice = f"the newest {counts.total()} have {known}" if known else "there are no dead letters"
    stderr.print(one_line(f"No dead letter has the reason {reason}; {advice}."), soft_wrap=True)


def _application_topics(settings: Settings) -> set[str]:
    """The topics of all models' events, labels and predictions."""
    topics = set()
    for section in settings.models.values():
        topics |= {section.events.topic, section.labels.topic}
        if section.predictions is not None:
            topics.add(section.predictions.topic)
    return topics


def _consequence(letters: list[DeadLetter]) -> str:
    topics = Counter(letter.topic for letter in letters)
    numbers = ", ".join(f"{count} to {topic}" for topic, count in topics.items())
    return (
        f"The originals of {len(letters)} dead letters are sent again: {numbers}. "
        "Those that still cannot be used become dead letters again."
    )


def _report(letters: list[DeadLetter], skipped: list[Skipped], *, sent: bool, json: bool) -> None:
    if json:
        show_json(
            {
                "sent": sent,
                "letters": [position(letter) for letter in letters],
                "skipped": {position(entry.letter): entry.reason for entry in skipped},
            }
        )
        return
    for letter in letters:
        stdout.print(one_line(position(letter)))
    done = "sent again" if sent else "would be sent again" if letters else "to send"
    stderr.print(f"{len(letters)} {done}, {len(skipped)} skipped.")


def _key_and_headers(letter: DeadLetter) -> Iterator[str]:
    """The key and the headers of a dead letter, a line each."""
    if letter.key is not None:
        cut = "…" if letter.key_bytes > len(letter.key) else ""
        yield f"key {printable(letter.key)}{cut}"
    for header in letter.headers:
        value = "null" if header.value is None else printable(header.value)
        yield f"header {one_line(header.name)}: {value}"
    if letter.headers_dropped:
        yield f"{letter.headers_dropped} headers were cut off"


def preview(letter: DeadLetter) -> str:
    """The beginning of a payload in one line; "…" where more follows."""
    start = letter.payload[:PREVIEW]
    return printable(start) + ("…" if letter.payload_bytes > len(start) else "")


def printable(payload: bytes) -> str:
    """A payload in one line; bytes and characters that a terminal cannot show are escaped.

    >>> printable(b'{"a": 1}\\n\\x1b[0m')
    '{"a": 1}\\\\n\\\\x1b[0m'
    """
    text = payload.decode(errors="backslashreplace")
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def formatted(payload: bytes) -> str:
    """A whole payload: indented if it is JSON, else as text with escapes.

    Numbers, escapes and repeated fields stay as they were sent.
    """
    try:
        return visible_json(msgspec.json.format(payload, indent=2).decode())
    except (ValueError, RecursionError):
        return printable(payload)
