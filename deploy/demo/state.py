"""The state of a running demonstration, as checks, screen, report and charts read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from deploy.demo.control import Second, TrafficStatus
from deploy.demo.timeline import RecordTimeline


@dataclass(frozen=True, slots=True)
class Check:
    """One promise of a scenario and what was observed."""

    name: str
    promised: str
    seen: str
    passed: bool


@dataclass(slots=True, kw_only=True)
class DemoState:
    """Records so far, counts of the traffic process, and progress of the scenario."""

    scenario: str
    started_at: float
    now: float
    timeline: RecordTimeline
    traffic: TrafficStatus | None = None
    seconds: Sequence[Second] = ()
    """Client traffic by second."""
    waits_for: str = ""
    """What the current step waits for; empty when the run has ended."""
    decision_at: str = ""
    """Address of the page on which a person decides; empty before."""
    step: int = 0
    steps: int = 0
    end_offset: int | None = None
    """Number of events in the topic; known at the end."""
    commands: list[str] = field(default_factory=list)
    """Record ids of the commands that were sent."""
    delay_at: float | None = None
    """Time at which a model server was first made slow."""
    new_column_at: float | None = None
    """Time from which events carry an unannounced column."""
    verdict_seen_at: dict[str, float] = field(default_factory=dict)
    """Arrival time of each drift verdict, by record id. (Its own time is the end of its window.)"""
    checks: tuple[Check, ...] = ()
    """Results of the checks; filled at the end of the run."""
    ended_early: str = ""
    """Why the run ended before its last step; empty when it did not."""

    @property
    def shift_at(self) -> float | None:
        """Event time at which the shifted distribution began."""
        return self._phase_start("shifted")

    @property
    def concept_shift_at(self) -> float | None:
        """Event time at which the meaning of the label changed."""
        return self._phase_start("concept_shift")

    @property
    def broken_at(self) -> float | None:
        """Event time at which the broken producer began."""
        return self._phase_start("broken")

    def _phase_start(self, phase: str) -> float | None:
        return self.traffic.phase_since.get(phase) if self.traffic else None

    def seconds_between(self, start: float, stop: float) -> list[Second]:
        """The seconds of client traffic that overlap start … stop."""
        return [second for second in self.seconds if start - 1 < second.at <= stop]

    def client_counts(self, start: float, stop: float) -> tuple[int, int]:
        """Requests and errors of the clients in the seconds that overlap start … stop."""
        selected = self.seconds_between(start, stop)
        requests = sum(second.requests for second in selected)
        return requests, sum(second.errors for second in selected)

    def rollout_client_counts(self, version: int) -> tuple[int, int]:
        """Requests and errors of the clients during the whole rollout of `version`."""
        span = self.timeline.rollout_span(version, self.now)
        return self.client_counts(*span) if span else (0, 0)

    def seconds_on_slow_arm(self, arm: str, since: float) -> float | None:
        """Seconds from the first slow response of `arm` to the last request it received.

        None when no response was slow.
        """
        counts = [s.arms[arm] for s in self.seconds if arm in s.arms and s.at + 1 > since]
        slow_times = [count.first_slow_at for count in counts if count.first_slow_at >= since]
        if not slow_times:
            return None
        return max(count.last_at for count in counts) - min(slow_times)
