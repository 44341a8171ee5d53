"""The request queue on a record log: what has no outcome is open, and a claim says who has it.

See `retrain.claims` for the rule. A thread of the worker renews the claim while a request is
worked on, which may take hours; it ends with the process, however that ends. A worker that was
stopped for longer than a claim lasts finds at its next message that another one has the request.
While the log cannot be reached no claim lapses: nobody could renew it.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator

import msgspec
import structlog
from msgspec.structs import replace

from retrain.claims import (
    LAPSE_SECONDS,
    RENEW_SECONDS,
    Act,
    Claim,
    Claims,
    Holder,
    decode_claim,
    next_request,
)
from streaming.contracts.clock import Clock
from streaming.contracts.codec import record_in
from streaming.contracts.errors import DriftlineError, TemporaryError
from streaming.contracts.log import Message, RecordLog
from streaming.contracts.records import ModelVersion, RetrainFailure, RetrainRequest
from streaming.contracts.topics import (
    MODEL_VERSIONS,
    RETRAIN_CLAIMS,
    RETRAIN_FAILURES,
    RETRAIN_REQUESTS,
    Topic,
)

log = structlog.get_logger()

LOOK_SECONDS = 1.0
"""Interval at which a waiting worker looks for requests."""
_MARGIN_SECONDS = 1.0
"""Time that a claim is given beyond its lapse, for a renewal that is under way."""


class ClaimedRequests:
    """Implements `retrain.ports.RequestQueue` on the topics of requests, outcomes and claims.

    Parameters
    ----------
    log:
        A log of its own: the thread that renews the claim uses it too.
    worker:
        Name of the worker.
    clock:
        Clock of the pauses between two looks.
    renews:
        Whether a thread renews the claim. Without one `renew` has to be called.
    """

    def __init__(
        self, records: RecordLog, *, worker: str, clock: Clock, renews: bool = True
    ) -> None:
        self._log = records
        self._worker = worker
        self._clock = clock
        self._renews = renews
        self._lock = threading.RLock()
        self._claims = Claims()
        self._requests: dict[str, RetrainRequest] = {}
        self._ended: set[str] = set()
        self._positions: dict[tuple[str, int], int] = {}
        self._last_seen: dict[str, tuple[Holder, float]] = {}
        self._held: tuple[RetrainRequest, Claim] | None = None
        self._lost = False
        self._closed = threading.Event()
        self._renewing: threading.Thread | None = None

    def take(self, timeout_seconds: float) -> RetrainRequest | None:
        """See `RequestQueue.take`.

        Raises
        ------
        TemporaryError
            When the log cannot be reached.
        """
        left = timeout_seconds
        while True:
            with self._lock:
                request = self._taken()
            if request is not None or left <= 0.0:
                return request
            pause = min(LOOK_SECONDS, left)
            self._clock.sleep(pause)
            left -= pause
            if left <= 0.0:
                return None

    def holds(self, request: RetrainRequest) -> bool:
        """See `RequestQueue.holds`."""
        with self._lock:
            if self._held is None or self._held[0].record_id != request.record_id:
                return False
            self._read_claims()
            return self._claims.holds(self._held[1])

    def lost(self) -> bool:
        """Whether the last renewal found that another worker has the request; asks no log."""
        return self._lost

    def done(self, request: RetrainRequest) -> bool:
        """See `RequestQueue.done`."""
        with self._lock:
            if not self.holds(request):
                self._held = None
                return False
            assert self._held is not None
            claim = self._held[1]
            self._append(claim, "done")
            self._read_claims()
            self._held = None
            return self._claims.done.get(request.record_id) == claim.claim_id

    def renew(self) -> None:
        """Renew the claim on the request that is held, if there is one.

        Raises
        ------
        TemporaryError
            When the log cannot be reached.
        """
        with self._lock:
            if self._held is None or self._lost:
                return
            self._read_claims()
            self._lost = not self._claims.holds(self._held[1])
            if not self._lost:
                self._append(self._held[1], "renew")

    def close(self) -> None:
        """Leave the queue; a request that is not done goes to another worker at once."""
        self._closed.set()
        with self._lock:
            held, self._held = self._held, None
            try:
                if held is not None:
                    self._append(held[1], "release")
            except TemporaryError as error:
                log.warning("queue.not_released", reason=str(error))
        if self._renewing is not None:
            self._renewing.join()

    def _taken(self) -> RetrainRequest | None:
        if self._held is not None and self.holds(self._held[0]):
            return self._held[0]
        self._held, self._lost = None, False
        try:
            self._read_requests()
            if not any(name not in self._ended for name in self._requests):
                return None
            self._read_outcomes()
            self._read_claims()
        except TemporaryError:
            self._last_seen.clear()  # nobody could renew a claim either
            raise
        request = next_request(self._requests.values(), ended=self._ended, busy=self._busy())
        return None if request is None else self._claimed(request)

    def _claimed(self, request: RetrainRequest) -> RetrainRequest | None:
        """The request when the claim on it counts; None when another worker was faster."""
        claim = Claim(
            act="take",
            claim_id=uuid.uuid4().hex,
            model=request.model,
            request_id=request.record_id,
            worker=self._worker,
        )
        self._append(claim, "take")
        self._read_claims()
        if not self._claims.holds(claim):
            return None
        if request.record_id in self._ended:  # its last worker was done just before
            self._append(claim, "release")
            return None
        self._held = (request, claim)
        if self._renews and self._renewing is None:
            self._renewing = threading.Thread(target=self._keep_renewing, daemon=True)
            self._renewing.start()
        return request

    def _busy(self) -> set[str]:
        """Models whose request a worker has that was heard of lately."""
        now, busy = self._clock.now(), set()
        for model, holder in self._claims.holders.items():
            known, since = self._last_seen.get(model, (None, now))
            if known != holder:
                since = now
            self._last_seen[model] = (holder, since)
            if now - since <= LAPSE_SECONDS + _MARGIN_SECONDS:
                busy.add(model)
        return busy

    def _keep_renewing(self) -> None:
        seconds = RENEW_SECONDS
        while not self._closed.wait(seconds):
            seconds = RENEW_SECONDS
            try:
                self.renew()
            except DriftlineError as error:
                log.warning("queue.not_renewed", reason=str(error))
                seconds = LOOK_SECONDS
            except Exception:  # a claim that is not renewed would be lost
                log.exception("queue.not_renewed")
                seconds = LOOK_SECONDS

    def _append(self, claim: Claim, act: Act) -> None:
        message = msgspec.json.encode(replace(claim, act=act))
        self._log.append_raw(RETRAIN_CLAIMS.name, [(claim.model.encode(), message)])

    def _read_claims(self) -> None:
        for message in self._new_messages(RETRAIN_CLAIMS):
            claim = decode_claim(message.value)
            if claim is None:
                log.warning("queue.invalid_claim", offset=message.offset)
                continue
            self._claims.apply(claim, message.time)
            if claim.request_id in self._claims.done:
                self._ended.add(claim.request_id)

    def _read_requests(self) -> None:
        for message in self._new_messages(RETRAIN_REQUESTS):
            record = record_in(message.value)
            if isinstance(record, RetrainRequest):
                self._requests[record.record_id] = record
            else:
                log.warning("queue.invalid_request", offset=message.offset)

    def _read_outcomes(self) -> None:
        for topic in (RETRAIN_FAILURES, MODEL_VERSIONS):
            for message in self._new_messages(topic):
                record = record_in(message.value)
                if isinstance(record, RetrainFailure | ModelVersion):
                    self._ended.add(record.request_id)

    def _new_messages(self, topic: Topic) -> Iterator[Message]:
        """The messages of a topic since the last call."""
        for span in self._log.spans(topic.name):
            key = (topic.name, span.partition)
            read = self._positions.get(key, span.start)
            start = read if span.start <= read <= span.stop else span.start
            for message in self._log.read(replace(span, start=start)):
                self._positions[key] = message.offset + 1
                yield message
            self._positions[key] = span.stop
