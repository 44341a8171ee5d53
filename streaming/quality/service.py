"""The book behind a record log: what it follows, where it starts, what it publishes.

Thin: the log is a port, decisions are the book's. Nothing is stored: at its start the service takes
up its own verdicts since the live version's promotion, and predictions and labels of two
horizons. It stands at the end of every topic before it reads the past, and skips what it has
read, so nothing is lost or counted twice between the two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice

from streaming.contracts import topics
from streaming.contracts.clock import Clock
from streaming.contracts.codec import decode
from streaming.contracts.errors import DecodeError
from streaming.contracts.ids import record_id
from streaming.contracts.log import Message, RecordLog
from streaming.contracts.model import ModelContract
from streaming.contracts.records import (
    AnyRecord,
    DeadLetter,
    DriftVerdict,
    Promotion,
    QualityVerdict,
    Record,
)
from streaming.quality.monitor import QualityBook
from streaming.quality.rows import OutcomeOf, Refused, read_labels, read_predictions
from streaming.quality.settings import QualityRules

MAX_AT_ONCE = 5000
MAX_SECONDS = 0.5
"""Messages taken in, and time spent on them, before the windows get their turn."""
_MAX_DEAD_BYTES = 2048
_RECORDS = (topics.PROMOTIONS.name, topics.DRIFT_VERDICTS.name)


@dataclass(slots=True, kw_only=True)
class LabelService:
    """One model's label service.

    Parameters
    ----------
    log, clock:
        Where everything comes from and goes to; whose time it is.
    contract, rules:
        Of the model.
    predictions_topic:
        Where the applications write the predictions that were served.
    outcome_of:
        The model's own rule for the outcome of a label record.
    report:
        Called with each verdict that was published.
    """

    log: RecordLog
    clock: Clock
    contract: ModelContract
    rules: QualityRules
    predictions_topic: str
    outcome_of: OutcomeOf
    report: Callable[[QualityVerdict], None] = lambda verdict: None
    poll_seconds: float = 0.2
    book: QualityBook = field(init=False)
    unreadable: int = 0
    """Records of the house that could not be read."""
    _messages: Iterator[Message | None] = field(init=False)
    _read_to: dict[tuple[str, int], int] = field(default_factory=dict)
    _outbox: list[Record] = field(default_factory=list)
    """What is due and not yet on the log."""
    _lettered_to: dict[tuple[str, int], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.book = QualityBook(
            model=self.contract.model,
            window_seconds=self.contract.window_seconds,
            max_out_of_orderness_seconds=self.contract.max_out_of_orderness_seconds,
            rules=self.rules,
        )

    def start(self) -> None:
        """Take up where an earlier service stood."""
        own = (self.predictions_topic, self.contract.labels_topic)
        self._messages = self.log.follow(
            [*own, *_RECORDS], from_start=False, poll_seconds=self.poll_seconds
        )
        first = next(self._messages)
        since = self.clock.now() - self._memory_seconds()
        promotions = [r for r in self._past(topics.PROMOTIONS.name) if isinstance(r, Promotion)]
        for promotion in promotions:
            self.book.promotion(promotion)
        began = min(since, max((promotion.at for promotion in promotions), default=since))
        for record in self._past(topics.QUALITY_VERDICTS.name, began):
            if isinstance(record, QualityVerdict):
                self.book.remember(record)
        for record in self._past(topics.DEAD_LETTERS.name, since):
            if isinstance(record, DeadLetter) and record.topic in own:
                place = record.topic, record.partition
                known = self._lettered_to.get(place, -1)
                self._lettered_to[place] = max(known, record.offset)
        for topic in (topics.DRIFT_VERDICTS.name, *own):
            for span in self.log.spans(topic, since=since):
                messages = self.log.read(span)
                while batch := list(islice(messages, MAX_AT_ONCE)):
                    self._take(batch)
        if first is not None:
            self._take([first])
        self._publish()

    def _memory_seconds(self) -> float:
        return 2.0 * self.rules.horizon_seconds + self.rules.patience_seconds + 60.0

    def step(self) -> tuple[QualityVerdict, ...]:
        """Take in what has come, and publish what is due.

        Raises
        ------
        TemporaryError
            When the log takes nothing now; the next step publishes it.
        """
        batch: list[Message] = []
        until = self.clock.now() + MAX_SECONDS
        for message in islice(self._messages, MAX_AT_ONCE):
            if message is None:
                break
            batch.append(message)
            if self.clock.now() >= until:
                break
        self._take(batch)
        self._outbox += self.book.tick(self.clock.now())
        return self._publish()

    def _publish(self) -> tuple[QualityVerdict, ...]:
        if self._outbox:
            self.log.append(self._outbox)
        sent, self._outbox = self._outbox, []
        verdicts = tuple(record for record in sent if isinstance(record, QualityVerdict))
        for verdict in verdicts:
            self.report(verdict)
        return verdicts

    # ------------------------------------------------------------ taking in

    def _take(self, messages: Sequence[Message]) -> None:
        fresh = []
        for message in messages:
            place = message.topic, message.partition
            if message.offset >= self._read_to.get(place, 0):
                self._read_to[place] = message.offset + 1
                fresh.append(message)
        for topic, run in groupby(fresh, key=lambda message: message.topic):
            self._take_run(topic, list(run))

    def _take_run(self, topic: str, run: Sequence[Message]) -> None:
        if topic == self.predictions_topic:
            rows, refused = read_predictions(run, self.contract, now=self.clock.now())
            self.book.predictions(rows, len(refused))
        elif topic == self.contract.labels_topic:
            outcomes, refused = read_labels(run, self.contract, self.outcome_of)
            self.book.labels(outcomes, len(refused))
        else:
            refused = []
            for record in self._records(run):
                if isinstance(record, Promotion):
                    self.book.promotion(record)
                elif isinstance(record, DriftVerdict):
                    self.book.drift(record)
        self._outbox += [self._letter(one) for one in refused if self._is_new(one.message)]

    def _is_new(self, message: Message) -> bool:
        place = message.topic, message.partition
        return message.offset > self._lettered_to.get(place, -1)

    def _letter(self, refused: Refused) -> Record:
        message, payload = refused.message, refused.message.value or b""
        place = (message.topic, message.partition, message.offset)
        return DeadLetter(
            record_id=record_id("dead-letter", self.contract.model, *place),
            model=self.contract.model,
            at=message.time,
            topic=message.topic,
            partition=message.partition,
            offset=message.offset,
            reason=refused.reason,
            detail=refused.detail,
            payload=payload[:_MAX_DEAD_BYTES],
            payload_bytes=len(payload),
        )

    def _past(self, topic: str, since: float | None = None) -> Iterator[AnyRecord]:
        for span in self.log.spans(topic, since=since):
            yield from self._records(self.log.read(span))

    def _records(self, messages: Iterator[Message] | Sequence[Message]) -> Iterator[AnyRecord]:
        """The model's records among messages of the house."""
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
