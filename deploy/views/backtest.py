"""A backtest as tables, as data and as a picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import Any

from msgspec import to_builtins
from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from deploy.backtest.overrides import differing_rules
from deploy.backtest.replay import Backtest
from deploy.views.output import save_chart, table
from streaming.drift.backtest.alarm_count import Rate
from streaming.drift.backtest.replay import Account, Delay, FeatureAlarms, Judged, Shift

_COLOURS = {
    "stable": "#3a8a4f",
    "suspected": "#d9a400",
    "drifted": "#c43c39",
    "inconclusive": "#9aa3a8",
}


_TOO_SHORT = 0.05
"""A quiet time for which the budget allows less than this says nothing of a budget kept."""


def tables(found: Backtest) -> Iterator[RenderableType]:
    """Both arms side by side, then their features, then what to know about the replay."""
    yield _sides(found)
    if any(arm.account.features for arm in found.arms):
        yield _features(found)
    yield from _notes(found)


def as_data(found: Backtest) -> dict[str, Any]:
    """The same as plain values; what is infinite becomes null."""
    return {
        "model": found.model,
        "since": found.arms[0].judged[0].window_start,
        "until": found.arms[0].judged[-1].window_end,
        "logged": found.logged,
        "agreeing": found.agreeing,
        "differing": found.differing,
        "lost_references": list(found.lost_references),
        "arms": [
            {
                "name": arm.name,
                "rules": to_builtins(arm.rules),
                "account": _plain(to_builtins(arm.account)),
                "outcomes": [one.outcome for one in arm.judged],
            }
            for arm in found.arms
        ],
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def _sides(found: Backtest) -> Table:
    first, last = found.arms[0].judged[0], found.arms[0].judged[-1]
    shown = table(
        f"{found.model}, {_when(first.window_start)} to {_when(last.window_end)}",
        "", *(f">{arm.name}" for arm in found.arms),
    )  # fmt: skip
    for name, *values in differing_rules(found.arms[0].rules, found.arms[-1].rules):
        shown.add_row(f"drift rule {name}", *(f"{value}" for value in values))
    accounts = [arm.account for arm in found.arms]
    for words, of in _ROWS:
        shown.add_row(words, *(of(one) for one in accounts))
    for number in range(len(accounts[0].delays)):
        delays = [one.delays[number] for one in accounts]
        head = f"shift at {_when(delays[0].shift.start)}"
        shown.add_row(f"{head}: first alarm after", *(_delay(one) for one in delays))
        shown.add_row("  of", *(escape(", ".join(one.features)) or "–" for one in delays))
        shown.add_row("  drifted after", *(_windows(one.to_drifted) for one in delays))
    return shown


def _false(one: Rate) -> str:
    return f"{one.observed} (budget {one.expected:.2g})"


def _ratio(one: Rate) -> str:
    if not one.observed and one.expected < _TOO_SHORT:
        return "too short to tell" if one.expected else "–"
    return f"{one.ratio:.2g} ({one.low:.2g} to {one.high:.2g})"


_ROWS: tuple[tuple[str, Callable[[Account], str]], ...] = (
    ("windows", lambda one: f"{one.windows}"),
    ("of them inconclusive", lambda one: f"{one.inconclusive}"),
    ("alarms", lambda one: f"{one.alarms}"),
    ("of them drifted", lambda one: f"{one.drifted}"),
    ("false alarms", lambda one: _false(one.false)),
    ("over the budget (95 %)", lambda one: _ratio(one.false)),
)


def _delay(one: Delay) -> str:
    if one.windows is None or one.events is None:
        return "never"
    return f"{_windows(one.windows)}, {one.events:,} events"


def _windows(count: int | None) -> str:
    if count is None:
        return "never"
    return f"{count} window{'s' if count > 1 else ''}"


def _features(found: Backtest) -> Table:
    columns = [f">{arm.name}: {part}" for arm in found.arms for part in ("windows", "effect")]
    shown = table("features, and in how many windows they were alarmed", "feature", *columns)
    by_name = [{one.feature: one for one in arm.account.features} for arm in found.arms]
    for name in dict.fromkeys(name for known in by_name for name in known):
        cells = [cell for known in by_name for cell in _cells(known.get(name))]
        shown.add_row(escape(name), *cells)
    return shown


def _cells(one: FeatureAlarms | None) -> tuple[str, str]:
    if one is None:
        return "–", "–"
    return f"{one.windows} ({one.false_windows} false)", f"up to {one.largest_effect:.2f} sd"


def _notes(found: Backtest) -> Iterator[str]:
    if len(found.arms) > 1:
        yield f"The two disagree on {found.differing} of {len(found.arms[0].judged)} windows."
    if found.agreeing < found.logged:
        yield (
            f"Of {found.logged} logged verdicts {found.agreeing} are those of the rules in force: "
            "rules, schema or code were others then, or older windows are gone."
        )
    if found.lost_references:
        versions = ", ".join(map(str, found.lost_references))
        yield f"[yellow]No reference is left of version {versions}: inconclusive here.[/]"


def draw(found: Backtest, shifts: Sequence[Shift], file: Path) -> None:
    """A strip of verdicts for each arm; known shifts are shaded. The suffix says the format."""
    import altair as alt

    start = found.arms[0].judged[0].window_start
    end = found.arms[0].judged[-1].window_end
    rows = [_row(arm.name, one, start) for arm in found.arms for one in arm.judged]
    order = [arm.name for arm in found.arms]
    scale = alt.Scale(domain=list(_COLOURS), range=list(_COLOURS.values()))
    strips = (
        alt.Chart(alt.Data(values=rows))
        .mark_bar(height=26)
        .encode(
            x=alt.X("from:Q", title="seconds since the first window"),
            x2="to:Q",
            y=alt.Y("arm:N", sort=order, title=None),
            color=alt.Color("verdict:N", title="verdict", scale=scale),
        )
    )
    known = [
        {"from": max(one.start, start) - start, "to": min(one.end, end) - start} for one in shifts
    ]
    shade = (
        alt.Chart(alt.Data(values=known))
        .mark_rect(opacity=0.15, color="#2b6cb0")
        .encode(x="from:Q", x2="to:Q")
    )
    title = f"{found.model}: verdicts, and known shifts (blue)"
    layers = (shade, strips) if known else (strips,)
    save_chart(
        alt.layer(*layers).properties(width=760, height=60 * len(found.arms), title=title), file
    )


def _row(name: str, one: Judged, start: float) -> dict[str, object]:
    return {
        "arm": name,
        "from": one.window_start - start,
        "to": one.window_end - start,
        "verdict": one.outcome,
    }


def _when(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")
