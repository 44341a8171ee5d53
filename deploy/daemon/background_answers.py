"""Compares answers in a thread of its own, so that the daemon decides while servers are asked.

Like references (`deploy.daemon.background_references`): nothing is stored about a comparison that
runs; after a crash the restored rollout asks for it again. A comparison that could not decide is
repeated after a pause, for as long as the rollout asks; its result stands until the next one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from serving.paired import not_compared
from streaming.contracts.clock import Clock, SystemClock
from streaming.contracts.records import ModelVersion, PairedComparison

log = structlog.get_logger(__name__)

Compare = Callable[[ModelVersion, int, Callable[[], bool]], PairedComparison]
"""Compares a version with a champion; ends early once the last argument returns True."""

PAUSE_SECONDS = 5.0
"""Between the end of a comparison that could not decide and the next one."""


@dataclass(slots=True, eq=False)
class _Run:
    """One comparison; its fields are written by its thread before `done` is set."""

    version: ModelVersion
    champion: int
    earlier: PairedComparison | None = None
    """Result of the comparison before it, of the same versions."""
    given_up: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)
    result: PairedComparison | None = None
    ended: float = 0.0

    def is_of(self, version: ModelVersion, champion: int) -> bool:
        """Whether it compares these versions."""
        return (self.version.record_id, self.champion) == (version.record_id, champion)

    @property
    def newest(self) -> PairedComparison | None:
        """The newest result, its own or the one before it."""
        return self.result if self.done.is_set() else self.earlier


@dataclass(slots=True, kw_only=True)
class BackgroundAnswers:
    """Implements `serving.ports.AnswerComparer` for one model over a function that blocks.

    At most one comparison runs that is still needed. One that was given up ends at its next batch,
    and its result is never taken for that of other versions.
    """

    run: Compare
    clock: Clock = field(default_factory=SystemClock)
    _current: _Run | None = None

    def compare(self, version: ModelVersion, champion: int) -> None:
        """See `serving.ports.AnswerComparer.compare`."""
        current = self._current
        if current is None or not current.is_of(version, champion):
            self.close()
            self._start(_Run(version=version, champion=champion))
            return
        if not current.done.is_set() or current.result is None:
            return
        if current.result.outcome in ("pass", "fail"):
            return
        if self.clock.now() - current.ended >= PAUSE_SECONDS:
            self._start(_Run(version=version, champion=champion, earlier=current.result))

    def compared(self, version: ModelVersion, champion: int) -> PairedComparison | None:
        """See `serving.ports.AnswerComparer.compared`."""
        current = self._current
        if current is None or not current.is_of(version, champion):
            return None
        return current.newest

    def close(self) -> None:
        """End the comparison that runs, if any."""
        if self._current is not None:
            self._current.given_up.set()

    def _start(self, run: _Run) -> None:
        self._current = run
        # a daemon thread: a comparison never holds up the end of the process
        threading.Thread(
            target=self._finish, args=(run,), name=f"answers-{run.version.model}", daemon=True
        ).start()

    def _finish(self, run: _Run) -> None:
        try:
            run.result = self.run(run.version, run.champion, run.given_up.is_set)
        except Exception as error:  # noqa: BLE001 - an outcome of its own, and tried again
            what = f"{error}" or type(error).__name__
            run.result = not_compared(f"The answers could not be compared: {what}")
        run.ended = self.clock.now()
        run.done.set()
        log.info(
            "answers.compared",
            model=run.version.model,
            version=run.version.version,
            outcome=run.result.outcome,
            reason=run.result.reason,
        )
