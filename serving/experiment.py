"""A/B experiments by user: assignment to an arm, on a schedule. Not wired into serving yet.

Canaries are split by request and judged on requests. Experiments are split by user and must be
judged on users, because the requests of one user are not independent: request-level tests on sticky
users give up to 33 % false alarms. Each experiment has a new salt, so that the same users are not
always in the treatment arm. A growing share only adds users to an arm and never moves one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

from serving.evalues import decided, log_sample_ratio

Side = Literal["control", "treatment"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """One A/B experiment on a schedule.

    Parameters
    ----------
    salt:
        Text that is unique to the experiment.
    share:
        Share of the users in the treatment arm, at most ½. The control arm has the same share; all
        other users do not take part.
    start, stop:
        Seconds since 1970; no user takes part outside this interval.
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
    """A constant number in [0, 1) for the user and salt, uniform over users.

    >>> bucket("a", "", "user-1") == bucket("a", "", "user-1") != bucket("b", "", "user-1")
    True
    """
    key = f"{salt}|{tenant}|{user}".encode()
    return int.from_bytes(hashlib.sha256(key).digest()[:8], "big") / 2**64


def assign(experiment: Experiment, *, user: str, now: float, tenant: str = "") -> Side | None:
    """The user's arm at this time; None for a user who does not take part.

    >>> test = Experiment(salt="spring", share=0.5, start=0.0, stop=100.0)
    >>> assign(test, user="user-1", now=50.0) in ("control", "treatment")
    True
    >>> assign(test, user="user-1", now=100.0) is None
    True
    """
    if not user or not experiment.start <= now < experiment.stop:
        return None
    position = bucket(experiment.salt, tenant, user)
    if position < experiment.share:
        return "treatment"
    return "control" if position >= 1.0 - experiment.share else None


def users_evidence(treated: int, control: int) -> float:
    """Log e-value of an unequal split of users; alarm at log 1,000. Count users, not requests.

    >>> users_evidence(5000, 5050) < 0 < users_evidence(4500, 5500)
    True
    """
    return decided(log_sample_ratio(treated, treated + control, 0.5))
