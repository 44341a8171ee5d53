"""Dead letters: the newest ones, one by its position or id, and their return to their topics."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from deploy.records.reader import newest
from streaming.contracts.errors import DecodeError, DriftlineError, NotFoundError
from streaming.contracts.json_text import parse_json
from streaming.contracts.log import RecordLog
from streaming.contracts.raw_record import Headers
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


def reasons(log: RecordLog, model: str | None, *, last: int) -> Counter[str]:
    """How many of the newest dead letters have each reason."""
    return Counter(letter.reason for letter in newest(log, DeadLetter, model, last))


def replayable(
    log: RecordLog, letters: Sequence[DeadLetter], *, topics: Collection[str]
) -> tuple[list[DeadLetter], list[Skipped]]:
    """The dead letters whose original can be sent again, each original once, and the others.

    Dead letters with the same topic, key, headers and payload have the same original: one that was
    replayed and failed again has a new position.

    Parameters
    ----------
    topics:
        Topics of the applications; originals return to these only.
    """
    existing = {
        topic for topic in {letter.topic for letter in letters} & set(topics) if log.spans(topic)
    }
    whole: list[DeadLetter] = []
    skipped = []
    known: set[object] = set()
    for letter in letters:
        original = (letter.topic, letter.key, letter.headers, sha256(letter.payload).digest())
        if letter.topic not in topics:
            reason = f"{letter.topic} is not a topic of this configuration's models"
        elif letter.topic not in existing:
            reason = f"the topic {letter.topic} does not exist"
        elif len(letter.payload) != letter.payload_bytes:
            reason = _wrong_size(letter)
        elif letter.key_bytes > len(letter.key or b""):
            missing = letter.key_bytes - len(letter.key or b"")
            reason = f"{missing} of {letter.key_bytes} bytes of its key were cut off"
        elif letter.headers_dropped:
            reason = f"{letter.headers_dropped} of its headers were cut off"
        elif original in known:
            reason = "the same original is in an earlier dead letter"
        else:
            known.add(original)
            whole.append(letter)
            continue
        skipped.append(Skipped(letter, reason))
    return whole, skipped


def _wrong_size(letter: DeadLetter) -> str:
    missing = letter.payload_bytes - len(letter.payload)
    if missing > 0:
        return f"{missing} of {letter.payload_bytes} bytes were cut off"
    return f"it has {len(letter.payload)} bytes, but its record gives {letter.payload_bytes}"


def replay(log: RecordLog, letters: Sequence[DeadLetter], key_fields: dict[str, str]) -> None:
    """Append the originals to their topics again, in order.

    Parameters
    ----------
    key_fields:
        By model, the field of an event that is the message's key, for originals without a key
        of their own. One without such a field gets none.

    Raises
    ------
    DriftlineError
        When the log refuses a topic's messages; the message counts what was sent before.
    """
    by_topic: dict[str, list[tuple[bytes | None, bytes]]] = {}
    headers: dict[str, list[Headers]] = {}
    for letter in letters:
        key = letter.key
        if key is None:
            key = _key(letter.payload, key_fields.get(letter.model, ""))
        by_topic.setdefault(letter.topic, []).append((key, letter.payload))
        pairs = tuple((header.name, header.value) for header in letter.headers)
        headers.setdefault(letter.topic, []).append(pairs)
    names = list(by_topic)
    for index, topic in enumerate(names):
        try:
            log.append_raw(topic, by_topic[topic], headers[topic])
        except DriftlineError as error:
            counts = {name: len(messages) for name, messages in by_topic.items()}
            error.args = (f"{error} {_progress(names, index, counts)}",)
            raise


def _progress(names: list[str], failed: int, counts: dict[str, int]) -> str:
    """What was sent when the topic at index `failed` was refused."""

    def listed(chosen: Iterable[str]) -> str:
        return ", ".join(f"{counts[name]} to {name}" for name in chosen) or "none"

    return (
        f"Sent again before the failure: {listed(names[:failed])}; "
        f"perhaps in part: {listed(names[failed : failed + 1])}; "
        f"not sent: {listed(names[failed + 1 :])}."
    )


def _key(payload: bytes, field: str) -> bytes | None:
    try:
        fields = parse_json(payload)
    except DecodeError:
        return None
    value = fields.get(field) if isinstance(fields, dict) else None
    is_key = isinstance(value, str | int) and not isinstance(value, bool)
    return str(value).encode() if is_key else None
