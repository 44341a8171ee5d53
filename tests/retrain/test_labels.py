"""Labels are counted in the log by their arrival."""

from __future__ import annotations

from retrain.labels import LogLabelCounter
from streaming.contracts.clock import ManualClock
from streaming.contracts.log import MemoryLog
from streaming.contracts.topics import applications_topic
from tests.retrain.builders import LABELS


def test_labels_are_counted_from_the_given_arrival_time_on() -> None:
    clock = ManualClock(100.0)
    log = MemoryLog(clock=clock)
    log.ensure([applications_topic(LABELS, partitions=2)])
    log.append_raw(LABELS, [(f"early-{n}".encode(), b"{}") for n in range(30)])
    clock.advance(50.0)
    log.append_raw(LABELS, [(f"late-{n}".encode(), b"{}") for n in range(7)])
    labels = LogLabelCounter(log, LABELS)
    assert labels.count_since(0.0) == 37
    assert labels.count_since(150.0) == 7
    assert sum(span.stop - span.start for span in labels.spans()) == 37
    assert sum(span.stop - span.start for span in labels.spans(150.0)) == 7
