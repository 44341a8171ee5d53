"""The values of a quiet topic as they come: promotions, whole and without event time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.coders import VarIntCoder
from apache_beam.transforms.userstate import ReadModifyWriteStateSpec

from streaming.engines.kafka.shard_reader import reader
from streaming.job.polling import Asked

_MOST, _WAIT_SECONDS = 100, 0.02

_OFFSET = beam.DoFn.StateParam(ReadModifyWriteStateSpec("offset", VarIntCoder()))


def place_key(topic: str, partition: int) -> str:
    """A partition as a key.

    >>> place_key("promotions", 3)
    'promotions/3'
    """
    return f"{topic}/{partition}"


@beam.typehints.with_input_types(tuple[str, int])
@beam.typehints.with_output_types(bytes)
class ReadValues(beam.DoFn):  # type: ignore[misc]
    """The values of a quiet topic as they come, without event time; a step for each time that a
    partition is asked (`ticks`)."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap

    def process(self, element: Asked, state: Any = _OFFSET) -> Iterator[bytes]:
        topic, _, number = str(element[0]).rpartition("/")
        place = (topic, int(number))
        source = reader(self.bootstrap, place)
        starts = {place: state.read() or 0}
        for _, messages in source.fetch(starts, most=_MOST, wait_seconds=_WAIT_SECONDS):
            state.write(messages[-1].offset() + 1)
            yield from (m.value() for m in messages if m.value() is not None)
