"""How far a replay has come: one line that is redrawn on a terminal, else one every ten seconds."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType

from deploy.project.replay import ReplayCounts, ReplayPlan
from deploy.views.output import stderr

EVERY_SECONDS = 10.0


def start_line(model: str, file: Path, *, rows: int, begun: int) -> str:
    """What is played; `begun` events were sent before an interruption."""
    after = f", going on after {begun} events" if begun else ""
    return f"{file}: {rows} rows for {model}{after}."


def describe(counts: ReplayCounts, plan: ReplayPlan) -> str:
    """The counts in words."""
    of_all = "" if plan.seconds else f" of {plan.total}"
    served = "no version is live yet"
    if counts.live or counts.requests:
        failed = f", {counts.errors} failed ({counts.first_error})" if counts.errors else ""
        served = f"{counts.requests} requests{failed}, {counts.predictions} predictions written"
    return f"{counts.events}{of_all} events, {counts.labels} labels; {served}"


class Progress(AbstractContextManager["Progress"]):
    """Shows the counts on stderr."""

    def __init__(self, plan: ReplayPlan) -> None:
        self._plan = plan
        self._status = stderr.status("starting") if stderr.is_terminal else None
        self._shown_at = time.monotonic()
        self._last = ""

    def __enter__(self) -> Progress:
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._status is not None:
            self._status.stop()
        if self._last:
            stderr.print(self._last, soft_wrap=True)

    def show(self, counts: ReplayCounts) -> None:
        """Show the counts, at most every ten seconds where there is no terminal."""
        self._last = describe(counts, self._plan)
        if self._status is not None:
            self._status.update(self._last)
        elif time.monotonic() - self._shown_at >= EVERY_SECONDS:
            self._shown_at = time.monotonic()
            stderr.print(self._last, soft_wrap=True)
