"""Builds references in a thread of its own, so that the daemon decides while one is built.

A reference reads weeks of windows. In a step of the daemon, which runs one step at a time for all
models, that would hold up every other model's records, and a canary's ejection. So `publish` only
starts the build and `published` gives its result at a later tick; the rollout waits for it in its
phase. Nothing is stored about a build that runs: after a crash the restored rollout still asks for
its reference, and the build starts again. A second version of the same model ends the build of the
first one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from serving.ports import PublishedReference
from serving.rules import RolloutRules
from streaming.contracts.clock import Clock, SystemClock
from streaming.contracts.errors import UnavailableError
from streaming.contracts.records import Artifact, ModelVersion

log = structlog.get_logger(__name__)

BuildReference = Callable[[ModelVersion, Callable[[], bool]], Artifact | None]
"""Builds and stores the reference of a version, None when it has no windows; ends early with an
error once the second argument returns True."""

RETRY_SECONDS = 5.0
"""Pause after a build that failed."""


@dataclass(slots=True, eq=False)
class _Build:
    """One build; its fields are written by its thread before `done` is set."""

    version: ModelVersion
    started: float
    given_up: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)
    result: PublishedReference | None = None
    problem: str = ""
    ended: float = 0.0
    moved: float = 0.0
    """When it last read something: it asks before each message whether it is given up."""


@dataclass(slots=True, kw_only=True)
class BackgroundReferences:
    """Implements `serving.ports.ReferencePublisher` for one model over a function that blocks.

    At most one build runs that is still wanted. A build that was given up ends at the next message
    it reads, and its result is never taken for that of another version.
    """

    build: BuildReference
    clock: Clock = field(default_factory=SystemClock)
    idle_seconds: float = RolloutRules().reference_seconds
    """A build that reads nothing for this long is started again. One that goes on is never given
    up, however long it takes: its promotion does not wait for ever, and gets it later."""
    _current: _Build | None = None

    def published(self, version: ModelVersion) -> PublishedReference | None:
        """See `serving.ports.ReferencePublisher.published`."""
        current = self._current
        if current is None or current.version.record_id != version.record_id:
            return None
        return current.result if current.done.is_set() else None

    def publish(self, version: ModelVersion) -> Artifact | None:
        """Start the build unless it runs; its artifact once it is done, else None.

        Raises
        ------
        UnavailableError
            When the build has failed or does nothing; a later call starts it again.
        """
        current = self._current
        if current is None or current.version.record_id != version.record_id:
            self._give_up()
            self._start(version)
            return None
        if not current.done.is_set():
            self._check_time(current)
            return None
        if current.result is not None:
            return current.result.artifact
        if self.clock.now() - current.ended >= RETRY_SECONDS:
            self._start(version)
            return None
        raise UnavailableError(
            f"The reference of version {version.version} could not be built: {current.problem}",
            delay_seconds=RETRY_SECONDS,
        )

    def close(self) -> None:
        """End the build that runs, if any."""
        self._give_up()

    def _check_time(self, current: _Build) -> None:
        seconds = self.clock.now() - current.moved
        if seconds < self.idle_seconds:
            return
        self._give_up()
        self._start(current.version)
        raise UnavailableError(
            f"The build of version {current.version.version}'s reference has read nothing for "
            f"{seconds:.0f} s; it starts again."
        )

    def _give_up(self) -> None:
        if self._current is not None:
            self._current.given_up.set()

    def _start(self, version: ModelVersion) -> None:
        now = self.clock.now()
        self._current = build = _Build(version=version, started=now, moved=now)
        # a daemon thread: a build never holds up the end of the process
        threading.Thread(
            target=self._run, args=(build,), name=f"reference-{version.model}", daemon=True
        ).start()

    def _run(self, build: _Build) -> None:
        version = build.version

        def given_up() -> bool:
            build.moved = self.clock.now()
            return build.given_up.is_set()

        try:
            artifact = self.build(version, given_up)
            build.result = PublishedReference(version=version.version, artifact=artifact)
        except Exception as error:  # noqa: BLE001 - reported at the next tick, which tries again
            build.problem = f"{error}" or type(error).__name__
        build.ended = self.clock.now()
        build.done.set()
        log.info(
            "reference.built" if build.result else "reference.failed",
            model=version.model,
            version=version.version,
            seconds=round(build.ended - build.started, 1),
            problem=build.problem,
        )
