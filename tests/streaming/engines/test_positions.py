"""A shard's positions: what is saved, who may move them, and who reads which partition."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.engines.kafka_shard import belongs
from streaming.engines.positions import (
    HOLD,
    Claims,
    Place,
    Position,
    Positions,
    PositionsCoder,
)

places = st.dictionaries(
    st.tuples(st.sampled_from(["trips", "rides", "hires"]), st.integers(0, 30)),
    st.builds(Position, st.integers(0, 2**60), st.integers(0, 2**45)),
)


@given(places)
def test_positions_come_back_and_equal_ones_have_equal_bytes(at: dict[Place, Position]) -> None:
    coder = PositionsCoder()
    data = coder.encode(Positions.of(at))
    assert coder.decode(data).places() == at
    assert coder.encode(Positions.of(dict(reversed(at.items())))) == data


@given(st.text(max_size=20), st.integers(0, 500), st.integers(1, 9))
def test_a_partition_belongs_to_one_shard(topic: str, partition: int, of: int) -> None:
    assert sum(belongs((topic, partition), (number, of)) for number in range(of)) == 1


def test_a_topics_partitions_spread_evenly() -> None:
    for of in (1, 2, 3, 4):
        shares = [
            sum(belongs(("trips", partition), (number, of)) for partition in range(12))
            for number in range(of)
        ]
        assert set(shares) == {12 // of}


def test_a_step_moves_all_positions_or_none_and_is_not_split() -> None:
    before = Positions.of({("t", 0): Position(5, 0)})
    after = Positions.of({("t", 0): Position(9, 100), ("t", 1): Position(1, 50)})
    claims = Claims(before)
    assert claims.try_claim(HOLD)
    assert claims.try_split(0) is None
    with pytest.raises(ValueError, match="without handing"):
        claims.check_done()
    assert claims.current_restriction() == before
    assert claims.try_claim(after)
    assert claims.try_split(0.5) is None
    assert claims.try_split(0) == (Positions(), after)
    claims.check_done()


def test_after_the_rest_was_split_off_nothing_may_be_read() -> None:
    claims = Claims(Positions.of({("t", 0): Position(5, 0)}))
    assert claims.try_split(0) is not None
    assert not claims.try_claim(HOLD)
    assert claims.try_split(0) is None
    claims.check_done()
