"""How far a shard has read: the restriction of the splittable source.

One element of the source is a shard, and its restriction holds, for each partition that it has
begun, the next offset and the partition's watermark. Both travel in the checkpoints, so after a
restore the same records meet the same watermark. A step holds the restriction while it reads and
moves all its partitions at once, or none.
"""

from __future__ import annotations

from typing import Any

import msgspec
from apache_beam.coders import Coder
from apache_beam.io.iobase import RestrictionProgress, RestrictionTracker
from apache_beam.transforms.core import RestrictionProvider

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

    def places(self) -> dict[Place, Position]:
        """The same by place."""
        return {
            (topic, partition): position
            for topic, partitions in self.at.items()
            for partition, position in partitions.items()
        }

    @classmethod
    def of(cls, places: dict[Place, Position]) -> Positions:
        """From places, in a fixed order.

        >>> Positions.of({("b", 1): Position(5, 0), ("a", 0): Position(7, 0)}).at["b"][1].offset
        5
        """
        at: dict[str, dict[int, Position]] = {}
        for (topic, partition), position in sorted(places.items(), key=lambda one: one[0]):
            at.setdefault(topic, {})[partition] = position
        return cls(at)


_ENCODER = msgspec.msgpack.Encoder()  # `Positions.of` has settled the order
_DECODER = msgspec.msgpack.Decoder(Positions)


class PositionsCoder(Coder):  # type: ignore[misc]
    """Positions as msgpack, never pickle: they live in savepoints."""

    def encode(self, value: Positions) -> bytes:
        return _ENCODER.encode(value)

    def decode(self, encoded: bytes) -> Positions:
        return _DECODER.decode(encoded)

    def is_deterministic(self) -> bool:
        return True


HOLD = None
"""What a step claims before it reads."""


class Claims(RestrictionTracker):  # type: ignore[misc]
    """Lets one step at a time move the positions.

    ``try_claim(HOLD)`` begins a step and is refused once the rest was split off;
    ``try_claim(positions)`` ends it. In between nothing is split off.
    """

    def __init__(self, positions: Positions) -> None:
        self._positions = positions
        self._held = False
        self._split = False

    def current_restriction(self) -> Positions:
        return self._positions

    def current_progress(self) -> RestrictionProgress:
        return RestrictionProgress(completed=0, remaining=1)

    def try_claim(self, position: Positions | None) -> bool:
        if self._split:
            return False
        if position is not HOLD:
            self._positions = position
        self._held = position is HOLD
        return True

    def try_split(self, fraction_of_remainder: float) -> tuple[Positions, Positions] | None:
        if fraction_of_remainder != 0 or self._held or self._split:
            return None
        self._split = True
        rest, self._positions = self._positions, Positions()
        return self._positions, rest

    def check_done(self) -> None:
        if self._held or not self._split:
            raise ValueError("A step ended without handing its positions on.")

    def is_bounded(self) -> bool:
        return False


class FromTheBeginning(RestrictionProvider):  # type: ignore[misc]
    """A shard begins with no partition: it finds them itself."""

    def initial_restriction(self, element: Shard) -> Positions:
        return Positions()

    def create_tracker(self, restriction: Positions) -> Claims:
        return Claims(restriction)

    def restriction_coder(self) -> Any:
        return PositionsCoder()

    def restriction_size(self, element: Shard, restriction: Positions) -> int:
        return 1

    def truncate(self, element: Shard, restriction: Positions) -> None:
        """Draining stops at once: what was not read stays in Kafka."""
