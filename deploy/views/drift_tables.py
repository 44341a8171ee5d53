"""Drift verdicts as tables: windows, the newest window's features, one feature in detail."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from rich.bar import Bar
from rich.console import RenderableType
from rich.table import Table

from deploy.app.suggestion import did_you_mean
from deploy.config.units import format_time
from deploy.views.output import outcome_text, table
from streaming.contracts.errors import NotFoundError
from streaming.contracts.records import Distances, DriftVerdict, FeatureVerdict, Histogram

DISTANCES = {
    "psi": "PSI",
    "jensen_shannon": "JS bits",
    "l_infinity": "L∞",
    "kolmogorov_smirnov": "KS",
    "wasserstein": "W sd",
}
"""Fields of `Distances` and their usual names."""
_BAR_WIDTH = 30
NO_REFERENCE = (
    "These windows are not judged, because there is no reference yet; the first promotion brings "
    "it."
)
"""What is printed instead of features while a model has no reference."""


def without_reference(verdicts: Sequence[DriftVerdict]) -> bool:
    """Whether no window was judged because there was no reference."""
    return not any(verdict.reference_version or verdict.features for verdict in verdicts)


def windows_table(model: str, verdicts: Sequence[DriftVerdict]) -> Table:
    """One row for each window."""
    shown = table(f"windows of {model}", "end", ">rows", "verdict", "reference", "reason")
    for verdict in verdicts:
        shown.add_row(
            format_time(verdict.window_end),
            str(verdict.rows),
            outcome_text(verdict.outcome),
            against(verdict),
            verdict.reason,
        )
    return shown


def against(verdict: DriftVerdict) -> str:
    """The reference in words."""
    if not verdict.reference_version:
        return "–"
    season = f", {verdict.season}" if verdict.season else ""
    return f"version {verdict.reference_version}{season}"


def features_table(verdict: DriftVerdict) -> Table:
    """One row for each feature, the largest effect first."""
    shown = table(
        f"the newest window, against {against(verdict)}",
        "feature", "verdict", "test", ">value", ">effect sd", ">limit sd", ">p", ">limit p", ">n",
        "hits", *(f">{name}" for name in DISTANCES.values()),
    )  # fmt: skip
    shown.caption_justify = "left"
    variation = verdict.day_variation
    allowed = f"Day-to-day variation allowed for: {variation}. " if variation else ""
    shown.caption = f"{allowed}The distances are corrected for their expected value under no drift."
    for feature in sorted(verdict.features, key=lambda feature: -abs(feature.effect)):
        shown.add_row(
            feature.feature,
            outcome_text(feature.outcome),
            feature.test.replace("_", " ") or "–",
            _value(feature),
            f"{feature.effect:+.2f}",
            f"{feature.limit_sd:.2f}" if feature.limit_sd else "–",
            f"{feature.p:.2g}",
            f"{feature.p_limit:.2g}",
            str(feature.n),
            f"{feature.hits} of {feature.of}",
            *distances_in_words(feature.distances),
        )
    return shown


def distances_in_words(distances: Distances | None) -> list[str]:
    """One cell for each distance."""
    values = [getattr(distances, name) if distances else None for name in DISTANCES]
    return ["–" if value is None else f"{value:.3f}" for value in values]


def of_feature(
    verdicts: Sequence[DriftVerdict], feature: str
) -> list[tuple[DriftVerdict, FeatureVerdict]]:
    """The verdicts on one feature, each with the verdict on its window.

    Raises
    ------
    NotFoundError
        When no window has the feature.
    """
    matching = [
        (verdict, entry)
        for verdict in verdicts
        for entry in verdict.features
        if entry.feature == feature
    ]
    if not matching:
        if without_reference(verdicts):
            raise NotFoundError(NO_REFERENCE)
        known = sorted({entry.feature for verdict in verdicts for entry in verdict.features})
        raise NotFoundError(
            f"No feature {feature} in these windows; they have {', '.join(known) or 'none'}."
            f"{did_you_mean(feature, known)}"
        )
    return matching


def feature_details(
    windows: Sequence[tuple[DriftVerdict, FeatureVerdict]],
) -> Iterator[RenderableType]:
    """A feature's windows, the newest one's tests, and both histograms."""
    verdict, newest = windows[-1]
    yield _windows_of(windows)
    yield _tests_of(newest)
    if newest.histogram is not None:
        yield histogram_table(newest.histogram, against(verdict))
    if newest.distances is not None:
        cells = zip(DISTANCES.values(), distances_in_words(newest.distances), strict=True)
        distances = "   ".join(f"{name} {value}" for name, value in cells)
        yield f"distances, corrected for their expected value:  {distances}"


def histogram_table(histogram: Histogram, reference: str) -> Table:
    """The reference and the window side by side, drawn with bars."""
    shown = table("", "values", f">{reference}", "", ">this window", "")
    largest = max(*histogram.reference, *histogram.window, 1e-9)
    names, shares = cell_names(histogram), zip(histogram.reference, histogram.window, strict=True)
    for name, (before, now) in zip(names, shares, strict=True):
        shown.add_row(
            name,
            f"{before:.1%}",
            Bar(largest, 0, before, width=_BAR_WIDTH, color="blue"),
            f"{now:.1%}",
            Bar(largest, 0, now, width=_BAR_WIDTH, color="magenta"),
        )
    return shown


def cell_names(histogram: Histogram) -> list[str]:
    """The range or category of each bin, in words.

    >>> histogram = Histogram(
    ...     edges=(0.0, 1.5, 2.5, 9.0), reference=(0.2, 0.3, 0.5), window=(1, 0, 0)
    ... )
    >>> cell_names(histogram)
    ['< 1.5', '1.5 – 2.5', '≥ 2.5']
    """
    if histogram.labels:
        return list(histogram.labels)
    inner = histogram.edges[1:-1]
    if not inner:
        return ["all"]
    between = [f"{low:g} – {high:g}" for low, high in pairwise(inner)]
    return [f"< {inner[0]:g}", *between, f"≥ {inner[-1]:g}"]


def _windows_of(windows: Sequence[tuple[DriftVerdict, FeatureVerdict]]) -> Table:
    shown = table(
        windows[-1][1].feature, "end", ">n", "verdict", "raised by", ">effect sd", ">limit sd",
        "hits", "reason",
    )  # fmt: skip
    for verdict, entry in windows:
        shown.add_row(
            format_time(verdict.window_end),
            str(entry.n),
            outcome_text(entry.outcome),
            entry.raised_by or "–",
            f"{entry.effect:+.2f}",
            f"{entry.limit_sd:.2f}" if entry.limit_sd else "–",
            f"{entry.hits} of {entry.of}",
            entry.reason,
        )
    return shown


def _tests_of(feature: FeatureVerdict) -> Table:
    shown = table("the newest window's tests", "test", ">value", ">p", ">effect sd")
    for test in sorted(feature.tests, key=lambda test: test.p):
        shown.add_row(
            test.name.replace("_", " "),
            f"{test.statistic:.4g}",
            f"{test.p:.2g}",
            f"{test.effect:+.2f}",
        )
    return shown


def _value(feature: FeatureVerdict) -> str:
    return next(
        (f"{test.statistic:.4g}" for test in feature.tests if test.name == feature.test), "–"
    )
