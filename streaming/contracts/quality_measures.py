"""Names of the quality measures for people: which one stands for a verdict, and what is better."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from streaming.contracts.quality_records import QualityMetric, QualityVerdict

HEADLINES = ("auc", "macro_f1", "poisson_deviance", "pinball", "rmse")
"""Measures that stand for a verdict; a verdict has the first of them that its task measures."""
_TITLES = {
    "auc": "AUC",
    "macro_f1": "macro F1",
    "poisson_deviance": "Poisson deviance",
    "pinball": "pinball loss",
    "rmse": "RMSE",
}
_LOWER_IS_BETTER = frozenset(("poisson_deviance", "pinball", "rmse"))


def headline_of(metrics: Sequence[QualityMetric]) -> QualityMetric | None:
    """The metric that stands for a verdict; None when it was not measured."""
    named = {metric.name: metric for metric in metrics}
    return next((named[name] for name in HEADLINES if name in named), None)


def headline_name(verdicts: Iterable[QualityVerdict]) -> str:
    """The name of the measure that stands for a model's verdicts; auc while none is measured."""
    metrics = (headline_of(verdict.metrics) for verdict in verdicts)
    return next((metric.name for metric in metrics if metric is not None), HEADLINES[0])


def title_of(name: str) -> str:
    """A measure's name in a title.

    >>> title_of("rmse"), title_of("top_3_accuracy")
    ('RMSE', 'top 3 accuracy')
    """
    return _TITLES.get(name, name.replace("_", " "))


def is_better_lower(name: str) -> bool:
    """Whether lower values of a headline are better."""
    return name in _LOWER_IS_BETTER


def shown(value: float) -> str:
    """A value with the digits that a sentence needs.

    >>> shown(0.8123), shown(0.0123), shown(1234.5)
    ('0.81', '0.0123', '1,234')
    """
    if abs(value) >= 100.0:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) >= 0.1 or value == 0.0 else f"{value:.3g}"
