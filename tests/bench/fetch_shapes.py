"""Fetches of JSON events of many shapes, for `decoding`: usual ones, and the worst for a reader.

Each is made from the events of `formats`, so it imports nothing of the project itself: `decoding`
uses it with the code of any checkout.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

Event = dict[str, Any]
Fetch = list[bytes]
_MEGABYTE = 1_000_000


def _dumped(events: Sequence[Event], **options: Any) -> Fetch:
    return [json.dumps(event, separators=(",", ":"), **options).encode() for event in events]


def _shuffled(event: Event) -> Event:
    names = list(event)
    random.Random(3).shuffle(names)  # no secret
    return {name: event[name] for name in names}


def _with_more(event: Event, fields: int) -> Event:
    more = {f"a_field_that_no_model_reads_{index}": index * 1.25 for index in range(fields)}
    mixed: Event = {}
    for name, extra in zip(event, more, strict=False):
        mixed |= {name: event[name], extra: more[extra]}
    return mixed | event | more


def _without_most(event: Event, number: int) -> Event:
    required = dict(list(event.items())[:2])
    return required | dict(list(event.items())[2 + number % 10 : 4 + number % 10])


def _bad(fetch: Fetch, every: int, wrong: bytes) -> Fetch:
    """The fetch with another value for a number in every n-th record."""
    changed = list(fetch)
    name = b'"average_of_the_last_1_days":'
    for at in range(every // 2, len(fetch), every):
        start = fetch[at].index(name) + len(name)
        end = fetch[at].index(b",", start)
        changed[at] = fetch[at][:start] + wrong + fetch[at][end:]
    return changed


def _wide(events: Sequence[Event], fields: int, more: int) -> Fetch:
    """Events with many fields, `more` of them not in the contract, in an order of their own."""
    chance, rows = random.Random(5), []  # no secret
    for event in events[:300]:
        wide = {f"feature_number_{index}": round(chance.random(), 3) for index in range(fields)}
        head = {name: event[name] for name in ("trip_id", "event_time")}
        rows.append(_shuffled(_with_more(head | wide, more)))
    return _dumped(rows)


WIDE = 200
"""Features of the contract of the fetches that are called wide."""
SHAPES: dict[str, Callable[[Sequence[Event]], Fetch]] = {
    "other-order": lambda events: _dumped([_shuffled(event) for event in events]),
    "more-fields": lambda events: _dumped([_with_more(event, 20) for event in events]),
    "nested": lambda events: _dumped([event | {"more": {"a": [event]}} for event in events]),
    "few-fields": lambda events: _dumped([_without_most(e, n) for n, e in enumerate(events)]),
    "not-ascii": lambda events: _dumped(
        [event | {"company_name": "Łódź Taxi 東京 AG"} for event in events], ensure_ascii=False
    ),
    "escaped": lambda events: _dumped(
        [event | {"company_name": "Łódź Taxi 東京 😀"} for event in events]
    ),
    "one-bad": lambda events: _bad(_dumped(events), len(events), b'"x"'),
    "bad-in-100": lambda events: _bad(_dumped(events), 100, b'"x"'),
    "bad-in-10": lambda events: _bad(_dumped(events), 10, b'"x"'),
    "all-bad": lambda events: _bad(_dumped(events), 1, b'"x"'),
    "NaN-in-10": lambda events: _bad(_dumped(events), 10, b"NaN"),
    "all-NaN": lambda events: _bad(_dumped(events), 1, b"NaN"),
    "1-event": lambda events: _dumped(events[:1]),
    "100-events": lambda events: _dumped(events[:100]),
    "50,000-events": lambda events: _dumped(events) * 10,
    "64-KB-each": lambda events: _dumped([event | {"note": "x y" * 21_000} for event in events])[
        :300
    ],
    "1-MB-each": lambda events: _dumped(
        [event | {"note": "x" * _MEGABYTE} for event in events[:100]]
    ),
    "deep": lambda events: [
        record[:-1] + b',"deep":' + b"[" * 499 + b"]" * 499 + b"}" for record in _dumped(events)
    ],
    "too-deep": lambda events: [
        record[:-1] + b',"deep":' + b"[" * 600 + b"]" * 600 + b"}" for record in _dumped(events)
    ],
    "wide": lambda events: _wide(events, WIDE, 0),
    "wide-more": lambda events: _wide(events, WIDE, 200),
    "wide-flood": lambda events: _wide(events[:120], WIDE, 1_500),
}
"""Name → the fetch, made of 5,000 events."""
