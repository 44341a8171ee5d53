"""Dead letters: the newest ones, one by its position or id, and their return to their topics."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from deploy.records.reader import newest
from streaming.contracts.errors import NotFoundError
from streaming.contracts.log import RecordLog
from streaming.contracts.records import DeadLetter

_POSITION = re.compile(r"(?P<topic>.+)/(?P<partition>\d+)@(?P<offset>\d+)")


@dataclass(frozen=True, slots=True)
class Skipped:
    """A dead letter that cannot be replayed, and why."""

    letter: DeadLetter
    reason: str


def position(letter: DeadLetter) -> str:
    """Where the original lies: ``TOPIC/PARTITION@OFFSET``."""
    return f"{letter.topic}/{letter.partition}@{letter.offset}"


def newest_dead_letters(
    log: RecordLog, *, model: str | None = None, reason: str | None = None, last: int = 20
) -> list[DeadLetter]:
    """The newest dead letters, oldest first, read from the end of the topic."""
    return newest(
        log, DeadLetter, model, last, where=lambda letter: reason in (None, letter.reason)
    )


def find_dead_letter(log: RecordLog, target: str) -> DeadLetter:
    """The newest dead letter at ``TOPIC/PARTITION@OFFSET``, or whose record id begins so.

    Raises
    ------
    NotFoundError
        When there is none, or an id's beginning is not unique.
    """
    parts = _POSITION.fullmatch(target)
    if parts is not None:
        matching = newest(log, DeadLetter, None, 1, where=lambda letter: position(letter) == target)
    else:
        matching = newest(
            log, DeadLetter, None, 2, where=lambda letter: letter.record_id.startswith(target)
        )
    if len(matching) != 1:
        raise NotFoundError(
            f"{'Several dead letters begin' if matching else 'No dead letter begins'} with "
            f"{target!r}; `driftline dead-letters list` shows positions and ids."
            if parts is None
            else f"No dead letter at {target}; `driftline dead-letters list` shows the newest."
        )
    return matching[0]


def replayable(letters: Sequence[DeadLetter]) -> tuple[list[DeadLetter], list[Skipped]]:
    """The dead letters whose original is whole, each original once, and the others."""
    whole: dict[str, DeadLetter] = {}
    skipped = []
    for letter in letters:
        if len(letter.payload) != letter.payload_bytes:
            missing = letter.payload_bytes - len(letter.payload)
            skipped.append(
                Skipped(letter, f"{missing} of {letter.payload_bytes} bytes were cut off")
            )
        elif position(letter) in whole:
            skipped.append(Skipped(letter, "the same original is in an earlier dead letter"))
        else:
            whole[position(letter)] = letter
    return list(whole.values()), skipped


def replay(log: RecordLog, letters: Sequence[DeadLetter], key_fields: dict[str, str]) -> None:
    """Append the originals to their topics again, in order.

    Parameters
    ----------
    key_fields:
        By model, the field of an event that is the message's key. The key of the original message
        is not kept; an original without a readable key field gets none.
    """
    by_topic: dict[str, list[tuple[bytes | None, bytes]]] = {}
    for letter in letters:
        key = _key(letter.payload, key_fields.get(letter.model, ""))
        by_topic.setdefault(letter.topic, []).append((key, letter.payload))
    for topic, messages in by_topic.items():
        log.append_raw(topic, messages)


def _key(payload: bytes, field: str) -> bytes | None:
    try:
        value = json.loads(payload)[field]
    except (ValueError, KeyError, TypeError):
        return None
    return str(value).encode() if isinstance(value, str | int) else None
