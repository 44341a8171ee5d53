"""`driftline experiment`: what is sent, what is shown, and what is refused before it is sent."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from deploy.records.commands import new_command
from streaming.contracts.experiment_assignment import with_id
from streaming.contracts.experiment_records import ExperimentEffect
from streaming.contracts.log import MemoryLog
from streaming.contracts.records import ExperimentDefinition, ExperimentLook, ExperimentStatus
from tests.deploy.cli.builders import MODEL, promotion, version
from tests.deploy.cli.doubles import replying
from tests.deploy.cli.runner import SHIPPED, data, run
from tests.serving.experiments.experiment_world import arm, definition


@pytest.fixture
def log() -> MemoryLog:
    """Version 1 is live, versions 2 and 3 are blessed, version 4 is not."""
    filled = MemoryLog()
    filled.append(
        [version(1), promotion(1), version(2), version(3), version(4, blessed=False, reason="bad")]
    )
    return filled


def made() -> ExperimentDefinition:
    return with_id(definition(arms=(arm("champion", 1, 2000), arm("v2", 2, 2000))), MODEL)


def status(phase: str = "running", outcome: str = "", at: float = 50.0) -> ExperimentStatus:
    return ExperimentStatus(
        record_id=f"status-{phase}",
        model=MODEL,
        at=at,
        definition=made(),
        phase=phase,  # type: ignore[arg-type]
        outcome=outcome,  # type: ignore[arg-type]
        winner=0,
        reason="Users meet their arms.",
        started_at=20.0,
        stopped_at=None,
        ends_at=4000.0,
    )


def look(at: float, low: float) -> ExperimentLook:
    effect = ExperimentEffect(
        arm="v2", difference=low + 0.05, low=low, high=low + 0.1, users=400, champion_users=410,
        outcome="", reason="not decided",
    )  # fmt: skip
    return ExperimentLook(
        record_id=f"look-{at}", model=MODEL, at=at, experiment_id=made().experiment_id,
        outcome="", reason="not decided", effects=(effect,), gates=(), counts=None,
    )  # fmt: skip


START = ("experiment", "start", MODEL, "--arm", "2=20", "--for", "7d")


def test_a_start_sends_the_whole_definition(log: MemoryLog) -> None:
    with replying(log, result_id="e1") as daemon:
        shown = run(*START, "--minimum-effect", "0.02", "--metric", "brier", "--yes", log=log)
    assert shown.exit_code == 0, shown.stderr
    (sent,) = daemon.commands
    assert sent.action == "start-experiment"
    experiment = sent.experiment
    assert experiment is not None
    assert experiment == with_id(experiment, MODEL)
    assert [(entry.name, entry.version, entry.share) for entry in experiment.arms] == [
        ("champion", 1, 2000),
        ("v2", 2, 2000),
    ]
    assert experiment.arms[1].digest == "digest-2"
    assert (experiment.metric, experiment.minimum_effect) == ("brier", 0.02)
    assert experiment.end - experiment.begin == 7 * 86_400.0
    assert "20 % version 2" in shown.stderr
    assert "digest of its files digest-2" in shown.stderr


def test_three_arms_and_a_later_beginning(log: MemoryLog) -> None:
    words = ("--arm", "3=60", "--begin", "2100-01-01", "--yes")
    with replying(log) as daemon:
        assert run(*START, *words, log=log).exit_code == 0
    experiment = daemon.commands[0].experiment
    assert experiment is not None
    assert [entry.share for entry in experiment.arms] == [2000, 2000, 6000]
    assert experiment.begin == 4_102_444_800.0


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("--arm", "2=20", "--for", "soon"), 2, "no duration"),
        (("--arm", "2", "--for", "7d"), 2, "is not VERSION=PERCENT"),
        (("--arm", "2=x", "--for", "7d"), 2, "is not VERSION=PERCENT"),
        (("--arm", "2=20", "--arm", "2=30", "--for", "7d"), 2, "same version"),
        (("--arm", "2=70", "--champion", "40", "--for", "7d"), 2, "at most 100 %"),
        (("--arm", "2=100", "--for", "7d"), 2, "at least 0.01 %"),
        (("--arm", "1=20", "--for", "7d"), 5, "is live"),
        (("--arm", "4=20", "--for", "7d"), 5, "not blessed"),
        (("--arm", "9=20", "--for", "7d"), 3, "driftline versions"),
        (("--arm", "2=20", "--for", "7d", "--begin", "noon"), 2, "is no time"),
        (("--arm", "2=20", "--for", "7d", "--force"), 2, "--reason"),
    ],
)
def test_what_cannot_work_is_refused_before_it_is_sent(
    log: MemoryLog, words: tuple[str, ...], code: int, text: str
) -> None:
    shown = run("experiment", "start", MODEL, *words, "--yes", log=log)
    assert (shown.exit_code, text in " ".join(shown.stderr.split())) == (code, True), shown.stderr


def test_without_predictions_there_is_no_experiment(log: MemoryLog) -> None:
    shown = run(*START, "--yes", log=log, config=SHIPPED)
    assert shown.exit_code == 2
    assert "predictions" in shown.stderr


def test_without_a_terminal_it_needs_consent(log: MemoryLog) -> None:
    shown = run(*START, log=log)
    assert shown.exit_code == 2
    assert "needs --yes" in shown.stderr


def test_a_refusal_of_the_daemon_is_a_conflict(log: MemoryLog) -> None:
    with replying(log, accepted=False, reason="Conflict: version 3 is being rolled out."):
        shown = run(*START, "--yes", log=log)
    assert shown.exit_code == 5
    assert "version 3 is being rolled out" in shown.stderr


def test_the_status_shows_arms_intervals_and_a_picture(log: MemoryLog, tmp_path: Path) -> None:
    log.append([status(), look(60.0, -0.06), look(120.0, -0.03)])
    picture = tmp_path / "effect.svg"
    shown = run("experiment", "status", MODEL, "--plot", str(picture), log=log)
    assert shown.exit_code == 0, shown.stderr
    assert "+0.0200" in shown.stdout
    assert "-0.0300" in shown.stdout
    assert made().experiment_id in shown.stdout
    assert "hours since users met their arms" in picture.read_text()
    shown = run("experiment", "status", MODEL, "--json", log=log)
    assert data(shown)["status"]["phase"] == "running"
    assert data(shown)["look"]["at"] == 120.0


def test_a_picture_without_any_interval_says_so(log: MemoryLog, tmp_path: Path) -> None:
    log.append([status()])
    shown = run("experiment", "status", MODEL, "--plot", str(tmp_path / "e.svg"), log=log)
    assert shown.exit_code == 3
    assert "enough users" in shown.stderr


def test_the_list_has_the_newest_status_of_each(log: MemoryLog) -> None:
    log.append([status(), status("ended", "better", at=90.0)])
    assert data(run("experiment", "list", MODEL, "--json", log=log))[0]["outcome"] == "better"
    assert "better" in run("experiment", "list", MODEL, log=log).stdout


def test_no_experiment_is_said_with_the_next_command(log: MemoryLog) -> None:
    shown = run("experiment", "status", MODEL, log=log)
    assert shown.exit_code == 3
    assert "driftline experiment list" in shown.stderr
    assert "no experiment yet" in run("experiment", "list", MODEL, log=log).stdout


def test_a_stop_names_the_experiment(log: MemoryLog) -> None:
    log.append([status()])
    begin = made().experiment_id[:6]
    with replying(log) as daemon:
        shown = run("experiment", "stop", MODEL, "--id", begin, "--yes", log=log)
    assert shown.exit_code == 0, shown.stderr
    (sent,) = daemon.commands
    assert (sent.action, sent.subject) == ("stop-experiment", made().experiment_id)


def test_two_experiments_with_the_same_beginning_must_be_told_apart(log: MemoryLog) -> None:
    other = replace(
        status(), record_id="other", definition=with_id(replace(made(), alpha=0.1), MODEL)
    )
    log.append([status(), other])
    shown = run("experiment", "status", MODEL, "--id", "", log=log)
    assert shown.exit_code == 3
    assert "2 experiments" in shown.stderr


def test_an_outcome_is_traced_to_the_command_that_started_it(log: MemoryLog) -> None:
    command = new_command(MODEL, "start-experiment", "is it better?", at=10.0, who="ann")
    ended = replace(status("ended", "better", at=90.0), record_id="ab" * 12)
    log.append([command, replace(ended, caused_by=(command.record_id,))])
    shown = run("trace", "abababab", log=log)
    assert shown.exit_code == 0, shown.stderr
    assert "ended: better" in shown.stdout
    assert "ann sent the command start-experiment" in shown.stdout
