"""How far a shard has read: the state of a reading step.

The state holds the next offset and the event clock of each partition that the shard has begun. Both
travel in the checkpoints, so after a restore the same records meet the same watermark. A step
moves all partitions of its shard at once.
"""

from __future__ import annotations

import msgspec

from streaming.windowing.event_clock import EventClock

TopicPartition = tuple[str, int]
"""A topic's name and the number of one of its partitions."""
Shard = tuple[int, int]
"""The number of a shard, and how many shards the job has."""


class Position(msgspec.Struct, frozen=True, array_like=True):
    """How far one partition has been read."""

    offset: int
    """The next offset to read."""
    clock: EventClock = EventClock()


class Positions(msgspec.Struct, frozen=True, array_like=True):
    """The positions of one shard."""

    by_topic: dict[str, dict[int, Position]] = {}
    """Topic -> partition -> position."""
    shards: int = 1
    """How many shards the job has; fixed for the life of a savepoint."""

    def by_partition(self) -> dict[TopicPartition, Position]:
        """Position of each topic partition."""
        return {
            (topic, number): position
            for topic, partitions in self.by_topic.items()
            for number, position in partitions.items()
        }

    @classmethod
    def of(cls, positions: dict[TopicPartition, Position], *, shards: int = 1) -> Positions:
        """Positions by topic partition, in a fixed order.

        >>> positions = Positions.of({("b", 1): Position(5), ("a", 0): Position(7)})
        >>> positions.by_topic["b"][1].offset
        5
        """
        by_topic: dict[str, dict[int, Position]] = {}
        for (topic, number), position in sorted(positions.items(), key=lambda item: item[0]):
            by_topic.setdefault(topic, {})[number] = position
        return cls(by_topic, shards)


_ENCODER = msgspec.msgpack.Encoder()  # `Positions.of` has fixed the order
_DECODER = msgspec.msgpack.Decoder(Positions)


def write_positions(positions: Positions) -> bytes:
    """The bytes that the state keeps: msgpack and never pickle, because they live in savepoints."""
    return _ENCODER.encode(positions)


def read_positions(data: bytes) -> Positions:
    """The positions that `write_positions` wrote."""
    return _DECODER.decode(data)
