"""Gzipped bodies are unpacked in parts, and only whole ones."""

from __future__ import annotations

import gzip

import pytest

from serving.engines.modelserver.gzip_body import TooLarge, unpack

MOST = 3 << 20
RANDOM = bytes(number * number % 251 for number in range(700_000))
"""A content that needs several parts, packed and unpacked."""


@pytest.mark.parametrize("content", [b"", b"a", RANDOM, b" " * MOST])
def test_a_whole_body_is_unpacked(content: bytes) -> None:
    for level in (0, 9):
        assert unpack(gzip.compress(content, level), "gzip", most=MOST) == content
    assert unpack(content, "identity", most=MOST) is content


@pytest.mark.parametrize("level", [0, 9])
def test_a_broken_body_is_empty(level: int) -> None:
    whole = gzip.compress(RANDOM, level)
    for broken in (b"", whole[:-1], whole[: len(whole) // 2], whole + b"x", whole + whole, b"{}"):
        assert unpack(broken, "gzip", most=MOST) == b""


def test_a_body_that_becomes_too_large_is_refused() -> None:
    with pytest.raises(TooLarge):
        unpack(gzip.compress(b" " * (MOST + 1)), "gzip", most=MOST)
