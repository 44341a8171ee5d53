"""The screen of a demonstration: redrawn in place on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from deploy.demo.state import DemoState
from deploy.views.output import OUTCOME_STYLES
from serving.phase import Phase
from streaming.contracts.records import (
    DriftVerdict,
    FeatureVerdict,
    RetrainProgress,
    RetrainRequest,
)

_MARK = {"stable": "●", "suspected": "◐", "drifted": "▲", "degraded": "▲", "inconclusive": "·"}
SHOWN_WINDOWS = 40
SHOWN_FEATURES = 5
SHOWN_ENTRIES = 6
_SENTENCE_END = re.compile(r"(?<=\.) (?=[A-Z0-9])")
LONG_WAIT_SECONDS = 5.0
"""Plain lines mention what is waited for once nothing has happened for this long."""


class Screen(Protocol):
    """Shows a run while it goes on."""

    def __enter__(self) -> Screen: ...
    def __exit__(self, *exception: object) -> None: ...
    def show(self, state: DemoState) -> None:
        """Show the current state; called about twice a second."""


def screen(console: Console | None = None) -> Screen:
    """The live screen on a terminal; plain lines elsewhere and under NO_COLOR."""
    console = console or Console(stderr=True, highlight=False)
    plain = not console.is_terminal or bool(os.environ.get("NO_COLOR"))
    return Lines(console) if plain else LiveScreen(console)


class Lines:
    """One line for each event, in the order of time; no sentence is printed twice.

    The time of a line is when the event became known, so times never go back. Consecutive windows
    with the same outcome are folded into one line. A wait is mentioned once nothing has happened
    for a while. A sentence that the reasons of several records share is printed with the first.
    Each component of a retrain has a line when it starts and when it ends.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(file=sys.stderr, highlight=False)
        self._entries = 0
        self._progress_printed: Counter[str] = Counter()
        self._verdicts = 0
        self._run: list[DriftVerdict] = []
        self._waits_for = ""
        self._waiting_since = self._printed_at = 0.0
        self._mentioned: set[str] = set()
        self._sentences: set[str] = set()

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *exception: object) -> None:
        return None

    def show(self, state: DemoState) -> None:
        at = state.now - state.started_at
        self._fold_windows(at, state.timeline.verdicts)
        if not state.waits_for:
            self._end_run(at)
        for entry in state.timeline.entries[self._entries :]:
            detail = self._new_sentences(entry.detail)
            self._line(at, f"{entry.what}: {detail}" if detail else entry.what)
        self._entries = len(state.timeline.entries)
        self._print_progress(at, state)
        self._mention_wait(at, state.waits_for)

    def _print_progress(self, at: float, state: DemoState) -> None:
        """Print what the components of each retrain did since the last call."""
        for request in state.timeline.requests:
            progress = state.timeline.progress.get(request.record_id, [])
            for record in progress[self._progress_printed[request.record_id] :]:
                self._line(at, _progress_line(request, record))
            self._progress_printed[request.record_id] = len(progress)

    def _new_sentences(self, text: str) -> str:
        """The sentences that were not printed before."""
        new = [part for part in _SENTENCE_END.split(text) if part not in self._sentences]
        self._sentences.update(new)
        return " ".join(new)

    def _fold_windows(self, at: float, verdicts: Sequence[DriftVerdict]) -> None:
        for verdict in verdicts[self._verdicts :]:
            if self._run and _kind(verdict) != _kind(self._run[-1]):
                self._end_run(at)
            self._run.append(verdict)
        self._verdicts = len(verdicts)

    def _end_run(self, at: float) -> None:
        """Print how many windows of the same outcome there were."""
        if len(self._run) > 1:
            self._line(at, _run_line(self._run))
        self._run = []

    def _mention_wait(self, at: float, waits_for: str) -> None:
        if waits_for != self._waits_for:
            self._waits_for, self._waiting_since = waits_for, at
            since = self._printed_at
        else:
            since = self._waiting_since
        if waits_for and waits_for not in self._mentioned and at - since >= LONG_WAIT_SECONDS:
            self._mentioned.add(waits_for)
            self._line(at, f"waiting for {waits_for}")

    def _line(self, at: float, text: str) -> None:
        self._printed_at = at
        self._console.print(f"{at:7.1f} s  {text}", markup=False, soft_wrap=True)


def _kind(verdict: DriftVerdict) -> tuple[str, int]:
    return verdict.outcome, verdict.reference_version


def _progress_line(request: RetrainRequest, progress: RetrainProgress) -> str:
    """The start or the end of one component of a retrain."""
    attempt = f", attempt {progress.attempt}" if progress.attempt > 1 else ""
    line = f"retrain ({request.cause}{attempt}), step {progress.step} of {progress.steps}"
    line += f", {progress.component} {progress.state}"
    return line if progress.state == "started" else f"{line} after {progress.seconds:.1f} s"


def _run_line(verdicts: Sequence[DriftVerdict]) -> str:
    """Summary of consecutive windows with the same outcome."""
    outcome, version = _kind(verdicts[-1])
    line = f"{len(verdicts)} windows {outcome}, {verdicts[-1].rows:,} rows in the last one"
    line += f", against version {version}" if version else ", no reference yet"
    features = [feature for verdict in verdicts for feature in verdict.features]
    largest = max(features, key=lambda feature: abs(feature.effect), default=None)
    return (
        f"{line}; largest effect: {largest.feature} {largest.effect:+.2f} sd" if largest else line
    )


class LiveScreen:
    """The whole state, redrawn in place."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, refresh_per_second=4, transient=True)
        self._last_sent = (0.0, 0)
        self._rate = 0.0

    def __enter__(self) -> LiveScreen:
        self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._live.stop()

    def show(self, state: DemoState) -> None:
        self._measure_rate(state)
        self._live.update(layout(state, self._rate))

    def _measure_rate(self, state: DemoState) -> None:
        """Events per second between the last two status files."""
        traffic = state.traffic
        if traffic is None or traffic.at <= self._last_sent[0]:
            return
        at, sent = self._last_sent
        if at:
            self._rate = (traffic.sent - sent) / (traffic.at - at)
        self._last_sent = (traffic.at, traffic.sent)


def layout(state: DemoState, rate: float) -> Group:
    """The whole screen."""
    parts = [
        _head(state),
        _traffic(state, rate),
        _windows(state),
        _quality(state),
        _features(state),
    ]
    retrain = _retrain(state)
    if retrain is not None:
        parts.append(retrain)
    parts.append(_canary(state))
    parts.append(_recent_entries(state))
    return Group(*parts)


def _head(state: DemoState) -> Text:
    seconds = state.now - state.started_at
    text = Text(f"\n {state.scenario} ", style="bold reverse")
    text.append(f"  {seconds:5.0f} s  step {state.step}/{state.steps}  ", style="not reverse")
    if state.waits_for:
        text.append(f"waiting for {state.waits_for}", style="cyan not reverse not bold")
    return text


def _traffic(state: DemoState, rate: float) -> Text:
    traffic = state.traffic
    if traffic is None:
        return Text(" no traffic yet", style="dim")
    text = Text(f" {rate:6.0f} events/s   {traffic.sent:,} sent   {traffic.labels:,} labels   ")
    text.append(f"{traffic.requests:,} predictions   ")
    text.append(f"{traffic.errors} errors", style="red" if traffic.errors else "green")
    text.append(f"   traffic is {traffic.phase.replace('_', ' ')}", style="dim")
    return text


def _windows(state: DemoState) -> Text:
    text = Text(" windows  ")
    verdicts = state.timeline.verdicts
    for verdict in verdicts[-SHOWN_WINDOWS:]:
        text.append(_MARK[verdict.outcome], style=OUTCOME_STYLES[verdict.outcome])
    if verdicts:
        last = verdicts[-1]
        text.append(f"  {last.outcome}", style=OUTCOME_STYLES[last.outcome])
        text.append(f"  {last.rows:,} rows against version {last.reference_version or '-'}")
    return text


def _quality(state: DemoState) -> Text:
    text = Text(" labels   ")
    verdicts = state.timeline.quality
    if not verdicts:
        return text.append("no window has mature labels yet", style="dim")
    for verdict in verdicts[-SHOWN_WINDOWS:]:
        text.append(_MARK[verdict.outcome], style=OUTCOME_STYLES[verdict.outcome])
    last = verdicts[-1]
    text.append(f"  {last.outcome} {last.cause}", style=OUTCOME_STYLES[last.outcome])
    measures = [(last.metrics, "AUC")]
    if state.timeline.estimates:
        measures.append((state.timeline.estimates[-1].estimated, "estimated"))
    for metrics, word in measures:
        text.append("".join(f"  {word} {m.value:.3f}" for m in metrics if m.name == "auc"))
    return text.append(f"  version {last.version}", style="dim")


def _features(state: DemoState) -> Table | Text:
    judged = [v for v in state.timeline.verdicts if v.outcome != "inconclusive"]
    if not judged:
        return Text(" no window judged against a reference yet", style="dim")
    table = Table(box=None, pad_edge=False, padding=(0, 2), header_style="dim")
    for name in (" feature", "effect", "p", "limit", "windows beyond", ""):
        table.add_column(name, justify="left" if name in (" feature", "") else "right")
    features: list[FeatureVerdict] = sorted(judged[-1].features, key=lambda f: -abs(f.effect))
    for feature in features[:SHOWN_FEATURES]:
        table.add_row(
            f" {feature.feature}",
            f"{feature.effect:+.2f} sd",
            f"{feature.p:.1e}",
            f"{feature.p_limit:.1e}",
            f"{feature.hits} of {feature.of}",
            Text(feature.outcome, style=OUTCOME_STYLES[feature.outcome]),
        )
    return table


def _retrain(state: DemoState) -> Table | None:
    if not state.timeline.requests:
        return None
    request = state.timeline.requests[-1]
    components: dict[str, RetrainProgress] = {}
    for progress in state.timeline.progress.get(request.record_id, ()):
        components[progress.component] = progress
    if not components:
        return None
    last = list(components.values())[-1]
    table = Table(box=None, pad_edge=False, padding=(0, 2), show_header=False)
    done = [p for p in components.values() if p.state == "done"]
    table.add_row(
        f" retrain ({request.cause})",
        ProgressBar(total=last.steps, completed=last.step - (last.state == "started"), width=30),
        f"{last.component} {last.state}",
    )
    times = " ".join(f"{progress.component} {progress.seconds:.0f}s" for progress in done)
    table.add_row("", "", Text(times, style="dim"))
    return table


def _canary(state: DemoState) -> Text:
    text = Text(f" live: version {state.timeline.live or '-'}")
    if not state.timeline.rollouts:
        return text
    status = state.timeline.rollouts[-1]
    if status.phase == Phase.IDLE:
        return text
    text.append(f"   version {status.version} {status.phase} ")
    filled = round(status.weight / 5)
    text.append("█" * filled + "░" * (20 - filled), style="cyan")
    text.append(f" {status.weight} %")
    if state.timeline.canary:
        verdict = state.timeline.canary[-1]
        text.append(f"  {verdict.outcome}: {verdict.reason}"[:120], style="dim")
    return text


def _recent_entries(state: DemoState) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1), show_header=False, expand=True)
    table.add_column(justify="right", style="dim", no_wrap=True, min_width=7)
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    recent = sorted(state.timeline.entries, key=lambda entry: entry.at_seconds)[-SHOWN_ENTRIES:]
    for entry in recent:
        detail = f"  {entry.detail}" if entry.detail else ""
        table.add_row(f" {entry.at_seconds:.0f} s", Text(f"{entry.what}{detail}"))
    return table
