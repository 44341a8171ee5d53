"""Counts the users of an experiment: which arm each was assigned to, and the metric's mean over it.

A user is assigned by the same function as Envoy's, whatever version answered: a request that fell
back to the champion still belongs to the arm, because that is what its users get. Each user counts
once, with the mean over the labelled predictions of a fixed time from the first one, when that time
and the time for labels are over. So the users are independent observations, and no early label
weighs more than a late one. Values are whole ten-thousandths: their sums do not depend on the order
of reading, so a restart that reads the topics again gives the same counts.

Only a hash of each user is held, and none is written.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import inf

from streaming.contracts.codec import with_text_id
from streaming.contracts.errors import DecodeError
from streaming.contracts.events import key_of, read_fields
from streaming.contracts.experiment_assignment import SHARES, user_hash
from streaming.contracts.experiment_records import (
    ExperimentArmCounts,
    ExperimentDefinition,
)
from streaming.contracts.log import Message
from streaming.contracts.model import ModelContract
from streaming.contracts.records import ExperimentCounts, ExperimentStatus
from streaming.contracts.registered import SchemaSource
from streaming.contracts.task import BINARY, Task
from streaming.contracts.values import is_missing
from streaming.quality.join import LabelRow
from streaming.quality.tasks import quality_of
from streaming.quality.tasks.strategy import PREDICTION
from streaming.quality.tasks.user_metrics import Held, UserMetric, user_metric

MAX_USERS = 1_000_000
"""Users that are held; each costs about 200 bytes. Further ones are not counted, in any arm."""
MAX_EARLY = 200_000
"""Labels held that came before their prediction."""
EARLY_SECONDS = 600.0
READ_SECONDS = 30.0
"""How long a label that arrived in time may wait to be read."""
MIN_SECONDS, MAX_SECONDS = 5.0, 60.0
"""Time between two records."""


@dataclass(slots=True)
class _Users:
    """The users of one experiment, as parallel columns."""

    rows: dict[int, int] = field(default_factory=dict)
    """Hash of the user -> row."""
    arms: array[int] = field(default_factory=lambda: array("b"))
    first: array[float] = field(default_factory=lambda: array("d"))
    """Time of the first prediction."""
    labels: array[int] = field(default_factory=lambda: array("l"))
    totals: array[int] = field(default_factory=lambda: array("q"))
    """Sum of the metric over the labelled predictions."""
    waiting: deque[int] = field(default_factory=deque)
    """Rows of the users that do not count yet, in the order of their first prediction."""


@dataclass(slots=True, kw_only=True)
class ExperimentCounter:
    """The counter of one model; it holds the users of at most one experiment."""

    contract: ModelContract
    schemas: SchemaSource | None = None
    """The schemas of the registry, for formats that need them."""
    task: Task = BINARY
    """What the model predicts."""
    _metric: UserMetric | None = None
    _status: ExperimentStatus | None = None
    _users: _Users = field(default_factory=_Users)
    _counts: list[dict[str, int]] = field(default_factory=list)
    _outside: int = 0
    _without_user: int = 0
    _full: bool = False
    _pending: OrderedDict[str, tuple[int, float, Held]] = field(default_factory=OrderedDict)
    """Key of a prediction without a label -> row of its user, time, what is kept of it."""
    _early: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)
    _read: dict[tuple[str, int], int] = field(default_factory=dict)
    """Next offset, by topic and partition: a replay counts nothing twice."""
    _recorded_at: float = 0.0

    def follow(self, status: ExperimentStatus) -> None:
        """Take over the newest state of an experiment; another one begins with no users."""
        known = self._status
        if known is not None and known.definition == status.definition and status.at < known.at:
            return
        if known is None or known.definition != status.definition:
            if known is not None and status.at < known.at:
                return
            arms = len(status.definition.arms)
            self._users, self._full = _Users(), False
            self._counts = [dict.fromkeys(_COUNTED, 0) for _ in range(arms)]
            self._outside = self._without_user = 0
            self._pending, self._early = OrderedDict(), OrderedDict()
            planned = status.definition
            self._metric = user_metric(self.task, planned.metric, planned.loss_scale)
        self._status = None if status.phase == "ended" else status

    @property
    def replay_since(self) -> float | None:
        """From when on the topics must be read after a restart; None without an experiment."""
        return None if self._status is None else self._status.started_at

    def add_predictions(self, messages: Sequence[Message]) -> None:
        """Add served predictions; unreadable ones are left to the quality monitor."""
        status = self._status
        if status is None or status.started_at is None:
            return
        last = inf if status.stopped_at is None else status.stopped_at
        for message in messages:
            if self._is_new(message) and status.started_at <= message.time < last:
                self._add_prediction(message, status)

    def add_labels(self, messages: Sequence[Message], rows: Iterable[LabelRow]) -> None:
        """Add labels: their messages, and the rows that could be read from them."""
        if self._status is None or self._status.started_at is None:
            return
        fresh = [message for message in messages if self._is_new(message)]
        if not fresh:
            return
        for key, outcome, arrived in rows:
            if key in self._pending:
                self._join(key, outcome, arrived)
            elif key not in self._early:
                self._early[key] = (outcome, arrived)
        while len(self._early) > MAX_EARLY:
            self._early.popitem(last=False)

    def take_due(self, now: float) -> ExperimentCounts | None:
        """The counts until now, if it is time for a record."""
        status = self._status
        if status is None or status.started_at is None:
            return None
        length = status.definition.end - status.definition.begin
        if now - self._recorded_at < min(MAX_SECONDS, max(MIN_SECONDS, length / 200.0)):
            return None
        self._recorded_at = now
        self._count_users(now, status)
        record = ExperimentCounts(
            record_id="",
            model=self.contract.model,
            at=now,
            caused_by=status.caused_by[:1],
            experiment_id=status.definition.experiment_id,
            arms=tuple(
                ExperimentArmCounts(arm=arm.name, **counted)
                for arm, counted in zip(status.definition.arms, self._counts, strict=True)
            ),
            outside=self._outside,
            without_user=self._without_user,
            waiting=len(self._users.waiting),
            full=self._full,
        )
        return with_text_id(record, "experiment-counts", record.experiment_id)

    def _is_new(self, message: Message) -> bool:
        place = (message.topic, message.partition)
        if message.offset < self._read.get(place, 0):
            return False
        self._read[place] = message.offset + 1
        return True

    def _add_prediction(self, message: Message, status: ExperimentStatus) -> None:
        definition = status.definition
        try:
            fields = read_fields(message, self.contract, self.contract.predictions, self.schemas)
            key = key_of(fields, self.contract)
            prediction = quality_of(self.task).prediction_of(fields.get(PREDICTION))
        except DecodeError:
            return
        version = fields.get("version")
        user = fields.get(definition.user_field)
        if is_missing(user) or not isinstance(user, str | int):
            self._without_user += 1
            return
        hashed = user_hash(definition.experiment_id, str(user))
        row = self._users.rows.get(hashed)
        if row is None:
            row = self._new_user(hashed, message.time, status)
        if row is None:
            return
        arm = self._users.arms[row]
        self._counts[arm]["predictions"] += 1
        self._counts[arm]["crossed"] += version != definition.arms[arm].version
        if key in self._pending or message.time >= self._users.first[row] + definition.user_seconds:
            return
        assert self._metric is not None
        self._pending[key] = (row, message.time, self._metric.held(prediction))
        early = self._early.pop(key, None)
        if early is not None:
            self._join(key, *early)

    def _new_user(self, hashed: int, time: float, status: ExperimentStatus) -> int | None:
        """The row of a user who is met for the first time; None for one who is not counted."""
        number = _arm_number(status.definition, hashed)
        if number is None:
            self._outside += 1
            return None
        users = self._users
        if len(users.rows) >= MAX_USERS:
            self._full = True
            return None
        row = users.rows[hashed] = len(users.arms)
        users.arms.append(number)
        users.first.append(time)
        users.labels.append(0)
        users.totals.append(0)
        users.waiting.append(row)
        self._counts[number]["users"] += 1
        return row

    def _join(self, key: str, outcome: float, arrived: float) -> None:
        """Add the label of a prediction to its user, if it arrived in time."""
        assert self._status is not None
        assert self._metric is not None
        definition = self._status.definition
        row, _, held = self._pending.pop(key)
        limit = self._users.first[row] + definition.user_seconds + definition.label_seconds
        if arrived <= limit:
            self._users.labels[row] += 1
            self._users.totals[row] += self._metric.value(held, outcome)

    def _count_users(self, now: float, status: ExperimentStatus) -> None:
        """Count the users whose time is over, and forget what can no longer be joined."""
        users, definition = self._users, status.definition
        held = definition.user_seconds + definition.label_seconds + READ_SECONDS
        while users.waiting and users.first[users.waiting[0]] + held <= now:
            row = users.waiting.popleft()
            counted = self._counts[users.arms[row]]
            if not users.labels[row]:
                counted["unlabelled"] += 1
                continue
            mean = round(users.totals[row] / users.labels[row])
            counted["counted"] += 1
            counted["total"] += mean
            counted["squares"] += mean * mean
        while self._pending and next(iter(self._pending.values()))[1] + held <= now:
            self._pending.popitem(last=False)
        while self._early and next(iter(self._early.values()))[1] + EARLY_SECONDS <= now:
            self._early.popitem(last=False)


def _arm_number(definition: ExperimentDefinition, hashed: int) -> int | None:
    """The index of a user's arm; None for a user who takes no part."""
    position = hashed % SHARES
    for number, arm in enumerate(definition.arms):
        if position < arm.share:
            return number
        position -= arm.share
    return None


_COUNTED = ("users", "counted", "unlabelled", "total", "squares", "predictions", "crossed")
