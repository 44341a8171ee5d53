"""The result of one statistical test, before it is compared with a threshold."""

from __future__ import annotations

import msgspec

from streaming.contracts.records import TestResult


class TestStatistic(msgspec.Struct, frozen=True, kw_only=True):
    """One test of one feature in one window. A struct, because a window makes thousands of them."""

    __test__ = False  # not a test case, whatever its name begins with

    name: str
    statistic: float
    """z of a linear score, chi-square of shape and category tests, or the observed share."""
    p: float
    """Two-sided p-value under sampling error and persistent error."""
    effect: float
    """Signed effect size in standard deviations."""
    n: int
    """Rows of the window that the test uses."""
    variance_ratio: float
    """Variance of the persistent error over the variance of the sampling error."""
    weight: float = 1.0
    """Share of the feature's false-alarm budget."""
    shares: tuple[float, ...] = ()
    """Null shares of an exact binomial test; several when the smallest p of several tests was
    taken. Empty for a test with a continuous p-value."""
    m: float = 0.0
    """Reference rows from which the null shares were estimated."""
    one_sided: bool = False
    """Whether only an increase of the share counts as a change."""
    exact_tail: bool = True
    """Whether the far tail of the p-value is exact enough for an alarm after a single window."""
    degrees: int = 0
    """Degrees of freedom of a chi-square test; 0 for other tests."""
    null_bias: float = 0.0
    """Expected squared effect without drift; a chi-square test's effect is corrected for it."""
    value: int | str | None = None
    """The single value that the test is about: its bucket on the grid, or the category."""
    weights: tuple[float, ...] = ()
    """Weights of the squares in a chi-square statistic; empty if all are 1 + `variance_ratio`."""
    partial: bool = False
    """Whether more changed than what the test is about. It then describes the change only where no
    other test does."""

    def result(self) -> TestResult:
        """The part of it that goes into a verdict record."""
        return TestResult(name=self.name, statistic=self.statistic, p=self.p, effect=self.effect)
