"""Every reader accepts and refuses the same records of the poison corpus, and names the field."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from streaming.contracts.codec import decode, encode
from streaming.contracts.errors import DecodeError
from streaming.contracts.events import Reason, decode_event
from streaming.contracts.log import Message
from streaming.contracts.records import DeadLetter
from streaming.quality.rows import read_labels, read_predictions
from streaming.windowing.decode import Decoder
from streaming.windowing.event_reader import EventReader, Fetch, ReadResult
from tests.streaming.poison.corpus import Poison, corpus
from tests.streaming.poison.forms import (
    EVENTS,
    FORMS,
    LABEL_COLUMNS,
    LABELS,
    PREDICTIONS,
    Form,
    outcome,
)

NOW = 1_795_000_000.0
EVENT_RECORDS, LABEL_RECORDS, PREDICTION_RECORDS = (corpus(form, NOW) for form in FORMS)
GOOD = EVENTS.record(NOW)
Outcome = tuple[str, str]
"""Reason and field of a refused record; both empty for a usable one."""


def by_rule(value: bytes | None) -> Outcome:
    try:
        decode_event(value, EVENTS.contract, now=NOW)
    except DecodeError as error:
        return error.reason, error.field
    return "", ""


def in_columns(values: Sequence[bytes | None], min_column_records: int) -> list[Outcome]:
    decoder = Decoder(EVENTS.contract, min_column_records=min_column_records)
    decoded = decoder.decode(values, now=NOW)
    outcomes = {dead.index: (dead.reason, dead.field) for dead in decoded.dead}
    assert len(outcomes) + len(decoded.index) == len(values)
    assert len(decoded.times) == decoded.batch.num_rows == len(decoded.index)
    assert outcomes.keys().isdisjoint(decoded.index.tolist())
    return [outcomes.get(index, ("", "")) for index in range(len(values))]


def message(poison: Poison, offset: int, topic: str = "t") -> Message:
    stamp = NOW if poison.timestamp_ms is None else poison.timestamp_ms / 1000
    return Message(
        topic=topic, partition=0, offset=offset, key=poison.key, value=poison.value, time=stamp
    )


def in_quality(form: Form, records: Sequence[Poison]) -> list[Outcome]:
    messages = [message(poison, offset) for offset, poison in enumerate(records)]
    if form is LABELS:
        rows, rejected = read_labels(messages, form.contract, outcome, LABEL_COLUMNS, now=NOW)
        assert all(arrived <= NOW for _, _, arrived in rows)
    else:
        predictions, rejected = read_predictions(messages, form.contract, now=NOW)
        rows = list(predictions)  # type: ignore[arg-type]  # only their number counts
    assert len(rows) + len(rejected) == len(records)
    outcomes = {r.message.offset: (r.reason, r.field) for r in rejected}
    return [outcomes.get(offset, ("", "")) for offset in range(len(records))]


def differences(records: Sequence[Poison], outcomes: Sequence[Outcome]) -> list[str]:
    """The records with another outcome than the corpus expects."""
    return [
        f"{poison.name}: {found}, not {(poison.reason, poison.field)}"
        for poison, found in zip(records, outcomes, strict=True)
        if poison.reason != found[0] or poison.field not in (None, found[1])
    ]


OF_OTHER_FORMATS = {
    *(Reason.NOT_A_CLOUDEVENT, Reason.WRONG_MAGIC, Reason.TRUNCATED, Reason.REFUSED_SCHEMA),
    *(Reason.WRONG_SCHEMA, Reason.SCHEMA_MISMATCH),
}
"""Reasons of formats other than JSON; the corpus is JSON."""


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_there_are_many_records_of_every_reason(form: Form) -> None:
    records = corpus(form, NOW)
    reasons = Counter(poison.reason for poison in records)
    expected: set[str] = {"", *Reason} - (
        {Reason.OUT_OF_RANGE} if form is not PREDICTIONS else set()
    )
    expected -= OF_OTHER_FORMATS
    if form is LABELS:
        expected -= {Reason.NO_TIME, Reason.FUTURE_TIME, Reason.PAST_TIME}
    assert reasons.keys() == expected
    assert len(records) >= 150
    assert reasons[""] >= 100


def test_the_rule_for_one_event_agrees_with_the_corpus() -> None:
    outcomes = [by_rule(poison.value) for poison in EVENT_RECORDS]
    assert not differences(EVENT_RECORDS, outcomes)


@pytest.mark.parametrize("min_column_records", [0, 10_000], ids=["columns", "rows"])
def test_events_that_are_decoded_alone_agree_with_the_corpus(min_column_records: int) -> None:
    outcomes = [in_columns([poison.value], min_column_records)[0] for poison in EVENT_RECORDS]
    assert not differences(EVENT_RECORDS, outcomes)


@pytest.mark.parametrize("good_share", [0.0, 0.5, 0.95])
def test_events_that_are_decoded_together_agree_with_the_corpus(good_share: float) -> None:
    rng = np.random.default_rng(1)
    good = Poison(name="good", value=GOOD)
    for _ in range(3):
        order = [EVENT_RECORDS[at] for at in rng.permutation(len(EVENT_RECORDS)).tolist()]
        fillers = round(len(order) * good_share / (1 - good_share))
        mixed = [*order, *[good] * fillers]
        records = [mixed[at] for at in rng.permutation(len(mixed)).tolist()]
        assert not differences(records, in_columns([p.value for p in records], 100))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from([*EVENT_RECORDS, *[Poison(name="good", value=GOOD)] * 300])),
    st.lists(st.integers(1, 60), max_size=5),
    st.sampled_from([0, 20]),
)
def test_the_outcome_does_not_depend_on_how_events_are_fetched(
    records: list[Poison], cuts: list[int], min_column_records: int
) -> None:
    borders = [0, *sorted({cut for cut in cuts if cut < len(records)}), len(records)]
    outcomes = []
    for low, high in itertools.pairwise(borders):
        values = [poison.value for poison in records[low:high]]
        outcomes += in_columns(values, min_column_records) if values else []
    assert not differences(records, outcomes)


def test_values_near_the_limits_are_equal_on_both_paths() -> None:
    usable = [poison.value for poison in EVENT_RECORDS if not poison.reason]
    columns = Decoder(EVENTS.contract, min_column_records=0).decode(usable, now=NOW)
    rows = Decoder(EVENTS.contract, min_column_records=10_000).decode(usable, now=NOW)
    assert columns.batch.equals(rows.batch)
    assert columns.times.tolist() == rows.times.tolist()


@pytest.mark.parametrize("form", [LABELS, PREDICTIONS], ids=lambda form: form.name)
def test_labels_and_predictions_agree_with_the_corpus(form: Form) -> None:
    records = corpus(form, NOW)
    alone = [in_quality(form, [poison])[0] for poison in records]
    assert not differences(records, alone)
    assert in_quality(form, records) == alone
    rng = np.random.default_rng(3)
    mixed = [records[at] for at in rng.permutation(len(records)).tolist()]
    assert not differences(mixed, in_quality(form, mixed))


def test_a_depth_is_refused_alike_however_deep_the_reader_itself_is_called() -> None:
    deep = [poison for poison in EVENT_RECORDS if "lists" in poison.name]

    def outcomes(calls: int) -> list[Outcome]:
        return outcomes(calls - 1) if calls else [by_rule(poison.value) for poison in deep]

    assert outcomes(0) == outcomes(200)


def test_each_dead_letter_is_bounded_names_the_field_and_survives_its_encoding() -> None:
    reader, result = EventReader(EVENTS.contract), ReadResult()
    stamps = [message(poison, 0).time for poison in EVENT_RECORDS]
    values = [poison.value for poison in EVENT_RECORDS]
    fetch = Fetch(
        partition=0, offsets=range(len(values)), values=values, timestamp=lambda at: stamps[at]
    )
    reader.add(result, fetch, now=NOW)
    windows = result.windows.values()
    counted = sum(window.accepted + window.dead + window.late for window in windows)
    assert counted == result.read == len(values)
    assert len(result.dead) == sum(bool(poison.reason) for poison in EVENT_RECORDS)
    for letter in result.dead:
        poison = EVENT_RECORDS[letter.offset]
        assert letter.reason == poison.reason
        assert poison.field in (None, letter.field)
        assert not letter.field or letter.field in letter.detail
        assert letter.payload == (poison.value or b"")[:2048]
        assert letter.payload_bytes == len(poison.value or b"")
        encoded = encode(letter)
        assert len(encoded) < 5_000
        assert decode(encoded) == letter
    assert all(isinstance(letter, DeadLetter) for letter in result.late)
    names = {name for window in windows for name in window.unknown}
    assert max(map(len, names)) <= 128
    assert {name for window in windows for name in window.rejected_fields} == {
        "id",
        "fare",
        "seats",
        "company",
        "at",
    }
