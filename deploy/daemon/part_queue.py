"""Hands the records of one model to one part of its controller: in order, until each is done.

A record that meets a temporary error is tried again, and the records behind it wait; other parts
and other models go on. A record that cannot be decided within its time becomes a dead letter with
the reason, so nothing is passed over in silence and nothing waits for ever.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog
from msgspec.structs import replace

from deploy.daemon.controller import PARTS, Part
from streaming.contracts.dead_letters import MAX_PAYLOAD_BYTES, dead_letter
from streaming.contracts.errors import DriftlineError, TemporaryError
from streaming.contracts.ids import record_id
from streaming.contracts.model import ModelContract
from streaming.contracts.raw_record import KafkaRecord
from streaming.contracts.records import AnyRecord, Command, Record
from streaming.contracts.replies import command_reply

log = structlog.get_logger()

LONGEST_DELAY_SECONDS = 30.0


class NotDurableError(TemporaryError):
    """A decision could not be stored or sent. Its record is tried again for as long as that lasts:
    a dead letter could not be written either."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryLimits:
    """How long a record is tried before it becomes a dead letter."""

    temporary_seconds: float = 3600.0
    """While an engine does not answer."""
    failure_seconds: float = 30.0
    """After any other error: a repetition rarely helps, but a file may be corrected meanwhile."""


@dataclass(slots=True, kw_only=True)
class Delivery:
    """A record on its way to the parts of a controller."""

    record: AnyRecord
    source: tuple[str, int, int]
    """Topic, partition and offset."""
    value: bytes
    acknowledge: Callable[[], object] = lambda: None
    """Called once every part is done with it: from then on a restart does not read it again."""
    _open_parts: int = field(default=len(PARTS))

    def part_done(self) -> None:
        """One more part is done with it."""
        self._open_parts -= 1
        if not self._open_parts:
            self.acknowledge()


class PartQueue:
    """The queue of one part.

    Parameters
    ----------
    part:
        The part.
    step:
        Decides a record and makes the decision durable.
    give_up:
        Publishes the records that replace a decision.
    """

    def __init__(
        self,
        part: Part,
        contract: ModelContract,
        step: Callable[[AnyRecord], Awaitable[None]],
        give_up: Callable[[tuple[Record, ...], str], Awaitable[None]],
        limits: RetryLimits,
    ) -> None:
        self._part: Part = part
        self._contract = contract
        self._step = step
        self._give_up = give_up
        self._limits = limits
        self._queue: deque[Delivery] = deque()
        self._task: asyncio.Task[None] | None = None
        self._tried_since: float | None = None

    @property
    def waiting(self) -> int:
        """Records that are not done."""
        return len(self._queue)

    @property
    def waiting_seconds(self) -> float:
        """For how long the first record has failed; 0 if it does not."""
        return 0.0 if self._tried_since is None else time.monotonic() - self._tried_since

    def put(self, delivery: Delivery) -> None:
        """Add a record behind the others."""
        self._queue.append(delivery)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    async def drained(self) -> None:
        """Wait until every record is done."""
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        while self._queue:
            delivery = self._queue[0]
            await self._until_done(delivery)
            self._queue.popleft()
            delivery.part_done()

    async def _until_done(self, delivery: Delivery) -> None:
        tries = 0
        while True:
            try:
                await self._step(delivery.record)
            except Exception as error:  # noqa: BLE001 - it is tried again, then a dead letter
                if self._tried_since is None:
                    self._tried_since = time.monotonic()
                    log.warning(
                        "record.postponed",
                        model=delivery.record.model,
                        part=self._part,
                        id=delivery.record.record_id,
                        reason=_text(error),
                    )
                if self._is_over(error) and await self._published(delivery, error):
                    break
                tries += 1
                await asyncio.sleep(_delay(error, tries))
            else:
                break
        self._tried_since = None

    def _is_over(self, error: Exception) -> bool:
        """Whether the record has had its time."""
        if isinstance(error, NotDurableError):
            return False
        temporary = isinstance(error, TemporaryError)
        limits = self._limits
        limit = limits.temporary_seconds if temporary else limits.failure_seconds
        return self.waiting_seconds >= limit

    async def _published(self, delivery: Delivery, error: Exception) -> bool:
        """Whether the dead letter, and the reply to a command, could be published."""
        reason = "unavailable" if isinstance(error, TemporaryError) else "failed"
        detail = (
            f"The {self._part} part could not decide this {type(delivery.record).__name__} in "
            f"{self.waiting_seconds:.0f} s: {_text(error)}"
        )
        try:
            await self._give_up(self._last_records(delivery, reason, detail), reason)
        except Exception as problem:  # noqa: BLE001 - the record is tried again
            log.warning("record.postponed", model=delivery.record.model, reason=_text(problem))
            return False
        log.error("record.dead", model=delivery.record.model, reason=reason, detail=detail)
        return True

    def _last_records(self, delivery: Delivery, reason: str, detail: str) -> tuple[Record, ...]:
        record = delivery.record
        letter = dead_letter(
            self._contract,
            delivery.source,
            KafkaRecord(value=delivery.value),
            at=record.at,
            reason=reason,
            detail=detail,
            max_bytes=MAX_PAYLOAD_BYTES,
        )
        key = record_id("dead-letter", record.model, *delivery.source, self._part)
        letter = replace(letter, record_id=key, caused_by=(record.record_id,))
        if not isinstance(record, Command):
            return (letter,)
        reply = command_reply(
            record.record_id,
            model=record.model,
            accepted=False,
            reason=f"It was not carried out and is a dead letter. {detail}",
            now=time.time(),
            result_id=letter.record_id,
            code="dead-letter",
        )
        return letter, reply


def _delay(error: Exception, tries: int) -> float:
    first = error.delay_seconds if isinstance(error, TemporaryError) else 1.0
    return min(LONGEST_DELAY_SECONDS, first * 2.0 ** min(tries - 1, 5))


def _text(error: Exception) -> str:
    return f"{error}" if isinstance(error, DriftlineError) else f"{type(error).__name__}: {error}"
