"""The poison corpus: records that a hostile, broken or careless producer could send.

Each has a name, and what must become of it: usable, or refused for a reason that names the field.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tests.streaming.poison.forms import Form
from tests.streaming.poison.records import whole_records
from tests.streaming.poison.values import changed_times, changed_values

Header = tuple[str, bytes | None]
SECOND_MS = 1_000


@dataclass(frozen=True, kw_only=True)
class Poison:
    """A record, and what must become of it."""

    name: str
    value: bytes | None
    reason: str = ""
    """Reason code of its dead letter; empty where the record is usable."""
    field: str | None = ""
    """The field that the reason names; None = any or none."""
    old: bool = False
    """Whether a usable record is so old that it comes late in a stream."""
    key: bytes | None = None
    headers: tuple[Header, ...] = ()
    timestamp_ms: int | None = None
    """Kafka's timestamp, as the producer sets it; None = when it is sent."""


def corpus(form: Form, now: float, *, slack: float = 1.0) -> list[Poison]:
    """The corpus of one form of record, made at `now` (seconds since 1970).

    Times near a bound lie `slack` seconds from it.
    """
    records = [*_values(form, now), *_times(form, now, slack), *_transport(form, now)]
    records += [
        Poison(name=name, value=value, reason=reason, field=field)
        for name, value, reason, field in whole_records(form, now)
    ]
    assert len({poison.name for poison in records}) == len(records), "names repeat"
    return records


def _values(form: Form, now: float) -> Iterator[Poison]:
    for name, change, reason, field in changed_values(form):
        yield Poison(name=name, value=form.record(now, change), reason=reason, field=field)


def _times(form: Form, now: float, slack: float) -> Iterator[Poison]:
    if not form.time:
        return
    for name, value, reason, old in changed_times(form, now, slack):
        yield Poison(
            name=f"time: {name}" if reason != "" or old else f"time, usable: {name}",
            value=form.record(now, {form.time: value}),
            reason=reason,
            field=form.time if reason else "",
            old=old,
        )


def _transport(form: Form, now: float) -> Iterator[Poison]:
    """Keys, headers and timestamps of Kafka; they concern no field."""
    good, bad = form.record(now), b'{"id":'
    keys = {"empty": b"", "binary": bytes(range(256)), "10 kB": b"k" * 10_000, "text": b"k"}
    for name, key in keys.items():
        yield Poison(name=f"Kafka key: {name}", value=good, key=key)
    yield Poison(name="Kafka key of a tombstone", value=None, reason="empty", key=b"k")
    headers: dict[str, tuple[Header, ...]] = {
        "one": (("trace", b"1"),),
        "binary": (("b", bytes(range(256))),),
        "null": (("n", None),),
        "empty name": (("", b""),),
        "repeated": (("r", b"1"), ("r", b"2")),
        "100": tuple((f"h{number}", b"x" * 10) for number in range(100)),
        "50 kB": (("huge", b"x" * 50_000),),
        "content-encoding": (("content-encoding", b"gzip"),),
    }
    for name, entries in headers.items():
        yield Poison(name=f"headers: {name}", value=good, headers=entries)
        yield Poison(
            name=f"headers of a cut record: {name}",
            value=bad,
            reason="not_json",
            field=None,
            headers=entries,
        )
    stamps = {
        "1 ms after 1970": 1,
        "1980": 315_532_800 * SECOND_MS,
        "ten years ahead": round(now + 315_360_000) * SECOND_MS,
        "year 9999": 253_402_300_799 * SECOND_MS,
        "largest": 2**63 - 1,
    }
    for name, stamp in stamps.items():
        yield Poison(name=f"timestamp: {name}", value=good, timestamp_ms=stamp)
        yield Poison(
            name=f"timestamp of a cut record: {name}",
            value=bad,
            reason="not_json",
            field=None,
            timestamp_ms=stamp,
        )
