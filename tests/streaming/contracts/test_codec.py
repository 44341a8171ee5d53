"""The codec reads what it wrote, and refuses everything else."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.contracts.codec import LARGEST_RECORD_BYTES, decode, decode_as, encode
from streaming.contracts.errors import DecodeError
from streaming.contracts.records import (
    Command,
    CommandReply,
    DeadLetter,
    FeatureSummary,
    NumericGrid,
    OffsetRange,
    RetrainRequest,
    WindowSummary,
)

TEXT = st.text(max_size=20)
TIMES = st.floats(min_value=0, max_value=2e9)
OFFSETS = st.integers(min_value=0, max_value=2**60)

RANGES = st.builds(
    OffsetRange, topic=TEXT, partition=st.integers(0, 64), start=OFFSETS, stop=OFFSETS
)
REQUESTS = st.builds(
    RetrainRequest,
    record_id=TEXT,
    model=TEXT,
    at=TIMES,
    caused_by=st.lists(TEXT, max_size=3).map(tuple),
    cause=st.sampled_from(["drift", "concept", "manual", "schedule", "initial"]),
    reason=TEXT,
    events=st.lists(RANGES, max_size=3).map(tuple),
    labels=st.lists(RANGES, max_size=3).map(tuple),
    window_start=TIMES,
    window_end=TIMES,
    base_version=st.integers(0, 99),
    deadline=TIMES,
)
DEAD_LETTERS = st.builds(
    DeadLetter,
    record_id=TEXT,
    model=TEXT,
    at=TIMES,
    topic=TEXT,
    partition=st.integers(0, 9),
    offset=OFFSETS,
    reason=TEXT,
    detail=TEXT,
    payload=st.binary(max_size=50),
    payload_bytes=st.integers(0, 10**9),
)


@given(REQUESTS | DEAD_LETTERS)
def test_a_record_survives_the_round_trip(record: RetrainRequest | DeadLetter) -> None:
    assert decode(encode(record)) == record
    assert encode(decode(encode(record))) == encode(record)


@given(st.binary(max_size=200))
def test_random_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode(data)


def reply() -> CommandReply:
    return CommandReply(
        record_id="a", model="m", at=1.0, command_id="b", accepted=True, reason="fine"
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"kind": "horoscope"}, "unreadable"),
        ({"surprise": 1}, "unreadable"),
        ({"accepted": "yes"}, "unreadable"),
        ({"format_version": 2}, "format_version"),
    ],
)
def test_a_record_with_a_wrong_field_is_refused_with_its_reason(
    change: dict[str, object], reason: str
) -> None:
    fields = json.loads(encode(reply())) | change
    with pytest.raises(DecodeError) as caught:
        decode(json.dumps(fields).encode())
    assert caught.value.reason == reason


def test_a_missing_field_is_refused() -> None:
    fields = json.loads(encode(reply()))
    del fields["command_id"]
    with pytest.raises(DecodeError, match="command_id"):
        decode(json.dumps(fields).encode())


def test_an_oversize_record_is_refused_without_parsing() -> None:
    with pytest.raises(DecodeError) as caught:
        decode(b" " * (LARGEST_RECORD_BYTES + 1))
    assert caught.value.reason == "oversize"


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(DecodeError):
        decode(b"[" * 100_000)


def test_a_record_of_another_kind_is_refused() -> None:
    with pytest.raises(DecodeError, match="Command"):
        decode_as(encode(reply()), Command)
    assert decode_as(encode(reply()), CommandReply) == reply()


def old_summary(pivot: float) -> bytes:
    """A window summary as an older release wrote it, with a pivot and without fraction bits."""
    summary = WindowSummary(
        record_id="w",
        model="m",
        at=60.0,
        window_start=0.0,
        window_end=60.0,
        accepted=3,
        dead_letters=0,
        late=0,
        offsets_read=3,
        offsets=(),
        features=(
            FeatureSummary(
                name="x", rows=3, missing=0, grid=NumericGrid(buckets=(1, 9), counts=(1, 2))
            ),
            FeatureSummary(name="pivot", rows=3, missing=3),
        ),
    )
    return encode(summary).replace(b'"fraction_bits":6', f'"pivot":{pivot}'.encode())


def test_old_counts_without_a_pivot_are_counts_of_six_bits() -> None:
    summary = decode_as(old_summary(0.0), WindowSummary)
    assert summary.features[0].grid == NumericGrid(fraction_bits=6, buckets=(1, 9), counts=(1, 2))
    assert summary.features[1].name == "pivot"


@pytest.mark.parametrize("pivot", [41.9, -87.65, 1e-9])
def test_old_counts_with_a_pivot_are_refused_with_the_reason(pivot: float) -> None:
    with pytest.raises(DecodeError, match="after subtracting a pivot"):
        decode(old_summary(pivot))
