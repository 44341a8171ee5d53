"""One look at the whole demonstration: what the checks, the screen and the report work on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from deploy.demo.control import Second, TrafficStatus
from deploy.demo.timeline import Story


@dataclass(slots=True, kw_only=True)
class View:
    """The story of the records, the traffic's own counts, and where the scenario stands."""

    scenario: str
    started_at: float
    now: float
    story: Story
    traffic: TrafficStatus | None = None
    seconds: Sequence[Second] = ()
    waits_for: str = ""
    """The step in progress, in words."""
    step: int = 0
    steps: int = 0
    offsets: int | None = None
    """End offsets of the events topic; known at the end."""
    asked: list[str] = field(default_factory=list)
    """record_ids of the commands that were sent."""
    marks: dict[str, float] = field(default_factory=dict)
    """When the scenario did something: ``fault`` or ``column``."""

    @property
    def shift_at(self) -> float | None:
        """When the shifted world began, in event time."""
        return self.traffic.phase_since.get("shifted") if self.traffic else None

    @property
    def turned_at(self) -> float | None:
        """When tips changed their meaning, in event time."""
        return self.traffic.phase_since.get("turned") if self.traffic else None

    @property
    def broken_at(self) -> float | None:
        """When the careless producer began, in event time."""
        return self.traffic.phase_since.get("broken") if self.traffic else None

    def clients(self, start: float, stop: float) -> tuple[int, int]:
        """Requests and errors of the clients in the seconds that touch start … stop."""
        found = [second for second in self.seconds if start - 1 < second.at <= stop]
        return sum(second.requests for second in found), sum(second.errors for second in found)

    def rollout_clients(self, version: int) -> tuple[int, int]:
        """Requests and errors over the whole rollout of `version`."""
        span = self.story.rollout_span(version, self.now)
        return self.clients(*span) if span else (0, 0)

    def slow_to_back(self, arm: str, since: float) -> float | None:
        """Seconds from the first slow answer of `arm` to the last request that went there.

        None when no answer was slow.
        """
        counts = [s.arms[arm] for s in self.seconds if arm in s.arms and s.at + 1 > since]
        slow = [count.first_slow_at for count in counts if count.first_slow_at >= since]
        if not slow:
            return None
        return max(count.last_at for count in counts) - min(slow)
