"""`driftline rollout`: the version that is meant, consent, and the watched tree."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from deploy.cli.commands import rollout
from deploy.cli.shared import command
from deploy.views.rollout import (
    ArmView,
    RolloutView,
    rollout_lines,
    rollout_tree,
    step_text,
    value_against_limit,
)
from deploy.views.rollout_observer import before_first_rollout, measured_shares, newest_status
from serving.ports import ArmCounters, Scrape
from streaming.contracts.errors import NotFoundError
from streaming.contracts.log import MemoryLog
from streaming.contracts.records import GateOutcome, GateResult, GateSample, SliceResult
from tests.deploy.cli.builders import (
    MODEL,
    canary_verdict,
    drift_verdict,
    promotion,
    status,
    version,
    waiting,
)
from tests.deploy.cli.doubles import replying
from tests.deploy.cli.runner import data, run

ASKING = ("promote", "abort", "rollback")


@pytest.fixture
def log() -> MemoryLog:
    """Version 2 is rolled out at 10 %; version 3 was published since."""
    filled = MemoryLog()
    filled.append(
        [
            version(1),
            promotion(1),
            version(2),
            status("stepping", weight=10),
            canary_verdict(),
            version(3),
        ]
    )
    return filled


@pytest.mark.parametrize("action", [*ASKING, "pause", "resume"])
def test_without_a_version_the_one_that_is_rolled_out_is_meant(log: MemoryLog, action: str) -> None:
    yes = ["--yes"] if action in ASKING else []
    with replying(log) as daemon:
        shown = run("rollout", action, MODEL, *yes, log=log)
    assert shown.exit_code == 0, shown.stderr
    (sent,) = daemon.commands
    assert (sent.action, sent.version, sent.digest) == (action, 2, "digest-2")
    assert "version 2" in shown.stderr


def test_another_version_is_a_conflict_and_nothing_is_sent(log: MemoryLog) -> None:
    with replying(log) as daemon:
        shown = run("rollout", "promote", MODEL, "--version", "3", "--yes", log=log)
    assert shown.exit_code == 5
    assert "Version 2 of big_tipper is being rolled out, not 3" in shown.stderr
    assert daemon.commands == []


def test_without_a_rollout_the_next_command_is_named() -> None:
    log = MemoryLog()
    log.append([version(1), promotion(1), status("idle", version=1)])
    for action in ("promote", "pause"):
        yes = ["--yes"] if action in ASKING else []
        shown = run("rollout", action, MODEL, *yes, log=log)
        assert shown.exit_code == 3
        assert f"`driftline rollout status {MODEL}`" in shown.stderr


def test_after_a_rollout_a_rollback_is_about_the_live_version() -> None:
    log = MemoryLog()
    log.append([version(1), promotion(1), version(2), promotion(2, replaced=1), status("idle")])
    with replying(log) as daemon:
        shown = run("rollout", "rollback", MODEL, "--yes", log=log)
    assert shown.exit_code == 0, shown.stderr
    assert daemon.commands[0].version == 2
    assert "Version 1 of big_tipper gets all traffic again" in shown.stderr


def test_the_first_version_cannot_be_rolled_back() -> None:
    log = MemoryLog()
    log.append([version(1), promotion(1)])
    shown = run("rollout", "rollback", MODEL, "--yes", log=log)
    assert shown.exit_code == 3
    assert "no earlier version" in shown.stderr


@pytest.mark.parametrize("action", ASKING)
def test_without_a_terminal_consent_is_needed(log: MemoryLog, action: str) -> None:
    with replying(log) as daemon:
        shown = run("rollout", action, MODEL, log=log)
    assert shown.exit_code == 2
    assert "--yes" in shown.stderr
    assert daemon.commands == []


@pytest.mark.parametrize(("answer", "sent"), [("y\n", 1), ("n\n", 0)])
def test_on_a_terminal_the_consequence_is_shown_and_consent_asked(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch, answer: str, sent: int
) -> None:
    monkeypatch.setattr(command, "on_terminal", lambda: True)
    with replying(log) as daemon:
        shown = run("rollout", "promote", MODEL, log=log, stdin=answer)
    assert len(daemon.commands) == sent
    assert shown.exit_code == (0 if sent else 1)
    assert "Version 2 goes from 10 % to 100 % of the traffic of big_tipper" in shown.stderr
    assert "version 1 stays loaded for" in shown.stderr


@pytest.mark.parametrize("action", ["promote"])
def test_what_is_let_on_is_shown_and_its_digest_is_sent(log: MemoryLog, action: str) -> None:
    with replying(log) as daemon:
        shown = run("rollout", action, MODEL, "--yes", log=log)
    assert "version 2 of big_tipper" in shown.stderr
    assert "digest of its files digest-2" in shown.stderr
    assert "auc 0.900" in shown.stderr
    assert "canary at 10 %" in shown.stderr
    assert (daemon.commands[0].version, daemon.commands[0].digest) == (2, "digest-2")
    assert not daemon.commands[0].force


@pytest.mark.parametrize("action", ["promote"])
def test_a_digest_that_was_reviewed_earlier_and_differs_is_a_conflict(
    log: MemoryLog, action: str
) -> None:
    with replying(log) as daemon:
        shown = run("rollout", action, MODEL, "--digest", "digest-1", "--yes", log=log)
    assert shown.exit_code == 5
    assert "has the digest digest-2, not digest-1" in shown.stderr
    assert daemon.commands == []


@pytest.mark.parametrize("action", ["promote", "retry"])
def test_force_needs_a_reason_and_is_sent_with_it(log: MemoryLog, action: str) -> None:
    number = ["2"] if action == "retry" else []
    if action == "retry":
        log.append([status("idle", version=1, at=40.0)])
    with replying(log) as daemon:
        bare = run("rollout", action, MODEL, *number, "--force", "--yes", log=log)
        assert bare.exit_code == 2
        assert daemon.commands == []
        options = ("--force", "--reason", "checked by hand", "--yes")
        assert run("rollout", action, MODEL, *number, *options, log=log).exit_code == 0
    (sent,) = daemon.commands
    assert (sent.force, sent.reason, sent.digest) == (True, "checked by hand", "digest-2")


def test_a_version_that_was_given_up_is_retried(log: MemoryLog) -> None:
    with replying(log) as daemon:
        busy = run("rollout", "retry", MODEL, "3", "--yes", log=log)
        assert busy.exit_code == 5
        log.append([status("idle", version=1, at=40.0)])
        unknown = run("rollout", "retry", MODEL, "9", "--yes", log=log)
        assert unknown.exit_code == 3
        shown = run("rollout", "retry", MODEL, "3", "--yes", log=log)
    assert shown.exit_code == 0, shown.stderr
    (sent,) = daemon.commands
    assert (sent.action, sent.version, sent.digest) == ("retry", 3, "digest-3")
    assert "from the first step" in shown.stderr


def test_the_status_is_the_newest_with_the_verdict_of_its_rollout(log: MemoryLog) -> None:
    shown = data(run("rollout", "status", MODEL, "--json", log=log))
    assert (shown["status"]["weight"], shown["verdict"]["weight"]) == (10, 10)
    log.append([status("preparing", version=3, at=30.0)])
    assert newest_status(log, MODEL).version == 3


def test_before_the_first_rollout_the_status_is_not_found() -> None:
    with pytest.raises(NotFoundError, match="driftline retrain"):
        newest_status(MemoryLog(), MODEL)


@pytest.mark.parametrize("watch", [[], ["--watch"]])
def test_before_the_first_rollout_the_command_shows_what_the_model_waits_for(
    watch: list[str],
) -> None:
    log = MemoryLog()
    log.append([drift_verdict()])
    shown = run("rollout", "status", MODEL, *watch, log=log)
    assert shown.exit_code == 0, shown.stderr
    assert shown.stdout == f"{MODEL} has no version yet; 1 window judged\n"
    log.append([waiting("0 of 20000 labelled rows so far."), waiting("a cooldown.", at=3.0)])
    shown = run("rollout", "status", MODEL, *watch, log=log)
    assert shown.exit_code == 0, shown.stderr
    assert shown.stdout == f"{MODEL} had no rollout yet; waiting: a cooldown.\n"
    log.append([version(4)])
    assert "version 4 blessed" in before_first_rollout(log, MODEL)


def test_before_the_first_rollout_the_json_has_no_status() -> None:
    shown = data(run("rollout", "status", MODEL, "--json"))
    assert (shown["status"], shown["verdict"]) == (None, None)
    assert "no version yet; 0 windows judged" in shown["waiting"]


def view(phase: str = "stepping", weight: int = 10) -> RolloutView:
    arm = ArmView(role="canary", version="2", health="ready", weight=weight, measured=9.5)
    return RolloutView(
        status=status(phase, weight=weight),
        verdict=canary_verdict(weight=weight),
        steps=5,
        arms=(arm,),
    )


def test_the_tree_shows_weights_arms_and_gates() -> None:
    from rich.console import Console

    console = Console(width=200, markup=False, color_system=None)
    with console.capture() as captured:
        console.print(rollout_tree(view()))
    text = captured.get()
    for words in (
        "weight set 10 %",
        "canary: version 2, ready, weight 10 %, measured 9.5 %",
        "step 2 of 5, weight set 10 %",
        "gates at step 2 of 5 (10 %)",
        "errors: insufficient, excess +0.12 pp, limit 0.5 pp, n 120, 300 requests missing",
    ):
        assert words in text
    assert "log_e_fail" not in text  # evidence is in the record


@pytest.mark.parametrize(
    ("gate", "samples", "limit", "words"),
    [
        ("slow", {"excess": -0.01}, 0.02, "excess -1.00 pp, limit 2 pp"),
        ("latency_p99", {"canary_timed": 200, "canary_slow": 1}, 0.01, "slow 0.50 %, limit 1 %"),
        ("latency_p99", {"canary_timed": 0, "canary_slow": 0}, 0.01, "limit 1 %"),
        ("sample_ratio", {"log_e": 0.0}, 0.0001, "p 1, limit 0.0001"),
        ("startup", {"seconds": 2.5}, 60.0, "2.50 s, limit 60 s"),
        ("predictions", {"look": 3, "distance": 0.25}, 0.1, "distance 0.250, limit 0.1"),
        ("predictions", {"look": 0, "distance": 0.0}, 0.1, "limit 0.1"),
        (
            "quality",
            {"look": 1, "loss": 0.021, "error": 0.004},
            0.02,
            "loss +0.0210 ± 0.0040, limit 0.02",
        ),
        ("tips", {"mean_excess": -0.5}, 2.0, "worse by -0.5, margin 2"),
        ("paired", {"rank_correlation": -1.0}, 0.2, "rank correlation -1.00, limit 0.2"),
        ("paired", {}, 0.2, "limit 0.2"),
    ],
)
def test_each_gate_shows_its_value_against_its_limit(
    gate: str, samples: dict[str, float], limit: float, words: str
) -> None:
    result = GateResult(
        gate=gate,
        outcome="pass",
        reason="",
        query="",
        n=10,
        limit=limit,
        samples=tuple(GateSample(name=name, value=value) for name, value in samples.items()),
    )
    assert value_against_limit(result) == words


def test_the_tree_shows_each_slice_with_its_counts() -> None:
    from rich.console import Console

    def part(name: str, outcome: GateOutcome, **changes: object) -> SliceResult:
        counts: dict[str, object] = {
            "requests": 40, "bad": 4, "requests_beside": 38, "bad_beside": 0,
            "share": 0.01, "smallest_harm": 0.4,
        }  # fmt: skip
        return SliceResult(name=name, outcome=outcome, **{**counts, **changes})  # type: ignore[arg-type]

    parts = (
        part("acme", "fail"),
        part("beta", "insufficient", missing=12),
        part("tiny", "insufficient", holds=False),
        part("none", "insufficient", holds=False, requests=0, bad=0, smallest_harm=1.0),
    )
    gate = GateResult(
        gate="errors_by_slice", outcome="fail", reason="", query="", n=78, limit=0.25, slices=parts
    )
    shown = replace(view(), verdict=msgspec.structs.replace(canary_verdict(), gates=(gate,)))
    console = Console(width=200, markup=False, color_system=None)
    with console.capture() as captured:
        console.print(rollout_tree(shown))
    text = captured.get()
    for words in (
        "errors_by_slice: fail, 4 slices, limit 25 %",
        "acme (1 % of the requests): fail, 4 of 40 against 0 of 38",
        "beta (1 % of the requests): insufficient, 4 of 40 against 0 of 38, 12 requests missing",
        "too few requests to judge: smallest harm found 40 %",
        "too few requests to judge: not even a total failure is found",
    ):
        assert words in text
    assert "slice acme of errors_by_slice: fail" in list(rollout_lines(shown))


def test_a_step_before_the_first_has_no_number() -> None:
    assert step_text(-1, 5) == "before step 1 of 5"


class ScriptedObserver:
    """Shows one view after the other."""

    def __init__(self, *views: RolloutView) -> None:
        self.views = list(views)

    def look(self) -> RolloutView:
        return self.views.pop(0)


def test_off_a_terminal_a_watch_prints_changes_until_the_rollout_ends(
    capsys: pytest.CaptureFixture[str],
) -> None:
    pauses: list[float] = []
    observer = ScriptedObserver(view(), view(), view(weight=25), view("idle", 0))
    rollout._watch(observer, pauses.append)  # type: ignore[arg-type]
    printed = capsys.readouterr().out
    assert printed.count("stepping at 10 %") == 1
    assert printed.count("stepping at 25 %") == 1
    assert "idle at 0 %" in printed
    assert len(pauses) == 3


def test_on_a_terminal_one_tree_is_redrawn_until_the_rollout_ends(
    capsys: pytest.CaptureFixture[str],
) -> None:
    pauses: list[float] = []
    observer = ScriptedObserver(view(), view(weight=25), view("idle", 0))
    rollout._watch_live(observer, pauses.append)  # type: ignore[arg-type]
    assert "idle at 0 %" in capsys.readouterr().out
    assert len(pauses) == 2


def test_a_watched_rollout_ends_the_command(log: MemoryLog) -> None:
    log.append([status("idle", at=40.0)])
    shown = run("rollout", "status", MODEL, "--watch", log=log)
    assert shown.exit_code == 0, shown.stderr
    assert "idle" in shown.stdout


def scrape(at: float, **requests: int) -> Scrape:
    arms = tuple(
        ArmCounters(arm=arm, requests=count, errors=0, timed=0, slow=0)  # type: ignore[arg-type]
        for arm, count in requests.items()
    )
    return Scrape(at=at, uptime_seconds=at, arms=arms)


def test_the_measured_share_is_that_of_the_period() -> None:
    scrapes = (scrape(1.0, stable=100, canary=0), scrape(2.0, stable=180, canary=20))
    assert measured_shares(scrapes) == {"stable": 80.0, "canary": 20.0}
    assert measured_shares(scrapes[:1]) == {}
    assert measured_shares((scrape(9.0, stable=5), scrape(1.0, stable=6))) == {}
