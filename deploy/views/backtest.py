"""A backtest as tables and as data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import isfinite
from typing import Any

from msgspec import to_builtins
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from deploy.backtest.replay import RuleComparison
from deploy.config.units import Rate, RunsRule, format_rate, format_runs_rule, format_time
from deploy.views.output import table
from streaming.drift import DriftRules
from streaming.drift.backtest.alarm_count import AlarmRate
from streaming.drift.backtest.replay import BacktestResult, DetectionDelay, FeatureAlarms

_MIN_EXPECTED = 0.05
"""A quiet period in which the budget allows less than this cannot show whether it is kept."""


def tables(comparison: RuleComparison) -> Iterator[RenderableType]:
    """Both runs side by side, then their features, then notes on the replay."""
    yield _sides(comparison)
    if any(run.result.features for run in comparison.runs):
        yield _features(comparison)
    yield from _notes(comparison)


def as_data(comparison: RuleComparison) -> dict[str, Any]:
    """The comparison as plain values; an infinite number becomes null."""
    return {
        "model": comparison.model,
        "since": comparison.runs[0].windows[0].window_start,
        "until": comparison.runs[0].windows[-1].window_end,
        "logged": comparison.logged,
        "agreeing": comparison.agreeing,
        "differing": comparison.differing,
        "lost_references": list(comparison.lost_references),
        "runs": [
            {
                "name": run.name,
                "rules": to_builtins(run.rules),
                "result": _finite(to_builtins(run.result)),
                "outcomes": [window.outcome for window in run.windows],
            }
            for run in comparison.runs
        ],
    }


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def _sides(comparison: RuleComparison) -> Table:
    runs = comparison.runs
    first, last = runs[0].windows[0], runs[0].windows[-1]
    shown = table(
        f"{comparison.model}, {format_time(first.window_start)} to {format_time(last.window_end)}",
        "", *(f">{run.name}" for run in runs),
    )  # fmt: skip
    written = [rules_as_written(run.rules) for run in runs]
    for name in written[0]:
        values = [rules[name] for rules in written]
        if len(set(values)) > 1:
            shown.add_row(f"drift.{name}", *values)
    results = [run.result for run in runs]
    for title, cell in _ROWS:
        shown.add_row(title, *(cell(result) for result in results))
    for number in range(len(results[0].delays)):
        delays = [result.delays[number] for result in results]
        start = format_time(delays[0].shift.start)
        shown.add_row(f"shift at {start}: first alarm after", *(_delay(delay) for delay in delays))
        shown.add_row("  features", *(", ".join(delay.features) or "–" for delay in delays))
        shown.add_row(
            "  drifted after", *(_window_count(delay.windows_to_drifted) for delay in delays)
        )
    return shown


def rules_as_written(rules: DriftRules) -> dict[str, str]:
    """The rules by their keys under `drift`, each as the configuration file writes it.

    >>> rules_as_written(DriftRules())["false_alarms"]
    '1 per 30d'
    """
    return {
        "false_alarms": format_rate(Rate(rules.false_alarms, rules.period_seconds)),
        "effect.suspected": f"{rules.suspected_sd:g}",
        "effect.drifted": f"{rules.drifted_sd:g}",
        "sustained": format_runs_rule(RunsRule(rules.sustained, rules.of)),
        "min_rows": f"{rules.min_rows}",
        "max_lost": f"{rules.max_lost:g}",
        "day_variation": "learnt" if rules.learn_day_variance else f"{rules.between_day_sd:g}",
        "season": rules.season,
        "season_zone": rules.season_zone,
    }


def _false_alarms(rate: AlarmRate) -> str:
    return f"{rate.observed} (budget {rate.expected:.2g})"


def _ratio(rate: AlarmRate) -> str:
    if not rate.observed and rate.expected < _MIN_EXPECTED:
        return "too short to tell" if rate.expected else "–"
    return f"{rate.ratio:.2g} ({rate.low:.2g} to {rate.high:.2g})"


_ROWS: tuple[tuple[str, Callable[[BacktestResult], str]], ...] = (
    ("windows", lambda result: f"{result.windows}"),
    ("  inconclusive", lambda result: f"{result.inconclusive}"),
    ("alarms", lambda result: f"{result.alarms}"),
    ("  drifted", lambda result: f"{result.drifted}"),
    ("false alarms", lambda result: _false_alarms(result.false)),
    ("over the budget (95 %)", lambda result: _ratio(result.false)),
)


def _delay(delay: DetectionDelay) -> str:
    if delay.windows is None or delay.events is None:
        return "never"
    return f"{_window_count(delay.windows)}, {delay.events:,} events"


def _window_count(count: int | None) -> str:
    if count is None:
        return "never"
    return f"{count} window{'s' if count > 1 else ''}"


def _features(comparison: RuleComparison) -> Table:
    columns = [
        f">{run.name}: {column}" for run in comparison.runs for column in ("windows", "effect")
    ]
    shown = table("features, and the number of windows with an alarm", "feature", *columns)
    by_name = [{entry.feature: entry for entry in run.result.features} for run in comparison.runs]
    for name in dict.fromkeys(name for alarms in by_name for name in alarms):
        cells = [cell for alarms in by_name for cell in _feature_cells(alarms.get(name))]
        shown.add_row(name, *cells)
    return shown


def _feature_cells(alarms: FeatureAlarms | None) -> tuple[str, str]:
    if alarms is None:
        return "–", "–"
    windows = f"{alarms.windows} ({alarms.false_windows} false)"
    return windows, f"up to {alarms.largest_effect:.2f} sd"


def _notes(comparison: RuleComparison) -> Iterator[RenderableType]:
    windows = len(comparison.runs[0].windows)
    if len(comparison.runs) > 1:
        yield f"The two disagree on {comparison.differing} of {windows} windows."
    if comparison.agreeing < comparison.logged:
        yield (
            f"Of {comparison.logged} logged verdicts {comparison.agreeing} equal those of the "
            "rules in force: rules, schema or code were different then, or older windows are gone."
        )
    if comparison.lost_references:
        versions = ", ".join(map(str, comparison.lost_references))
        yield Text(
            f"The reference of version {versions} is lost: its windows are inconclusive here.",
            style="yellow",
        )
