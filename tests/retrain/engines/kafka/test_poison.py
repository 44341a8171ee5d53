"""A retrain replays the poison corpus: it uses the records that the stream and the labels use."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from msgspec.structs import replace

from retrain.engines.kafka.examples import LogExampleBuilder
from streaming.contracts.clock import ManualClock
from streaming.contracts.errors import DecodeError
from streaming.contracts.events import decode_event
from streaming.contracts.log import MemoryLog
from streaming.contracts.topics import applications_topic
from streaming.quality.rows import read_labels
from tests.retrain.builders import request
from tests.streaming.poison.corpus import Poison, corpus
from tests.streaming.poison.forms import CONTRACT, EVENTS, KEY, LABEL_COLUMNS, LABELS, Form, outcome

NOW = 1_795_000_000.0


def keyed(number: int, poison: Poison) -> bytes | None:
    """The record with a key of its own, where it has the usual one."""
    return poison.value and poison.value.replace(KEY.encode(), f"k{number:05}".encode())


def sound(form: Form, numbers: range) -> list[bytes | None]:
    return [form.record(NOW, {"id": f'"k{number:05}"'}) for number in numbers]


def test_the_rows_are_those_that_the_stream_and_the_label_service_accept(tmp_path: Path) -> None:
    events, labels = corpus(EVENTS, NOW), corpus(LABELS, NOW)
    own = range(len(events), len(events) + len(labels))
    sent = {
        CONTRACT.events_topic: [keyed(number, poison) for number, poison in enumerate(events)]
        + sound(EVENTS, own),
        CONTRACT.labels_topic: sound(LABELS, range(len(events)))
        + [keyed(number, poison) for number, poison in zip(own, labels, strict=True)],
    }
    log, spans = MemoryLog(ManualClock(NOW)), []
    for topic, values in sent.items():
        log.ensure([applications_topic(topic, partitions=1)])
        log.append_raw(topic, [(None, value) for value in values])  # type: ignore[misc]
        spans.append(log.spans(topic))
    builder = LogExampleBuilder(log=log, label_columns=lambda _: LABEL_COLUMNS, min_rows=1)
    examples = builder.build(
        replace(request(events=spans[0], labels=spans[1], at=NOW), model=CONTRACT.model),
        CONTRACT,
        tmp_path / "examples",
    )
    keys = usable_keys(sent[CONTRACT.events_topic])
    rows, rejected = read_labels(list(log.read(*spans[1])), CONTRACT, outcome, LABEL_COLUMNS)
    refused = [poison for poison in (*events, *labels) if poison.reason]
    assert examples.unusable == len(refused)
    assert len(rejected) == sum(bool(poison.reason) for poison in labels)
    assert examples.rows == len(keys & {key for key, _, _ in rows})
    assert examples.rows + examples.unlabelled == len(keys)


def usable_keys(values: Iterable[bytes | None]) -> set[str]:
    """Keys of the events that the stream accepts."""
    keys = set()
    for value in values:
        with suppress(DecodeError):
            keys.add(decode_event(value, CONTRACT, now=NOW).key)
    return keys
