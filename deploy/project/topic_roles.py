"""Which field of a topic's records is the key, which the time, and how labels are joined. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from deploy.project.column_rules import ColumnGuess, is_time_name
from deploy.project.guess import DEFAULT_KEY, DEFAULT_TIME
from deploy.project.topic_columns import PathColumn
from deploy.project.topic_sample import Sample
from streaming.contracts.errors import ConfigurationError
from streaming.contracts.event_times import seconds_of
from streaming.contracts.mapping import KeyFrom, TimeFormat

_UNITS: dict[str, TimeFormat] = {
    "epoch seconds": "s",
    "epoch milliseconds": "ms",
    "epoch microseconds": "us",
    "epoch nanoseconds": "ns",
}
UNIQUE_SHARE = 0.95
"""Share of different values that a key needs."""
MAX_KEYS = 40
"""Fields of a topic that are tried as its key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyGuess:
    """What identifies a record."""

    path: str
    key_from: KeyFrom = "field"
    reason: str
    column: str = ""
    """Name of its column; empty for Kafka's key and where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeGuess:
    """The time of an event."""

    path: str
    time_format: TimeFormat
    reason: str
    column: str = ""
    """Name of its column; empty where no field is the time."""


def time_of(
    sample: Sample, columns: Sequence[PathColumn], guesses: dict[str, ColumnGuess]
) -> TimeGuess:
    """The field that is the time: one that is called so, or nearest to the broker's times."""
    stored = [message.time for message in sample.messages]
    best: tuple[tuple[bool, float], TimeGuess] | None = None
    for column in columns:
        guess = guesses[column.name]
        time_format = _time_format(column, guess)
        if time_format is None:
            continue
        seconds = [seconds_of(value, time_format) for value in column.values]
        known = [(at, time) for at, time in zip(stored, seconds, strict=True) if time is not None]
        if len(known) < len(stored):
            continue  # an event without a time would be a dead letter
        distance = median(abs(at - time) for at, time in known)
        named = is_time_name(column.path.split(".")[-1])
        why = "it is called like one" if named else "it is nearest to the times that Kafka stored"
        time_guess = TimeGuess(
            path=column.path,
            time_format=time_format,
            reason=f"written as {time_format}; {why}",
            column=column.name,
        )
        if best is None or (named, -distance) > best[0]:
            best = ((named, -distance), time_guess)
    if best is not None:
        return best[1]
    return TimeGuess(
        path=DEFAULT_TIME,
        time_format="broker",
        reason="no field holds a time in every record, so it is the one that Kafka stored",
    )


def _time_format(column: PathColumn, guess: ColumnGuess) -> TimeFormat | None:
    if guess.use != "time":
        return None
    if column.kind == "text":
        return "rfc3339"
    if column.kind in ("integer", "number") and guess.time_form in _UNITS:
        return _UNITS[guess.time_form]
    return None


def key_of(
    sample: Sample, columns: Sequence[PathColumn], guesses: dict[str, ColumnGuess]
) -> KeyGuess:
    """The field that identifies events, Kafka's key, or none yet."""
    rows = len(sample.documents)
    for column in columns:
        guess = guesses[column.name]
        if guess.use == "id" and column.kind in ("text", "integer") and column.present == rows:
            return KeyGuess(path=column.path, reason=guess.reason, column=column.name)
    keys = _kafka_keys(sample)
    if len(set(keys)) >= UNIQUE_SHARE * rows and None not in keys:
        return KeyGuess(
            path=DEFAULT_KEY,
            key_from="kafka-key",
            reason="no field identifies events, but Kafka's key does",
        )
    return KeyGuess(
        path=DEFAULT_KEY, reason="no field identifies events; they must get one, as labels must"
    )


def join(
    events: Sample,
    event_columns: Sequence[PathColumn],
    labels: Sample,
    label_columns: Sequence[PathColumn],
) -> tuple[KeyGuess, KeyGuess, list[int | None]]:
    """The key of the events, that of the labels, and for each event the row of its label.

    Raises
    ------
    ConfigurationError
        When no field of both tells which event a label belongs to.
    """
    best: tuple[tuple[int, bool], KeyGuess, KeyGuess, list[int | None]] | None = None
    reason = f"labels of {labels.topic} have the same values"
    candidates = _candidates(labels, label_columns, unique=False)
    for own, keys in _candidates(events, event_columns, unique=True):
        counts = Counter(keys)
        for other, label_keys in candidates:
            rows = {key: row for row, key in enumerate(label_keys) if key is not None}
            label_rows = [
                rows.get(key) if key is not None and counts[key] == 1 else None for key in keys
            ]
            score = (sum(row is not None for row in label_rows), own.path == other.path)
            if score[0] and (best is None or score > best[0]):
                best = (score, own, other, label_rows)
    if best is None:
        raise ConfigurationError(
            "Events and labels have no field in common that tells the event of a"
            " label; both need the event's key."
        )
    _, own, other, label_rows = best
    where = "" if own.path == other.path else f" ({_where(other)})"
    return (
        KeyGuess(path=own.path, key_from=own.key_from, reason=reason + where, column=own.column),
        other,
        label_rows,
    )


def _where(key: KeyGuess) -> str:
    return "in Kafka's key" if key.key_from == "kafka-key" else f"at {key.path}"


def _candidates(
    sample: Sample, columns: Sequence[PathColumn], *, unique: bool
) -> list[tuple[KeyGuess, list[str | None]]]:
    """Fields that could be the key, with the key of each record; Kafka's key comes last."""
    chosen: list[tuple[KeyGuess, list[str | None]]] = []
    for column in columns:
        if column.kind not in ("text", "integer"):
            continue
        keys = [None if value in (None, "") else str(value) for value in column.values]
        if not unique or len(set(keys)) >= UNIQUE_SHARE * len(keys):
            chosen.append((KeyGuess(path=column.path, reason="", column=column.name), keys))
    kafka = _kafka_keys(sample)
    if any(kafka):
        key = KeyGuess(path=DEFAULT_KEY, key_from="kafka-key", reason="")
        return [*chosen[:MAX_KEYS], (key, kafka)]
    return chosen[:MAX_KEYS]


def _kafka_keys(sample: Sample) -> list[str | None]:
    keys: list[str | None] = []
    for message in sample.messages:
        try:
            keys.append(message.key.decode() if message.key else None)
        except UnicodeDecodeError:
            keys.append(None)
    return keys
