"""Avro and Protobuf are not slower than they were promised to be."""

from __future__ import annotations

import pytest

from tests.bench.formats import measured


@pytest.mark.parametrize("binary", ["avro", "protobuf"])
def test_a_binary_format_is_read_at_six_tenths_of_the_rate_of_json_or_more(binary: str) -> None:
    spent = measured(rounds=3)
    assert spent["json"] / spent[binary] >= 0.6
