"""The retrains that are queued or running, and what each of them waits for. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from retrain.claims import LAPSE_SECONDS, Holder
from streaming.contracts.records import Cause, RetrainProgress, RetrainRequest


class QueuedRetrain(msgspec.Struct, frozen=True, kw_only=True):
    """A request without an outcome."""

    model: str
    request_id: str
    cause: Cause
    state: Literal["queued", "running", "waiting", "overdue"]
    """``waiting``: an attempt has begun and waits for an engine, or for a worker because its own is
    gone. ``overdue``: its deadline has passed, and no worker has said so."""
    waits_for: str
    """What it does or waits for, in words."""
    since: float
    """Time of the request, seconds since 1970."""
    deadline: float
    """Time after which it is not served, seconds since 1970."""
    worker: str = ""
    """Name of the worker that serves it; empty while none does."""
    attempt: int = 0
    """Number of the attempt; 0 while there is none."""


def queue_of(
    requests: Iterable[RetrainRequest],
    progress: Iterable[RetrainProgress],
    ended: Collection[str],
    now: float,
    holders: Mapping[str, Holder] | None = None,
) -> tuple[QueuedRetrain, ...]:
    """The retrains in flight, oldest first.

    Parameters
    ----------
    requests:
        The requests on the log.
    progress:
        The reports of the workers, oldest first.
    ended:
        record_ids of the requests that have an outcome.
    now:
        Seconds since 1970.
    holders:
        Model → the worker that has its request; None where that is not known.
    """
    latest = {report.request_id: report for report in progress}
    open_requests = {r.record_id: r for r in requests if r.record_id not in ended}
    ordered = sorted(open_requests.values(), key=lambda r: (r.at, r.record_id))
    in_time = [r for r in ordered if now <= r.deadline]
    held = {h.claim.request_id: h for h in (holders or {}).values()}
    begun = {r.record_id for r in in_time if r.record_id in latest or r.record_id in held}
    others = _Others(
        busy=[r for r in in_time if r.record_id in begun],
        queued=[r for r in in_time if r.record_id not in begun],
    )
    return tuple(
        _entry(r, latest.get(r.record_id), held.get(r.record_id), others, now) for r in ordered
    )


class _Others(msgspec.Struct, frozen=True, kw_only=True):
    """The retrains that a worker has begun, and those that none has; oldest first."""

    busy: Sequence[RetrainRequest]
    queued: Sequence[RetrainRequest]


def _entry(
    request: RetrainRequest,
    report: RetrainProgress | None,
    holder: Holder | None,
    others: _Others,
    now: float,
) -> QueuedRetrain:
    state: Literal["queued", "running", "waiting", "overdue"]
    if now > request.deadline:
        state = "overdue"
        words = f"its deadline passed {now - request.deadline:.0f} s ago; no worker has taken it"
        if report is not None:
            words = f"its deadline passed in {report.component}; a worker will end it"
    elif holder is not None and now - holder.renewed_at > 2 * LAPSE_SECONDS:
        state = "waiting"
        words = (
            f"another worker: {holder.claim.worker} was last heard of "
            f"{now - holder.renewed_at:.0f} s ago"
        )
    elif report is None and holder is not None:
        state, words = "running", "its worker has just begun"
    elif report is None:
        state, words = "queued", _what_it_waits_for(request, others)
    elif report.state == "waiting":
        state, words = "waiting", f"{report.component} waits: {report.detail}"
    else:
        state = "running"
        step = f"step {report.step} of {report.steps}"
        words = f"{report.component} {report.state}, {step}, {now - report.at:.0f} s ago"
    return QueuedRetrain(
        model=request.model,
        request_id=request.record_id,
        cause=request.cause,
        state=state,
        waits_for=words,
        since=request.at,
        deadline=request.deadline,
        worker=holder.claim.worker if holder else report.worker if report else "",
        attempt=report.attempt if report is not None else 0,
    )


def _what_it_waits_for(request: RetrainRequest, others: _Others) -> str:
    """What a request that no worker has begun waits for."""
    if any(busy.model == request.model for busy in others.busy):
        return f"the retrain of {request.model} that is under way"
    key = (request.at, request.record_id)
    ahead = dict.fromkeys(r.model for r in others.queued if (r.at, r.record_id) < key)
    words = "a free worker"
    if others.busy:
        words += f" ({', '.join(sorted({r.model for r in others.busy}))} in training)"
    if ahead:
        words += f"; {', '.join(ahead)} before it"
    return words
