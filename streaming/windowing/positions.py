"""How far a shard has read: the state of a reading step.

It holds, for each partition that the shard has begun, the next offset and the partition's
watermark. Both travel in the checkpoints, so after a restore the same records meet the same
watermark. A step moves all its partitions at once.
"""

from __future__ import annotations

import msgspec

Place = tuple[str, int]
"""Topic and partition."""
Shard = tuple[int, int]
"""Its number, and of how many."""


class Position(msgspec.Struct, frozen=True, array_like=True):
    """Where reading of one partition stands."""

    offset: int
    """The next one to read."""
    watermark_ms: int


class Positions(msgspec.Struct, frozen=True, array_like=True):
    """Of one shard: topic -> partition -> position."""

    at: dict[str, dict[int, Position]] = {}
    shards: int = 1
    """Of how many shards it is one; fixed for the life of a savepoint."""

    def places(self) -> dict[Place, Position]:
        """The same by place."""
        return {
            (topic, partition): position
            for topic, partitions in self.at.items()
            for partition, position in partitions.items()
        }

    @classmethod
    def of(cls, places: dict[Place, Position], *, shards: int = 1) -> Positions:
        """From places, in a fixed order.

        >>> Positions.of({("b", 1): Position(5, 0), ("a", 0): Position(7, 0)}).at["b"][1].offset
        5
        """
        at: dict[str, dict[int, Position]] = {}
        for (topic, partition), position in sorted(places.items(), key=lambda one: one[0]):
            at.setdefault(topic, {})[partition] = position
        return cls(at, shards)


_ENCODER = msgspec.msgpack.Encoder()  # `Positions.of` has settled the order
_DECODER = msgspec.msgpack.Decoder(Positions)


def write_positions(positions: Positions) -> bytes:
    """As the state keeps them: msgpack, never pickle, for they live in savepoints."""
    return _ENCODER.encode(positions)


def read_positions(data: bytes) -> Positions:
    """What `write_positions` wrote."""
    return _DECODER.decode(data)
