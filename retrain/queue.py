"""The retrains that are queued or running, and what each of them waits for. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Literal

import msgspec

from streaming.contracts.records import Cause, RetrainProgress, RetrainRequest


class QueuedRetrain(msgspec.Struct, frozen=True, kw_only=True):
    """A request without an outcome."""

    model: str
    request_id: str
    cause: Cause
    state: Literal["queued", "running", "waiting", "overdue"]
    """``waiting``: an attempt has begun and waits for an engine. ``overdue``: its deadline has
    passed, and no worker has said so."""
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
    """
    latest = {report.request_id: report for report in progress}
    open_requests = {r.record_id: r for r in requests if r.record_id not in ended}
    ordered = sorted(open_requests.values(), key=lambda r: (r.at, r.record_id))
    in_time = [r for r in ordered if now <= r.deadline]
    busy = [latest[r.record_id] for r in in_time if r.record_id in latest]
    ahead = [r for r in in_time if r.record_id not in latest]
    return tuple(_entry(r, latest.get(r.record_id), busy, ahead, now) for r in ordered)


def _entry(
    request: RetrainRequest,
    report: RetrainProgress | None,
    busy: Sequence[RetrainProgress],
    queued: Sequence[RetrainRequest],
    now: float,
) -> QueuedRetrain:
    state: Literal["queued", "running", "waiting", "overdue"]
    if now > request.deadline:
        state = "overdue"
        words = f"its deadline passed {now - request.deadline:.0f} s ago; no worker has taken it"
        if report is not None:
            words = f"its deadline passed in {report.component}; a worker will end it"
    elif report is None:
        state, words = "queued", _free_worker(request, busy, queued)
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
        worker=report.worker if report is not None else "",
        attempt=report.attempt if report is not None else 0,
    )


def _free_worker(
    request: RetrainRequest, busy: Sequence[RetrainProgress], queued: Sequence[RetrainRequest]
) -> str:
    """What a request that no worker has begun waits for."""
    ahead = [r.model for r in queued if (r.at, r.record_id) < (request.at, request.record_id)]
    words = "a free worker"
    if busy:
        words += f" ({', '.join(sorted({report.model for report in busy}))} in training)"
    if ahead:
        words += f"; {', '.join(ahead)} before it"
    return words
