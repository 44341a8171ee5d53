"""The settings of the paired comparison before a canary's first weight, with their reasons.

A retrain after a shift changes answers, and should. In the demonstration's shift the rank
correlation between the two correct models is 0.02 over all trips and -0.46 among card payers. So
the defaults fail a version only for what no correct retrain does; how far answers may move is a
limit that a model's owner can set.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from streaming.contracts.errors import ConfigurationError

Undecided = Literal["approve", "roll-back", "continue"]
"""What follows a comparison that could not decide.

* ``approve``: an engineer decides whether clients reach the version.
* ``roll-back``: the rollout ends.
* ``continue``: the canary gets its first weight.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowRules:
    """How the answers of champion and canary to the same requests are compared.

    Raises
    ------
    ConfigurationError
        When a value cannot work.
    """

    enabled: bool = True
    """Whether the answers are compared before the first weight."""
    rows: int = 1000
    """Recent events that both versions answer. The 99 % interval of a rank correlation is then at
    most 0.09 wide to each side, which tells 0 from `rank_correlation`."""
    windows: int = 10
    """The events come from this many of the last windows, and from as long before them as labels
    take, evenly spread; for a version that a shift caused only from the shift on."""
    min_rows: int = 200
    """With fewer answered rows the comparison is insufficient."""
    threshold: float = 0.5
    """An answer of at least this much is the decision yes."""
    rank_correlation: float = 0.2
    """Smallest rank correlation of the answers: a version below it orders the requests in another
    way. Labels then decide whether its way is right; without labels a version that was retrained
    because of drift or lost quality is left to `undecided`, and any other one fails."""
    confidence: float = 0.99
    """Level of the intervals of rank correlation and AUC."""
    auc_fall: float = 0.1
    """Fails when the canary's AUC on the labelled rows is proven to be lower than the champion's by
    more than this. A blessed version was no worse than the champion on its evaluation."""
    min_labels: int = 100
    """Labelled rows, with both labels among them, that the labels' check needs."""
    unanswered: float = 0.01
    """Share of the rows that the canary may fail to answer beyond those of the champion."""
    agreement: float | None = None
    """Smallest share of equal decisions; None: shown only."""
    mean_difference: float | None = None
    """Largest absolute mean difference of the answers; None: shown only."""
    ks: float | None = None
    """Largest Kolmogorov-Smirnov distance of the answers; None: shown only."""
    slice_agreement: float | None = None
    """Smallest share of equal decisions in any slice of `min_slice_rows`; None: shown only."""
    min_slice_rows: int = 30
    """Slices with fewer rows are not shown."""
    slices: tuple[str, ...] | None = None
    """Features whose values form slices; None: those of the model's evaluation."""
    worst: int = 20
    """Number of rows with the largest differences that are kept."""
    batch: int = 32
    """Rows in one request: small, so that a request of a client never waits long behind it."""
    batches_per_second: float = 20.0
    """Largest rate of requests to each server."""
    timeout_seconds: float = 5.0
    """Time limit of one request; a failed request is tried once more."""
    deadline_seconds: float = 120.0
    """After this long without a result that decides, `undecided` applies."""
    undecided: Undecided = "approve"
    """What follows when too few requests or an error left it undecided: not proven is not good,
    and a person may know more."""

    def __post_init__(self) -> None:
        positive = ("rows", "windows", "min_rows", "batch", "batches_per_second", "min_labels")
        for name in (*positive, "timeout_seconds", "deadline_seconds"):
            if not getattr(self, name) > 0:
                raise ConfigurationError(f"shadow.{name} is {getattr(self, name)}; above 0 works.")
        if self.min_rows > self.rows:
            raise ConfigurationError(
                f"shadow.min_rows {self.min_rows} exceeds shadow.rows {self.rows}, so that no "
                "comparison could ever pass."
            )
        if not -1.0 <= self.rank_correlation < 1.0:
            raise ConfigurationError(
                f"shadow.rank_correlation is {self.rank_correlation}; it must be from -1 to 1."
            )
        if not 0.5 <= self.confidence < 1.0:
            raise ConfigurationError(
                f"shadow.confidence is {self.confidence}; it must be from 0.5 to below 1."
            )
