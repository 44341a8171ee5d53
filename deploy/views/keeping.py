"""What the watchdog of a stream job has done and does, in words and as data."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

import msgspec

from deploy.app.submitted_jobs import SubmittedJob
from deploy.config.units import format_time


def watchdog_text(job: SubmittedJob | None) -> str:
    """One sentence; empty when there is nothing to tell.

    >>> from deploy.app.submitted_jobs import Keeping
    >>> done = Keeping(resubmits=2, resubmitted_at=0.0, resubmitted_from="/a/b/chk-17")
    >>> watchdog_text(SubmittedJob(keeping=done))
    'resubmitted 2 times, last 1970-01-01 00:00:00 UTC from chk-17'
    """
    if job is None:
        return ""
    keeping, parts = job.keeping, []
    if keeping.resubmits:
        times = "once" if keeping.resubmits == 1 else f"{keeping.resubmits} times, last"
        point = PurePath(keeping.resubmitted_from).name or "the beginning"
        parts.append(f"resubmitted {times} {format_time(keeping.resubmitted_at)} from {point}")
    if job.expected and keeping.note:
        parts.append(keeping.note)
    if job.expected and keeping.last_error:
        parts.append(f"last failure: {keeping.last_error}")
    return "; ".join(parts)


def job_as_data(job: SubmittedJob | None) -> dict[str, Any]:
    """The key ``watchdog`` with what is remembered, for ``--json``; empty when there is nothing."""
    return {} if job is None else {"watchdog": msgspec.to_builtins(job)}
