"""The poison corpus among good traffic on real engines: nothing stops, everything is accounted."""

from __future__ import annotations

import dataclasses
import time
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from msgspec.structs import replace

from streaming.contracts import topics
from streaming.contracts.clock import SystemClock
from streaming.contracts.codec import decode
from streaming.contracts.dead_letters import MAX_UNUSABLE_BYTES
from streaming.contracts.events import decode_event
from streaming.contracts.log import Message
from streaming.contracts.model import ModelContract
from streaming.contracts.records import DeadLetter
from streaming.engines.flink.client import Flink
from streaming.engines.kafka.log import KafkaLog
from streaming.job.submit import submit
from streaming.quality import QualityRules
from streaming.quality.service import LabelService
from tests.streaming.engines.checker import Sent, problems
from tests.streaming.engines.collector import ModelOutput, await_window, collect, job_settings
from tests.streaming.engines.producer import PacedProducer
from tests.streaming.poison.corpus import Poison, corpus
from tests.streaming.poison.forms import EVENTS, LABEL_COLUMNS, LABELS, PREDICTIONS, outcome
from tests.streaming.poison.sender import PoisonSender, create_topic
from tests.streaming.quality.quality_world import draw
from tests.waiting import wait_for

pytestmark = pytest.mark.engine

WINDOW, SLACK, PARTITIONS = 4.0, 300.0, 2
STAMPS = {"poisoned": "CreateTime", "stamped": "LogAppendTime"}
"""Model -> whose timestamps its topic has: the producers' or the broker's."""


def contract_of(model: str) -> ModelContract:
    return replace(
        EVENTS.contract,
        model=model,
        events_topic=f"{model}.events",
        labels_topic=f"{model}.labels",
        partitions=PARTITIONS,
        window_seconds=WINDOW,
        max_out_of_orderness_seconds=2.0,
        future_seconds=SLACK + 10.0,
    )


def test_the_stream_job_accounts_for_every_record(cluster: Any, tmp_path: Path) -> None:
    log, flink = KafkaLog(cluster.bootstrap), Flink(cluster.rest)
    log.ensure(topics.RECORD_TOPICS)
    contracts = {model: contract_of(model) for model in STAMPS}
    for model, stamps in STAMPS.items():
        topic, codec = contracts[model].events_topic, "zstd" if model == "stamped" else "producer"
        create_topic(
            cluster.bootstrap,
            topic,
            PARTITIONS,
            message_timestamp_type=stamps,
            compression_type=codec,
        )
    job = submit(job_settings(cluster, tmp_path, *contracts.values(), group="poison"))
    traffic = {
        model: PacedProducer(
            cluster.bootstrap, contract.events_topic, WINDOW, range(PARTITIONS), rate=200
        )
        for model, contract in contracts.items()
    }
    for producer in traffic.values():
        producer.start()
    for model in contracts:
        await_window(log, model, after=time.time())
    senders = {model: send_corpus(cluster, contract) for model, contract in contracts.items()}
    for model in contracts:
        await_window(log, model, after=time.time() + 10.0 + WINDOW)
    for model, producer in traffic.items():
        producer.stop()
        sender = senders[model]
        output = collect(log, model, len(producer.sent) + len(sender.sent), seconds=60)
        check(contracts[model], producer, sender, output)
    assert flink.status(job).restarts == 0
    flink.cancel(job)


def send_corpus(cluster: Any, contract: ModelContract) -> PoisonSender:
    """Send the corpus, and a part of it in a transaction."""
    sender = PoisonSender(cluster.bootstrap, contract.events_topic, PARTITIONS)
    records = corpus(dataclasses.replace(EVENTS, contract=contract), time.time(), slack=SLACK)
    sender.send(records)
    sender.send_in_transactions(records[::20])
    return sender


def check(
    contract: ModelContract, producer: PacedProducer, sender: PoisonSender, output: ModelOutput
) -> None:
    """Compare what the job wrote about a model with what was sent."""
    letters = {(letter.partition, letter.offset): letter for letter in output.dead_letters}
    sent = list(producer.sent)
    for place, poison in sender.sent.items():
        letter = letters.get(place)
        sent.append(expected(contract, place, poison, letter))
        if letter is not None and letter.reason != "late":
            assert not contradiction(poison, letter)
        if poison.old:
            assert letter is not None
    contradictions = problems(sent, output.summaries, output.dead_letters)
    assert not contradictions, "\n".join(contradictions)
    assert output.verdicts.keys() == {summary.window_end for summary in output.summaries}


def expected(
    contract: ModelContract, place: tuple[int, int], poison: Poison, letter: DeadLetter | None
) -> Sent:
    """What the record must count as. A usable one may be late, as it was sent with delay."""
    partition, offset = place
    if poison.reason:
        return Sent(partition=partition, offset=offset, fate="dead")
    if letter is not None and letter.reason == "late":
        return Sent(partition=partition, offset=offset, fate="late")
    at = decode_event(poison.value, contract, now=time.time()).time
    end = at // WINDOW * WINDOW + WINDOW
    return Sent(partition=partition, offset=offset, fate="good", window_end=end)


def contradiction(poison: Poison, letter: DeadLetter) -> str:
    """How a dead letter differs from what the corpus expects; empty where it does not."""
    payload = poison.value or b""
    is_as_expected = (
        letter.reason == poison.reason
        and poison.field in (None, letter.field)
        and letter.field in letter.detail
        and letter.payload == payload[:MAX_UNUSABLE_BYTES]
        and letter.payload_bytes == len(payload)
    )
    return (
        "" if is_as_expected else f"{poison.name}: {letter.reason} {letter.field} {letter.detail}"
    )


RULES = QualityRules(horizon_seconds=40.0, min_labels=200, grace_seconds=0.0, min_curve_windows=1)
ROWS = 300


def test_the_label_service_accounts_for_every_record(broker: Any) -> None:
    log, name = KafkaLog(broker.bootstrap), f"labelled-{uuid.uuid4().hex[:8]}"
    log.ensure(topics.RECORD_TOPICS)
    contract = replace(contract_of(name), window_seconds=10.0)
    predictions_topic = f"{name}.predictions"
    service = LabelService(
        log=log, clock=SystemClock(), contract=contract, rules=RULES,
        predictions_topic=predictions_topic, outcome_of=outcome, label_columns=LABEL_COLUMNS,
    )  # fmt: skip
    senders = {}
    for form, topic in ((PREDICTIONS, predictions_topic), (LABELS, contract.labels_topic)):
        create_topic(broker.bootstrap, topic, PARTITIONS)
        senders[form.name] = PoisonSender(broker.bootstrap, topic, PARTITIONS)
    now = time.time()
    send_good(log, contract, predictions_topic, at=now - 25.0)
    service.start()
    for form in (PREDICTIONS, LABELS):
        records = corpus(dataclasses.replace(form, contract=contract), now, slack=SLACK)
        senders[form.name].send(records)
        senders[form.name].send_in_transactions(records[::20])
    sent = {name: len(sender.sent) + ROWS for name, sender in senders.items()}

    def is_read() -> bool:
        service.step()
        accounts = service.monitor.joiner.accounts
        return (accounts.predictions_read, accounts.labels_read) == (
            sent["predictions"],
            sent["labels"],
        )

    wait_for(is_read, seconds=60)
    accounts = service.monitor.joiner.accounts
    dead = {n: sum(bool(p.reason) for p in s.sent.values()) for n, s in senders.items()}
    assert (accounts.predictions_dead, accounts.labels_dead) == (
        dead["predictions"],
        dead["labels"],
    )
    assert accounts.predictions_read == sum(
        (accounts.joined, accounts.waiting, accounts.unlabelled, accounts.predictions_repeated,
         accounts.predictions_late, accounts.predictions_dead)
    )  # fmt: skip
    assert accounts.labels_read == sum(
        (accounts.matched, accounts.early, accounts.unmatched, accounts.labels_repeated,
         accounts.corrected, accounts.labels_late, accounts.labels_dead)
    )  # fmt: skip
    letters = of_model(log, name, topics.DEAD_LETTERS.name)
    places = {
        (sender.topic, *place): poison
        for sender in senders.values()
        for place, poison in sender.sent.items()
        if poison.reason
    }
    assert {(r.topic, r.partition, r.offset) for r in letters} == places.keys()
    for letter in letters:
        assert not contradiction(places[letter.topic, letter.partition, letter.offset], letter)
    wait_for(lambda: bool(service.step()) or judged(log, name), seconds=60)
    assert judged(log, name)


def judged(log: KafkaLog, model: str) -> bool:
    """Whether a window of the good predictions has its verdict."""
    return any(
        record.predictions >= ROWS // 2
        for record in of_model(log, model, topics.QUALITY_VERDICTS.name)
    )


def send_good(log: KafkaLog, contract: ModelContract, predictions: str, *, at: float) -> None:
    """Predictions of one window and their labels."""
    scores, outcomes = draw(np.random.default_rng(4), ROWS)
    start = at // contract.window_seconds * contract.window_seconds
    times = (start + contract.window_seconds * np.arange(ROWS) / ROWS).tolist()
    served = [
        {"id": f"g{n}", "at": at, "version": 1, "prediction": score}
        for n, (at, score) in enumerate(zip(times, scores.tolist(), strict=True))
    ]
    labels = [
        {"id": f"g{n}", "tips": 5 if is_high else 0, "stars": 1, "note": "x"}
        for n, is_high in enumerate(outcomes.tolist())
    ]
    for topic, rows in ((predictions, served), (contract.labels_topic, labels)):
        log.append_raw(topic, [(str(row["id"]).encode(), orjson.dumps(row)) for row in rows])


def of_model(log: KafkaLog, model: str, topic: str) -> list[Any]:
    """The model's records in a topic."""
    messages: Iterable[Message] = (m for span in log.spans(topic) for m in log.read(span))
    records = [decode(message.value or b"") for message in messages]
    return [record for record in records if record.model == model]
