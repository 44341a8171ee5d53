"""The reference pages in `docs/` are those that the code makes now."""

from __future__ import annotations

import sys
from typing import get_args

import pytest

from deploy.reference.__main__ import outdated
from deploy.reference.pages import pages
from deploy.reference.records import named_values
from streaming.contracts.records import AnyRecord


def test_the_reference_is_current() -> None:
    assert outdated() == [], "run `make docs`"


@pytest.mark.parametrize("name", ["settings.md", "commands.md", "metrics.md", "records.md"])
def test_nothing_in_the_reference_is_without_a_meaning(name: str) -> None:
    topics = "| topic | record | key | partitions | clean-up |"
    text = pages()[name].split(topics)[-1]
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert rows
    assert [row for row in rows if row.endswith("|  |")] == []


def test_each_named_value_of_a_record_is_explained() -> None:
    modules = {kind.__module__ for kind in get_args(AnyRecord)}
    explained = named_values(modules)
    assert {"Action", "Cause", "DriftOutcome", "GateOutcome", "SchemaKind"} <= explained.keys()
    for name, meaning in explained.items():
        values = {
            value
            for module in modules
            for value in get_args(getattr(sys.modules[module], name, None))
        }
        assert values
        absent = {value for value in values if value and f"``{value}``" not in meaning}
        assert not absent, f"the docstring of {name} does not explain {absent}"
