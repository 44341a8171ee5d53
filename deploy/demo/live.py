"""The live screen: what the loop is doing, at one look; plain lines where there is no terminal."""

from __future__ import annotations

import os
import sys
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from deploy.demo.view import View
from streaming.contracts.records import DriftVerdict, RetrainProgress

_STYLE = {
    "stable": "green",
    "suspected": "yellow",
    "drifted": "red",
    "degraded": "red",
    "inconclusive": "dim",
}
_MARK = {"stable": "●", "suspected": "◐", "drifted": "▲", "degraded": "▲", "inconclusive": "·"}
SHOWN_WINDOWS = 40
SHOWN_FEATURES = 5


class Screen(Protocol):
    """Shows a run while it goes on."""

    def __enter__(self) -> Screen: ...
    def __exit__(self, *gone: object) -> None: ...
    def show(self, view: View) -> None:
        """The newest view; called about twice a second."""


def screen(console: Console | None = None) -> Screen:
    """The live screen on a terminal, lines elsewhere and under NO_COLOR."""
    console = console or Console(stderr=True, highlight=False)
    plain = not console.is_terminal or bool(os.environ.get("NO_COLOR"))
    return Lines(console) if plain else LiveScreen(console)


class Lines:
    """One line for each thing that happens, as it happens."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(file=sys.stderr, highlight=False)
        self._told = 0
        self._waits_for = ""
        self._windows = 0

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *gone: object) -> None:
        return None

    def show(self, view: View) -> None:
        for moment in view.story.timeline[self._told :]:
            detail = f": {moment.detail}" if moment.detail else ""
            self._line(moment.at_seconds, f"{moment.what}{detail}")
        self._told = len(view.story.timeline)
        for verdict in view.story.verdicts[self._windows :]:
            self._line(view.now - view.started_at, _window_line(verdict))
        self._windows = len(view.story.verdicts)
        if view.waits_for and view.waits_for != self._waits_for:
            self._line(view.now - view.started_at, f"waiting for {view.waits_for}")
        self._waits_for = view.waits_for

    def _line(self, at: float, text: str) -> None:
        self._console.print(f"{at:7.1f} s  {text}", markup=False, soft_wrap=True)


class LiveScreen:
    """Everything at once, redrawn in place."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, refresh_per_second=4, transient=True)
        self._sent = (0.0, 0)
        self._rate = 0.0

    def __enter__(self) -> LiveScreen:
        self._live.start()
        return self

    def __exit__(self, *gone: object) -> None:
        self._live.stop()

    def show(self, view: View) -> None:
        self._pace(view)
        self._live.update(picture(view, self._rate))

    def _pace(self, view: View) -> None:
        """Events per second between the last two status files."""
        traffic = view.traffic
        if traffic is None or traffic.at <= self._sent[0]:
            return
        before, count = self._sent
        if before:
            self._rate = (traffic.sent - count) / (traffic.at - before)
        self._sent = (traffic.at, traffic.sent)


def picture(view: View, rate: float) -> Group:
    """The whole screen."""
    parts = [_head(view), _traffic(view, rate), _windows(view), _quality(view), _features(view)]
    retrain = _retrain(view)
    if retrain is not None:
        parts.append(retrain)
    parts.append(_canary(view))
    parts.append(_timeline(view))
    return Group(*parts)


def _head(view: View) -> Text:
    seconds = view.now - view.started_at
    text = Text(f"\n {view.scenario} ", style="bold reverse")
    text.append(f"  {seconds:5.0f} s  step {view.step}/{view.steps}  ", style="not reverse")
    if view.waits_for:
        text.append(f"waiting for {view.waits_for}", style="cyan not reverse not bold")
    return text


def _traffic(view: View, rate: float) -> Text:
    traffic = view.traffic
    if traffic is None:
        return Text(" no traffic yet", style="dim")
    text = Text(f" {rate:6.0f} events/s   {traffic.sent:,} sent   {traffic.labels:,} labels   ")
    text.append(f"{traffic.requests:,} predictions   ")
    text.append(f"{traffic.errors} errors", style="red" if traffic.errors else "green")
    text.append(f"   traffic is {traffic.phase}", style="dim")
    return text


def _windows(view: View) -> Text:
    text = Text(" windows  ")
    for verdict in view.story.verdicts[-SHOWN_WINDOWS:]:
        text.append(_MARK[verdict.outcome], style=_STYLE[verdict.outcome])
    if view.story.verdicts:
        last = view.story.verdicts[-1]
        text.append(f"  {last.outcome}", style=_STYLE[last.outcome])
        text.append(f"  {last.rows} rows against version {last.reference_version or '-'}")
    return text


def _quality(view: View) -> Text:
    text = Text(" labels   ")
    looks = view.story.quality
    if not looks:
        return text.append("no window has mature labels yet", style="dim")
    for verdict in looks[-SHOWN_WINDOWS:]:
        text.append(_MARK[verdict.outcome], style=_STYLE[verdict.outcome])
    last = looks[-1]
    text.append(f"  {last.outcome} {last.cause}", style=_STYLE[last.outcome])
    found = [(last.metrics, "AUC")]
    if view.story.estimates:
        found.append((view.story.estimates[-1].estimated, "estimated"))
    for metrics, word in found:
        text.append("".join(f"  {word} {m.value:.3f}" for m in metrics if m.name == "auc"))
    return text.append(f"  version {last.version}", style="dim")


def _features(view: View) -> Table | Text:
    judged = [v for v in view.story.verdicts if v.outcome != "inconclusive"]
    if not judged:
        return Text(" no window judged against a reference yet", style="dim")
    table = Table(box=None, pad_edge=False, padding=(0, 2), header_style="dim")
    for name in (" feature", "distance", "p", "limit", "windows beyond", ""):
        table.add_column(name, justify="left" if name in (" feature", "") else "right")
    for feature in sorted(judged[-1].features, key=lambda f: -abs(f.effect))[:SHOWN_FEATURES]:
        table.add_row(
            f" {feature.feature}",
            f"{feature.effect:+.2f} sd",
            f"{feature.p:.1e}",
            f"{feature.p_limit:.1e}",
            f"{feature.hits} of {feature.of}",
            Text(feature.outcome, style=_STYLE[feature.outcome]),
        )
    return table


def _retrain(view: View) -> Table | None:
    if not view.story.requests:
        return None
    request = view.story.requests[-1]
    steps: dict[str, RetrainProgress] = {}
    for progress in view.story.progress.get(request.record_id, ()):
        steps[progress.component] = progress
    if not steps:
        return None
    last = list(steps.values())[-1]
    table = Table(box=None, pad_edge=False, padding=(0, 2), show_header=False)
    done = " ".join(f"{s.component} {s.seconds:.0f}s" for s in steps.values() if s.state == "done")
    table.add_row(
        f" retrain ({request.cause})",
        ProgressBar(total=last.steps, completed=last.step - (last.state == "started"), width=30),
        f"{last.component} {last.state}",
    )
    table.add_row("", "", Text(done, style="dim"))
    return table


def _canary(view: View) -> Text:
    text = Text(f" live: version {view.story.live or '-'}")
    if not view.story.rollouts:
        return text
    status = view.story.rollouts[-1]
    if status.phase == "idle":
        return text
    text.append(f"   version {status.version} {status.phase} ")
    filled = round(status.weight / 5)
    text.append("█" * filled + "░" * (20 - filled), style="cyan")
    text.append(f" {status.weight} %")
    if view.story.canary:
        verdict = view.story.canary[-1]
        text.append(f"  {verdict.outcome}: {verdict.reason}"[:120], style="dim")
    return text


def _timeline(view: View) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1), show_header=False)
    table.add_column(justify="right", style="dim")
    table.add_column(no_wrap=True, overflow="ellipsis")
    for moment in view.story.timeline[-6:]:
        detail = f"  {moment.detail}" if moment.detail else ""
        table.add_row(f" {moment.at_seconds:.0f} s", Text(f"{moment.what}{detail}"))
    return table


def _window_line(verdict: DriftVerdict) -> str:
    worst = max(verdict.features, key=lambda f: abs(f.effect), default=None)
    tail = f"; most: {worst.feature} {worst.effect:+.2f} sd" if worst else ""
    against = f"version {verdict.reference_version}" if verdict.reference_version else "nothing"
    return f"window {verdict.outcome}: {verdict.rows} rows against {against}{tail}"
