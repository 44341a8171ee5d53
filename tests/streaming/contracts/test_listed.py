"""Lists of categories: one text for a set of values, and what is refused with the field's name."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.contracts.errors import DecodeError
from streaming.contracts.events import decode_event
from streaming.contracts.listed import MAX_VALUES, joined
from tests.streaming.windowing.mapped_events import NOW, contract_of, event, plain, with_lists


def tags_of(value: Any) -> Any:
    """What the model reads of a list in an event."""
    row = event()
    (record,) = plain([event(trip=row["trip"] | {"tags": value})])
    limits = {"largest_event_bytes": 60_000}
    import msgspec

    contract = msgspec.structs.replace(with_lists(contract_of()), **limits)
    return decode_event(record, contract, now=NOW).values["tags"]


@given(st.lists(st.text(min_size=1, max_size=4), max_size=6), st.randoms())
def test_the_order_and_repetitions_of_a_list_do_not_matter(values: list[str], random: Any) -> None:
    again = [*values, *values]
    random.shuffle(again)
    assert joined(again) == joined(values)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["wifi", "bar", "wifi"], "bar\nwifi"),
        ([7, True, "7", False], "7\nfalse\ntrue"),
        (["two\nlines"], "two lines"),
        ([None, "", "a"], "a"),
        ([], None),
        ([None], None),
        (None, None),
        ("", None),
        ([f"t{number:03}" for number in range(MAX_VALUES)] * 3, "\n".join(
            f"t{number:03}" for number in range(MAX_VALUES)
        )),
    ],
)  # fmt: skip
def test_a_list_is_read_as_its_values(value: Any, expected: str | None) -> None:
    assert tags_of(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        "wifi",
        7,
        {"a": 1},
        [["wifi"]],
        [{"name": "wifi"}],
        [1.5],
        ["a", 1e300],
        [[[[[]]]]],
        [f"t{number}" for number in range(MAX_VALUES + 1)],
        list(range(5_000)),
        ["x" * 5_000],
        [[1] * 10_000],
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_hostile_list_is_a_dead_letter_that_names_the_field(value: Any) -> None:
    with pytest.raises(
        DecodeError, match=r"Field tags \(trip.tags\) holds .*, not a list"
    ) as error:
        tags_of(value)
    assert (error.value.reason, error.value.field) == ("wrong_type", "tags")
    assert len(str(error.value)) < 250
