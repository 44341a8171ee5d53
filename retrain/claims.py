"""Who works on which request: claims on the log, and the rule by which they are read. Pure.

Requests of different models are worked on side by side, those of one model one after another. A
worker that wants a model's request appends a claim; the first one counts, because every reader
folds the same messages in the same order. While it works, the worker renews its claim. One that is
not renewed for `LAPSE_SECONDS` lapses, and the next claim takes the model over. All times are those
that the broker gave the messages, so no clock of a worker decides.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from streaming.contracts.log import RecordLog
from streaming.contracts.records import RetrainRequest
from streaming.contracts.topics import RETRAIN_CLAIMS

RENEW_SECONDS = 2.5
"""Interval at which a worker renews its claim."""
LAPSE_SECONDS = 10.0
"""Time without a renewal after which another worker may have the model's requests."""


Act = Literal["take", "renew", "release", "done"]
"""What a worker says: it wants the request; it still works on it; it leaves the request to others;
the outcome of the request is durable."""


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A message of a worker about the request that it works on or wants to work on."""

    act: Act
    claim_id: str
    """Id of the claim: all messages of one worker on one request have the same."""
    model: str
    """Name of the request's model."""
    request_id: str
    """record_id of the request."""
    worker: str
    """Name of the worker."""


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """The worker that has a model's request."""

    claim: Claim
    renewed_at: float
    """Time of its last message, seconds since 1970."""


@dataclass(slots=True)
class Claims:
    """The claims on the log up to a message.

    >>> claims = Claims()
    >>> claim = Claim(act="take", claim_id="1", model="taxi", request_id="r", worker="w1")
    >>> claims.apply(claim, 100.0)
    >>> claims.apply(msgspec.structs.replace(claim, claim_id="2", worker="w2"), 105.0)
    >>> claims.holders["taxi"].claim.worker
    'w1'
    >>> claims.apply(msgspec.structs.replace(claim, claim_id="2", worker="w2"), 120.0)
    >>> claims.holders["taxi"].claim.worker
    'w2'
    """

    holders: dict[str, Holder] = field(default_factory=dict)
    """Model → the worker that has its request."""
    done: dict[str, str] = field(default_factory=dict)
    """record_id of a request that is done → the claim under which it was."""
    _known: set[str] = field(default_factory=set)
    """Models of which a message was read."""

    def apply(self, claim: Claim, at: float) -> None:
        """Add the next message of the log, which the broker received at `at`."""
        model, holder = claim.model, self.holders.get(claim.model)
        own = holder is not None and holder.claim.claim_id == claim.claim_id
        if claim.act == "take":
            free = holder is None or at - holder.renewed_at > LAPSE_SECONDS
            own = own or free
        elif claim.act == "renew" and model not in self._known:
            own = True  # the log no longer has its first message
        self._known.add(model)
        if not own:
            return
        if claim.act in ("take", "renew"):
            self.holders[model] = Holder(claim=claim, renewed_at=at)
            return
        del self.holders[model]
        if claim.act == "done":
            self.done[claim.request_id] = claim.claim_id

    def holds(self, claim: Claim) -> bool:
        """Whether this claim is the one that counts for its model."""
        holder = self.holders.get(claim.model)
        return holder is not None and holder.claim.claim_id == claim.claim_id


def decode_claim(value: bytes | None) -> Claim | None:
    """The claim in a message; None when there is none."""
    try:
        return msgspec.json.decode(value or b"", type=Claim)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def claims_on(log: RecordLog, *, since: float) -> Claims:
    """The claims on a log since a time; a holder is in them if it was heard of since then."""
    claims = Claims()
    for span in log.spans(RETRAIN_CLAIMS.name, since=since):
        for message in log.read(span):
            if (claim := decode_claim(message.value)) is not None:
                claims.apply(claim, message.time)
    return claims


def next_request(
    requests: Iterable[RetrainRequest], *, ended: Collection[str], busy: Collection[str]
) -> RetrainRequest | None:
    """The request to claim next: the oldest one, of the models that no worker is busy with.

    The trigger has at most one request of a model in flight, so the oldest first is fair: a model
    waits for one request of each other model at most.

    Parameters
    ----------
    requests:
        The requests on the log.
    ended:
        record_ids of those that have an outcome.
    busy:
        Models whose request another worker has.
    """
    waiting = (r for r in requests if r.record_id not in ended and r.model not in busy)
    return min(waiting, key=lambda r: (r.at, r.record_id), default=None)
