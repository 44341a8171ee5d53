"""Experiments by user: who belongs to which arm, for how long.

Canaries split by request and are judged on requests; experiments split by user and must be judged
on users, for the requests of one user are not independent (request-level tests on sticky users
give up to 33 % false alarms). The salt is new for each experiment, so that nobody is always the
guinea pig, and a growing share only adds users, it never swaps them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

from serving.evalues import decided, log_sample_ratio

Side = Literal["control", "treatment"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """One A/B test on a schedule.

    Parameters
    ----------
    salt:
        New for each experiment.
    share:
        Part of the users that gets the treatment, in [0, 1]; as many get the control, the rest
        takes no part. At most ½.
    start, stop:
        Seconds since 1970; outside nobody takes part.
    """

    salt: str
    share: float
    start: float
    stop: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.share <= 0.5:
            raise ValueError(f"The share {self.share} must lie between 0 and 0.5.")
        if self.stop <= self.start:
            raise ValueError(f"The experiment ends at {self.stop}, not after {self.start}.")


def bucket(salt: str, tenant: str, user: str) -> float:
    """A number in [0, 1) that is the user's for ever under this salt, uniform over users.

    >>> bucket("a", "", "user-1") == bucket("a", "", "user-1") != bucket("b", "", "user-1")
    True
    """
    text = f"{salt}|{tenant}|{user}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") / 2**64


def assign(experiment: Experiment, *, user: str, now: float, tenant: str = "") -> Side | None:
    """The user's side now, or None for those who take no part.

    >>> test = Experiment(salt="spring", share=0.5, start=0.0, stop=100.0)
    >>> assign(test, user="user-1", now=50.0) in ("control", "treatment")
    True
    >>> assign(test, user="user-1", now=100.0) is None
    True
    """
    if not user or not experiment.start <= now < experiment.stop:
        return None
    place = bucket(experiment.salt, tenant, user)
    if place < experiment.share:
        return "treatment"
    return "control" if place >= 1.0 - experiment.share else None


def users_evidence(treated: int, control: int) -> float:
    """log E that the users were not split equally; alarm at log 1,000. Count users, not requests.

    >>> users_evidence(5000, 5050) < 0 < users_evidence(4500, 5500)
    True
    """
    return decided(log_sample_ratio(treated, treated + control, 0.5))
