"""The protective check of the version that carries most of the traffic, after its change-over.

The gates judge equal arms. This check watches the arm beside them that carries everything else, so
that a server which dies or hangs there is noticed within seconds. It takes back; it never passes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from msgspec.structs import replace

from serving.ports import Arm, ArmCounters, Scrape
from serving.rules import EjectionRules
from serving.state import ArmWatch

RESTART_SLACK_SECONDS = 3.0


def watch_arm(
    watch: ArmWatch, scrapes: Iterable[Scrape], *, arm: Arm, since: float, rules: EjectionRules
) -> ArmWatch:
    """Add scrapes to the check of an arm; another arm than before starts afresh.

    Parameters
    ----------
    watch:
        The check so far.
    scrapes:
        Oldest first; those up to `since`, and those that were seen already, are ignored.
    arm:
        The arm that carries the candidate's traffic.
    since:
        When the present split was confirmed, seconds since 1970.
    rules:
        The limits of a check.
    """
    if watch.arm != arm:
        watch = ArmWatch(arm=arm)
    for scrape in scrapes:
        last = watch.last_scrape
        if scrape.at < since or (last is not None and scrape.at <= last.at):
            continue
        if last is None or _restarted(last, scrape):
            watch = replace(watch, last_scrape=scrape)
            continue
        watch = _check(watch, last, scrape, rules)
    return watch


def is_failing(watch: ArmWatch, rules: EjectionRules) -> bool:
    """Whether the arm fails so often, or so much more often than the control, that it goes back."""
    return watch.bad_beside_healthy >= rules.bad_checks or watch.bad_checks >= rules.bake_bad_checks


def _check(watch: ArmWatch, last: Scrape, scrape: Scrape, rules: EjectionRules) -> ArmWatch:
    """Pool since the last decided check until there are enough requests to decide."""
    live = _difference(last, scrape, watch.arm)
    if live is None:
        return replace(watch, last_scrape=scrape)
    if scrape.at - last.at < rules.min_seconds:
        return watch
    if live.requests < rules.min_requests:
        if scrape.at - last.at < rules.max_seconds:
            return watch
        return replace(watch, last_scrape=scrape)
    control = _difference(last, scrape, "control")
    limits, beside = (rules.bad_share, rules.together_share), control.bad if control else (0, 0)
    if not any(
        bad >= limit * live.requests and not _is_bad(control, of_control, rules)
        for bad, limit, of_control in zip(live.bad, limits, beside, strict=True)
    ):
        return replace(watch, last_scrape=scrape, bad_checks=0, bad_beside_healthy=0)
    healthy = control is not None and control.requests >= 1
    return replace(
        watch,
        last_scrape=scrape,
        bad_checks=watch.bad_checks + 1,
        bad_beside_healthy=watch.bad_beside_healthy + 1 if healthy else 0,
    )


@dataclass(frozen=True, slots=True)
class _Change:
    """Requests of an arm between two scrapes."""

    requests: int
    bad: tuple[int, int]
    """Those that failed or those that were slow, whichever are more; and both together: of a server
    that answers late, another one answers some requests, which are errors, and the others are slow.
    """


def _is_bad(control: _Change | None, bad: int, rules: EjectionRules) -> bool:
    """Whether the control has troubles of its own, so that the version is not to blame."""
    if control is None or control.requests < 1:
        return False
    return bad > rules.max_control_share * control.requests and bad >= 2


def _difference(before: Scrape, after: Scrape, arm: Arm) -> _Change | None:
    """What an arm did between two scrapes; None after a reset."""
    old, new = _counters(before, arm), _counters(after, arm)
    requests = new.requests - old.requests
    failed, slow = max(0, new.errors - old.errors), max(0, new.slow - old.slow)
    if requests < 0 or new.timed < old.timed:
        return None
    return _Change(requests, (max(failed, slow), min(requests, failed + slow)))


def _counters(scrape: Scrape, arm: Arm) -> ArmCounters:
    for counters in scrape.arms:
        if counters.arm == arm:
            return counters
    return ArmCounters(arm=arm, requests=0, errors=0, timed=0, slow=0)


def _restarted(before: Scrape, after: Scrape) -> bool:
    shift = (after.at - after.uptime_seconds) - (before.at - before.uptime_seconds)
    return shift > RESTART_SLACK_SECONDS
