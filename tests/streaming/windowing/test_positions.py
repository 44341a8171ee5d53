"""A shard's positions: how they are encoded, and which shard reads which partition."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streaming.engines.kafka.shard_reader import belongs
from streaming.windowing.event_clock import EventClock
from streaming.windowing.positions import (
    Position,
    Positions,
    TopicPartition,
    read_positions,
    write_positions,
)

times_ms = st.integers(-(2**45), 2**45)
clocks = st.builds(
    EventClock,
    st.integers(0, 2**45),
    times_ms,
    times_ms,
    st.integers(0, 2**40),
    st.lists(times_ms, max_size=8).map(tuple),
    st.lists(times_ms, max_size=14).map(tuple),
)
positions = st.dictionaries(
    st.tuples(st.sampled_from(["trips", "rides", "hires"]), st.integers(0, 30)),
    st.builds(Position, st.integers(0, 2**60), clocks),
)


@given(positions, st.integers(1, 9))
def test_positions_survive_encoding_and_equal_ones_have_equal_bytes(
    positions: dict[TopicPartition, Position], shards: int
) -> None:
    data = write_positions(Positions.of(positions, shards=shards))
    assert read_positions(data).by_partition() == positions
    assert read_positions(data).shards == shards
    assert write_positions(Positions.of(dict(reversed(positions.items())), shards=shards)) == data


@given(st.text(max_size=20), st.integers(0, 500), st.integers(1, 9))
def test_a_partition_belongs_to_one_shard(topic: str, partition: int, shards: int) -> None:
    assert sum(belongs((topic, partition), (shard, shards)) for shard in range(shards)) == 1


def test_the_partitions_of_a_topic_are_distributed_evenly() -> None:
    for shards in (1, 2, 3, 4):
        counts = [
            sum(belongs(("trips", partition), (shard, shards)) for partition in range(12))
            for shard in range(shards)
        ]
        assert set(counts) == {12 // shards}
