"""`driftline dead-letters`: events that could not be used; look at them and send them again."""

from __future__ import annotations

import json as json_module
from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.shared.command import Json, UsageError, Yes, command, confirm
from deploy.cli.shared.completion import complete_model
from deploy.records import dead_letters
from deploy.records.dead_letters import Skipped, position
from deploy.views.output import format_time, show_json, stderr, stdout, table
from streaming.contracts.records import DeadLetter

if TYPE_CHECKING:
    from deploy.app.deployment import Deployment

PREVIEW = 60
"""Characters of a payload that `list` shows."""

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
            printable(letter.payload[:PREVIEW]),
        )
    stdout.print(shown)
    for code, count in Counter(letter.reason for letter in letters).most_common():
        stderr.print(f"{code}: {count} of the newest {len(letters)}")


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
    stdout.print(f"{format_time(letter.at)}  {position(letter)}  [{letter.record_id}]")
    stdout.print(f"{letter.model}: {letter.reason}: {letter.detail}")
    if len(letter.payload) != letter.payload_bytes:
        stdout.print(f"The first {len(letter.payload)} of {letter.payload_bytes} bytes:")
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
    with deployment.log() as log:
        if target is not None:
            letters = [dead_letters.find_dead_letter(log, target)]
        else:
            letters = dead_letters.newest_dead_letters(log, model=model, reason=reason, last=last)
        whole, skipped = dead_letters.replayable(letters)
        for entry in skipped:
            stderr.print(f"skipped {position(entry.letter)}: {entry.reason}", soft_wrap=True)
        if whole and not dry_run:
            confirm(_consequence(whole), yes=yes)
            keys = {
                name: section.events.key for name, section in deployment.settings.models.items()
            }
            dead_letters.replay(log, whole, keys)
    _report(whole, skipped, sent=bool(whole) and not dry_run, json=json)


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
        stdout.print(position(letter))
    done = "sent again" if sent else "would be sent again" if letters else "to send"
    stderr.print(f"{len(letters)} {done}, {len(skipped)} skipped.")


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
    """A whole payload: indented if it is JSON, else as text with escapes."""
    try:
        return json_module.dumps(json_module.loads(payload), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return printable(payload)
