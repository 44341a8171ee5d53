"""Drift verdicts as tables: windows, the newest window's features, one feature in detail."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise

from rich.bar import Bar
from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from deploy.views.output import table
from streaming.contracts.errors import NotFoundError
from streaming.contracts.records import Distances, DriftVerdict, FeatureVerdict, Histogram

COLOURS = {"stable": "green", "suspected": "yellow", "drifted": "red", "inconclusive": "dim"}
DISTANCES = {
    "psi": "PSI",
    "jensen_shannon": "JS bits",
    "l_infinity": "L∞",
    "kolmogorov_smirnov": "KS",
    "wasserstein": "W sd",
}
"""Fields of `Distances` and what people call them."""
_BAR = 30


def windows_table(model: str, verdicts: Sequence[DriftVerdict]) -> Table:
    """A row for each window."""
    shown = table(f"windows of {model}", "end", ">rows", "verdict", "against", "because")
    for verdict in verdicts:
        shown.add_row(
            _clock(verdict.window_end),
            str(verdict.rows),
            _outcome(verdict.outcome),
            against(verdict),
            escape(verdict.reason),
        )
    return shown


def against(verdict: DriftVerdict) -> str:
    """The yardstick in words."""
    if not verdict.reference_version:
        return "–"
    season = f", {verdict.season}" if verdict.season else ""
    return f"version {verdict.reference_version}{season}"


def features_table(verdict: DriftVerdict) -> Table:
    """A row for each feature, the one that moved most first."""
    shown = table(
        f"the newest window, against {against(verdict)}",
        "feature", "verdict", "test", ">value", ">effect sd", ">limit sd", ">p", ">limit p", ">n",
        "hits", *(f">{name}" for name in DISTANCES.values()),
    )  # fmt: skip
    shown.caption_justify = "left"
    wobble = f"Day-to-day stray allowed for: {verdict.wobble}. " if verdict.wobble else ""
    shown.caption = f"{wobble}Distances are less what chance alone gives at these n."
    for one in sorted(verdict.features, key=lambda feature: -abs(feature.effect)):
        shown.add_row(
            escape(one.feature),
            _outcome(one.outcome),
            one.test.replace("_", " ") or "–",
            _value(one),
            f"{one.effect:+.2f}",
            f"{one.limit_sd:.2f}" if one.limit_sd else "–",
            f"{one.p:.2g}",
            f"{one.p_limit:.2g}",
            str(one.n),
            f"{one.hits} of {one.of}",
            *distances_in_words(one.distances),
        )
    return shown


def distances_in_words(distances: Distances | None) -> list[str]:
    """One cell for each of `DISTANCES`."""
    values = [getattr(distances, name) if distances else None for name in DISTANCES]
    return ["–" if value is None else f"{value:.3f}" for value in values]


def of_feature(
    verdicts: Sequence[DriftVerdict], feature: str
) -> list[tuple[DriftVerdict, FeatureVerdict]]:
    """Every window's verdict on one feature, with the window's.

    Raises
    ------
    NotFoundError
        When no window knows it.
    """
    found = [
        (verdict, one) for verdict in verdicts for one in verdict.features if one.feature == feature
    ]
    if not found:
        known = sorted({one.feature for verdict in verdicts for one in verdict.features})
        raise NotFoundError(
            f"No feature {feature} in these windows; they have {', '.join(known) or 'none'}."
        )
    return found


def feature_story(story: Sequence[tuple[DriftVerdict, FeatureVerdict]]) -> Iterator[RenderableType]:
    """Its windows, the newest one's tests, and both histograms."""
    verdict, newest = story[-1]
    yield _windows_of(story)
    yield _tests_of(newest)
    if newest.histogram is not None:
        yield histogram_table(newest.histogram, against(verdict))
    if newest.distances is not None:
        words = zip(DISTANCES.values(), distances_in_words(newest.distances), strict=True)
        yield "less what chance gives:  " + "   ".join(f"{name} {value}" for name, value in words)


def histogram_table(histogram: Histogram, before: str) -> Table:
    """Both sides beside each other, drawn with bars."""
    shown = table("", "values", f">{before}", "", ">this window", "")
    most = max(*histogram.before, *histogram.now, 1e-9)
    for name, old, new in zip(cell_names(histogram), histogram.before, histogram.now, strict=True):
        shown.add_row(
            escape(name),
            f"{old:.1%}",
            Bar(most, 0, old, width=_BAR, color="blue"),
            f"{new:.1%}",
            Bar(most, 0, new, width=_BAR, color="magenta"),
        )
    return shown


def cell_names(histogram: Histogram) -> list[str]:
    """What each cell holds, in words.

    >>> cell_names(Histogram(bounds=(0.0, 1.5, 2.5, 9.0), before=(0.2, 0.3, 0.5), now=(1, 0, 0)))
    ['< 1.5', '1.5 – 2.5', '≥ 2.5']
    """
    if histogram.labels:
        return list(histogram.labels)
    inner = histogram.bounds[1:-1]
    if not inner:
        return ["all"]
    between = [f"{low:g} – {high:g}" for low, high in pairwise(inner)]
    return [f"< {inner[0]:g}", *between, f"≥ {inner[-1]:g}"]


def _windows_of(story: Sequence[tuple[DriftVerdict, FeatureVerdict]]) -> Table:
    shown = table(
        f"{story[-1][1].feature}", "end", ">n", "verdict", "lane", ">effect sd", ">limit sd",
        "hits", "because",
    )  # fmt: skip
    for verdict, one in story:
        shown.add_row(
            _clock(verdict.window_end),
            str(one.n),
            _outcome(one.outcome),
            one.lane or "–",
            f"{one.effect:+.2f}",
            f"{one.limit_sd:.2f}" if one.limit_sd else "–",
            f"{one.hits} of {one.of}",
            escape(one.reason),
        )
    return shown


def _tests_of(one: FeatureVerdict) -> Table:
    shown = table("the newest window's tests", "test", ">value", ">p", ">effect sd")
    for test in sorted(one.tests, key=lambda test: test.p):
        shown.add_row(
            test.name.replace("_", " "),
            f"{test.statistic:.4g}",
            f"{test.p:.2g}",
            f"{test.effect:+.2f}",
        )
    return shown


def _value(one: FeatureVerdict) -> str:
    return next((f"{test.statistic:.4g}" for test in one.tests if test.name == one.test), "–")


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S")


def _outcome(outcome: str) -> str:
    return f"[{COLOURS[outcome]}]{outcome}[/]"
