"""A shard's positions: what is saved, and who reads which partition."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streaming.engines.kafka.shard_reader import belongs
from streaming.windowing.positions import (
    Place,
    Position,
    Positions,
    read_positions,
    write_positions,
)

install_paths = st.dictionaries(
    st.tuples(st.sampled_from(["trips", "rides", "hires"]), st.integers(0, 30)),
    st.builds(Position, st.integers(0, 2**60), st.integers(0, 2**45)),
)


@given(install_paths, st.integers(1, 9))
def test_positions_come_back_and_equal_ones_have_equal_bytes(
    at: dict[Place, Position], shards: int
) -> None:
    data = write_positions(Positions.of(at, shards=shards))
    assert read_positions(data).places() == at
    assert read_positions(data).shards == shards
    assert write_positions(Positions.of(dict(reversed(at.items())), shards=shards)) == data


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
