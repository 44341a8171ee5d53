"""How long a process has not answered, as far as its supervisor could tell: a pure decision.

A slow machine must not cause restarts. So the time in which the supervisor itself did not run is
not counted, nor the time in which something that the process depends on does not answer; and each
restart for this reason doubles the time until the next one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

PROBE_SECONDS = 3.0
"""Interval of the probes."""
LONGEST_GAP_SECONDS = 10.0
"""Probes further apart show that the supervisor itself was stopped or starved."""
CALM_SECONDS = 600.0
"""A process that answers for this long is treated as before its first restart."""
LARGEST_FACTOR = 16
"""Upper bound of the factor on that time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """State between two probes of one process."""

    seconds: float = 0.0
    """Time without an answer that counts."""
    probed_at: float | None = None
    """The last probe, in seconds of the monotonic clock."""
    factor: int = 1
    """Factor on the time after which it is restarted."""
    calm_since: float = 0.0
    """Since when it has answered every probe."""

    def too_long(self, limit_seconds: float) -> bool:
        """Whether the process should be restarted."""
        return self.seconds >= limit_seconds * self.factor


def after_probe(silence: Silence, *, answered: bool, excused: bool, now: float) -> Silence:
    """The state after a probe at `now`.

    Parameters
    ----------
    excused:
        Whether something that the process depends on does not answer either.

    >>> silent = after_probe(Silence(probed_at=10.0), answered=False, excused=False, now=13.0)
    >>> silent.seconds
    3.0
    >>> after_probe(silent, answered=False, excused=False, now=90.0).seconds  # itself stopped
    0.0
    """
    gap = 0.0 if silence.probed_at is None else now - silence.probed_at
    if answered:
        calm_since = now if silence.seconds or silence.probed_at is None else silence.calm_since
        calm = now - calm_since >= CALM_SECONDS
        return Silence(probed_at=now, calm_since=calm_since, factor=1 if calm else silence.factor)
    if excused or gap > LONGEST_GAP_SECONDS:
        return replace(silence, seconds=0.0, probed_at=now, calm_since=now)
    return replace(silence, seconds=silence.seconds + gap, probed_at=now, calm_since=now)


def after_restart(silence: Silence) -> Silence:
    """The state after the process was restarted because of it."""
    return Silence(factor=min(LARGEST_FACTOR, 2 * silence.factor))
