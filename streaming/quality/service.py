"""The label service of one model: runs the quality monitor on a record log.

The log is a port, and every decision is the monitor's. The service stores nothing. At its start it
restores the monitor from its own verdicts since the live version's promotion, and reads the
predictions and labels of two horizons again. Beside its verdicts it writes the served scores of
each version every few seconds (`score_counter`). It subscribes at the end of every topic before it
reads the past, and skips offsets it has read, so nothing between the two is lost or counted twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice

from streaming.contracts import topics
from streaming.contracts.clock import Clock
from streaming.contracts.codec import decode
from streaming.contracts.dead_letters import dead_letter
from streaming.contracts.errors import DecodeError
from streaming.contracts.log import Message, RecordLog
from streaming.contracts.model import FeatureSpec, ModelContract
from streaming.contracts.prediction_slices import NO_SLICES, PredictionSlices
from streaming.contracts.recomputed import rules_in_force
from streaming.contracts.records import (
    AnyRecord,
    DeadLetter,
    DriftVerdict,
    ExperimentStatus,
    PredictionScores,
    Promotion,
    QualityVerdict,
    Record,
)
from streaming.contracts.registered import SchemaSource
from streaming.contracts.wire_format import resolve
from streaming.quality.experiment_counter import ExperimentCounter
from streaming.quality.join import LabelRow
from streaming.quality.monitor import QualityMonitor
from streaming.quality.rows import OutcomeOf, RejectedMessage, read_labels, read_predictions
from streaming.quality.score_counter import ScoreCounter
from streaming.quality.settings import QualityRules

MAX_MESSAGES = 5000
"""Largest number of messages that one step reads."""
MAX_BYTES = 64 * 1024 * 1024
"""Length of the messages of one step: they are held in memory together."""
MAX_SECONDS = 0.5
"""Longest time that one step reads, in seconds; due verdicts follow."""
_RECORD_TOPICS = (
    topics.PROMOTIONS.name,
    topics.DRIFT_VERDICTS.name,
    topics.EXPERIMENTS.name,
)


@dataclass(slots=True, kw_only=True)
class LabelService:
    """The label service of one model.

    Parameters
    ----------
    log, clock:
        The record log to read and write, and the source of the current time.
    contract, rules:
        Contract and quality settings of the model.
    predictions_topic:
        Topic to which the applications write the predictions that were served.
    outcome_of:
        The model's function that reads the outcome of a label record.
    label_columns:
        Fields that every label must have, with their kinds.
    on_verdict:
        Called with each verdict that was published.
    """

    log: RecordLog
    clock: Clock
    contract: ModelContract
    rules: QualityRules
    predictions_topic: str
    outcome_of: OutcomeOf
    label_columns: tuple[FeatureSpec, ...] = ()
    schemas: SchemaSource | None = None
    """The schemas of the registry, for formats that need them."""
    slices: PredictionSlices = NO_SLICES
    """Predictions that are counted apart too, for the gates of a canary."""
    on_verdict: Callable[[QualityVerdict], None] = lambda verdict: None
    code: str = ""
    """Version of the code, for the record of the rules."""
    poll_seconds: float = 0.2
    monitor: QualityMonitor = field(init=False)
    unreadable: int = 0
    """Number of Driftline's own records that could not be decoded."""
    scores: ScoreCounter = field(init=False)
    experiments: ExperimentCounter = field(init=False)
    _messages: Iterator[Message | None] = field(init=False)
    _next_offsets: dict[tuple[str, int], int] = field(default_factory=dict)
    """Next offset to read, by topic and partition."""
    _held: list[Message] = field(default_factory=list)
    """Messages that were fetched and not taken, because a schema could not be had."""
    _outbox: list[Record] = field(default_factory=list)
    """Records that are due and not yet on the log."""
    _dead_letters_until: dict[tuple[str, int], int] = field(default_factory=dict)
    """Offset up to which dead letters have been written, by topic and partition."""

    def __post_init__(self) -> None:
        self.monitor = QualityMonitor(
            model=self.contract.model,
            window_seconds=self.contract.window_seconds,
            max_out_of_orderness_seconds=self.contract.max_out_of_orderness_seconds,
            rules=self.rules,
            slices=self.slices,
        )
        self.scores = ScoreCounter(
            model=self.contract.model, task=self.rules.task, slices=self.slices
        )
        self.experiments = ExperimentCounter(
            contract=self.contract, schemas=self.schemas, task=self.rules.task
        )

    def start(self) -> None:
        """Restore the state of an earlier service from the log, and publish what is due."""
        rules = rules_in_force(
            "quality", self.rules, model=self.contract.model, code=self.code, at=self.clock.now()
        )
        self.monitor.rules_digest = rules.digest
        self._outbox.append(rules)
        input_topics = (self.predictions_topic, self.contract.labels_topic)
        self._messages = self.log.follow(
            [*input_topics, *_RECORD_TOPICS], from_start=False, poll_seconds=self.poll_seconds
        )
        first = next(self._messages)
        since = self.clock.now() - self._replay_seconds()
        promotions = [r for r in self._past(topics.PROMOTIONS.name) if isinstance(r, Promotion)]
        for promotion in promotions:
            self.monitor.add_promotion(promotion)
        verdicts_since = min(since, max((promotion.at for promotion in promotions), default=since))
        for record in self._past(topics.QUALITY_VERDICTS.name, verdicts_since):
            if isinstance(record, QualityVerdict):
                self.monitor.restore(record)
        for record in self._past(topics.PREDICTION_SCORES.name, since):
            if isinstance(record, PredictionScores):
                self.scores.restore(record)
        for record in self._past(topics.DEAD_LETTERS.name, since):
            if isinstance(record, DeadLetter) and record.topic in input_topics:
                partition = record.topic, record.partition
                until = self._dead_letters_until.get(partition, -1)
                self._dead_letters_until[partition] = max(until, record.offset)
        self._replay_experiment()
        for topic in (topics.DRIFT_VERDICTS.name, *input_topics):
            for span in self.log.spans(topic, since=since):
                messages = self.log.read(span)
                while batch := _batch(messages):
                    self._take(batch)
        if first is not None:
            self._take([first])
        self._publish()

    def _replay_experiment(self) -> None:
        """Count the users of the experiment in progress again, from its beginning."""
        for record in self._past(topics.EXPERIMENTS.name):
            if isinstance(record, ExperimentStatus):
                self.experiments.follow(record)
        since = self.experiments.replay_since
        if since is None:
            return
        for topic in (self.predictions_topic, self.contract.labels_topic):
            for span in self.log.spans(topic, since=since):
                messages = self.log.read(span)
                while batch := _batch(messages):
                    self._count_users(topic, batch)

    def _count_users(self, topic: str, messages: Sequence[Message]) -> None:
        if topic == self.predictions_topic:
            self.experiments.add_predictions(messages)
            return
        labels, _ = self._labels(messages)
        self.experiments.add_labels(messages, labels)

    def _replay_seconds(self) -> float:
        """How far back a start reads predictions and labels."""
        return 2.0 * self.rules.horizon_seconds + self.rules.grace_seconds + 60.0

    def step(self) -> tuple[QualityVerdict, ...]:
        """Read new messages, and publish the verdicts that are due.

        Raises
        ------
        TemporaryError
            When the log takes no records, or the registry lacks a schema; the next step tries
            again.
        """
        until = self.clock.now() + MAX_SECONDS
        if not self._held:
            self._held = _batch(self._messages, lambda: self.clock.now() >= until)
        self._take(self._held)
        self._held = []
        self._outbox += self.monitor.poll(self.clock.now())
        counted = self.scores.take_due(self.clock.now())
        if counted is not None:
            self._outbox.append(counted)
        users = self.experiments.take_due(self.clock.now())
        if users is not None:
            self._outbox.append(users)
        return self._publish()

    def _publish(self) -> tuple[QualityVerdict, ...]:
        if self._outbox:
            self.log.append(self._outbox)
        published, self._outbox = self._outbox, []
        verdicts = tuple(record for record in published if isinstance(record, QualityVerdict))
        for verdict in verdicts:
            self.on_verdict(verdict)
        return verdicts

    # ------------------------------------------------------------ input

    def _take(self, messages: Sequence[Message]) -> None:
        """Pass messages that were not read before to the monitor, in runs of one topic."""
        self._resolve(messages)
        unread = []
        for message in messages:
            partition = message.topic, message.partition
            if message.offset >= self._next_offsets.get(partition, 0):
                self._next_offsets[partition] = message.offset + 1
                unread.append(message)
        for topic, run in groupby(unread, key=lambda message: message.topic):
            self._take_run(topic, list(run))

    def _resolve(self, messages: Sequence[Message]) -> None:
        """Get the schemas of a batch before anything of it is counted; raises `TemporaryError`."""
        for topic, mapping in (
            (self.predictions_topic, self.contract.predictions),
            (self.contract.labels_topic, self.contract.labels),
        ):
            values = [message.value for message in messages if message.topic == topic]
            resolve(values, mapping, self.schemas, self.contract.largest_event_bytes)

    def _take_run(self, topic: str, run: Sequence[Message]) -> None:
        rejected: list[RejectedMessage] = []
        if topic == self.predictions_topic:
            rejected = self._take_predictions(run)
            self.experiments.add_predictions(run)
        elif topic == self.contract.labels_topic:
            labels, rejected = self._labels(run)
            self.monitor.add_labels(labels, len(rejected))
            self.experiments.add_labels(run, labels)
        else:
            for record in self._records(run):
                if isinstance(record, Promotion):
                    self.monitor.add_promotion(record)
                elif isinstance(record, DriftVerdict):
                    self.monitor.add_drift_verdict(record)
                elif isinstance(record, ExperimentStatus):
                    self.experiments.follow(record)
        self._outbox += [self._dead_letter(r) for r in rejected if self._is_new(r.message)]

    def _labels(self, messages: Sequence[Message]) -> tuple[list[LabelRow], list[RejectedMessage]]:
        return read_labels(
            messages,
            self.contract,
            self.outcome_of,
            self.label_columns,
            self.rules.task,
            now=self.clock.now(),
            schemas=self.schemas,
        )

    def _take_predictions(self, run: Sequence[Message]) -> list[RejectedMessage]:
        """Pass predictions to the monitor, and count the scores of those in no record yet."""
        rejected: list[RejectedMessage] = []
        now = self.clock.now()
        for is_new, part in groupby(run, key=self.scores.is_new):
            messages = list(part)
            predictions, refused = read_predictions(
                messages,
                self.contract,
                self.rules.task,
                now=now,
                schemas=self.schemas,
                slices=self.slices,
            )
            accepted = self.monitor.add_predictions(predictions, len(refused))
            if is_new:
                self.scores.add(messages, accepted, now=now)
            rejected += refused
        return rejected

    def _is_new(self, message: Message) -> bool:
        """Whether no dead letter was written for the message before."""
        partition = message.topic, message.partition
        return message.offset > self._dead_letters_until.get(partition, -1)

    def _dead_letter(self, rejected: RejectedMessage) -> Record:
        message = rejected.message
        return dead_letter(
            self.contract,
            (message.topic, message.partition, message.offset),
            message,
            at=message.time,
            reason=rejected.reason,
            detail=rejected.detail,
            field=rejected.field,
        )

    def _past(self, topic: str, since: float | None = None) -> Iterator[AnyRecord]:
        for span in self.log.spans(topic, since=since):
            yield from self._records(self.log.read(span))

    def _records(self, messages: Iterator[Message] | Sequence[Message]) -> Iterator[AnyRecord]:
        """The model's records among Driftline's messages."""
        for message in messages:
            if message.value is None:
                continue
            try:
                record = decode(message.value)
            except DecodeError:
                self.unreadable += 1
                continue
            if record.model == self.contract.model:
                yield record


def _batch(
    messages: Iterator[Message | None], is_over: Callable[[], bool] = lambda: False
) -> list[Message]:
    """The next messages, as many as one step takes; None ends a batch early."""
    batch: list[Message] = []
    length = 0
    for message in islice(messages, MAX_MESSAGES):
        if message is None:
            break
        batch.append(message)
        length += len(message.value or b"")
        if length >= MAX_BYTES or is_over():
            break
    return batch
