"""Parts of the stream that stand still for a while: nothing is late because of it."""

from __future__ import annotations

import pytest

from tests.streaming.job.stream_in_memory import (
    APPENDED,
    CREATED,
    START,
    TWO_PARTITIONS,
    WINDOW,
    StreamInMemory,
    event,
    sends,
)

RATE = 20
healthy = sends(RATE, event)


@pytest.fixture(params=[APPENDED, CREATED], ids=["broker-time", "producer-time"])
def stream(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> StreamInMemory:
    stream = StreamInMemory(TWO_PARTITIONS, monkeypatch, now=START, timestamps=request.param)
    stream.run(60, healthy, healthy)
    return stream


def send_events_of(stream: StreamInMemory, began: float) -> None:
    """What the producers have held back since `began`."""
    for partition in (0, 1):
        for index in range(round((stream.now - began) * RATE)):
            stream.send(partition, event(began + index / RATE))


@pytest.mark.parametrize("seconds", [6.0, 20.0, 60.0, 600.0])
@pytest.mark.parametrize("delay", [0.5, 2.0, 4.0])
def test_nothing_is_late_after_all_parts_stood_still(
    stream: StreamInMemory, seconds: float, delay: float
) -> None:
    """The reader may go on some seconds before the producers send what they held back."""
    began = stream.now
    stream.now += seconds
    stream.run(delay)
    send_events_of(stream, began)
    stream.step()
    stream.run(60, healthy, healthy)
    assert stream.totals()["late"] == 0


@pytest.mark.parametrize("seconds", [6.0, 60.0, 600.0])
def test_nothing_is_late_after_the_broker_was_away(stream: StreamInMemory, seconds: float) -> None:
    began, stream.topic.answers = stream.now, False
    stream.run(seconds)
    stream.topic.answers = True
    stream.run(2.0)
    send_events_of(stream, began)
    stream.step()
    stream.run(60, healthy, healthy)
    assert stream.totals()["late"] == 0


def test_a_silent_partition_is_idle_soon_after_the_broker_is_back(stream: StreamInMemory) -> None:
    stream.topic.answers = False
    stream.run(60)
    stream.topic.answers = True
    stream.run(60, healthy)
    assert stream.now - stream.summaries[-1].window_end <= 2 * WINDOW + 5.0
