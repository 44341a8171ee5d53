"""The decision of the watchdog: when a stream job is submitted again, and from where."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from deploy.app.job_keeping import (
    Act,
    Observation,
    SeenRun,
    WatchdogRules,
    decide,
    local_path,
    starting_points,
)
from deploy.app.submitted_jobs import Keeping, SubmittedJob

NOW = 10_000.0
KNOWN = SubmittedJob(job_id="old")
RULES = WatchdogRules()


def job(**changes: Any) -> SubmittedJob:
    keeping = {name: changes.pop(name) for name in Keeping.__struct_fields__ if name in changes}
    return replace(KNOWN, keeping=Keeping(**keeping), **changes)


def run(job_id: str = "old", state: str = "RUNNING", **changes: Any) -> SeenRun:
    ended = state in ("FAILED", "FINISHED", "CANCELED")
    values = {"started_at": 9_000.0, "tasks_run": state == "RUNNING", **changes}
    return SeenRun(job_id=job_id, state=state, ended=ended, **values)


def seen(known: SubmittedJob | None = KNOWN, *runs: SeenRun, **changes: Any) -> Observation:
    return Observation(job=known, runs=runs, **{"points": ("/chk-9", "/chk-8"), **changes})


STUCK = run(tasks_run=False)

TABLE: dict[str, tuple[Observation, Act, str]] = {
    "never submitted": (seen(None), Act.NOTHING, ""),
    "never submitted, but it runs": (seen(None, run()), Act.NOTHING, ""),
    "cancelled by the command": (seen(job(expected=False)), Act.NOTHING, ""),
    "cancelled, and Flink is away": (
        seen(job(expected=False), flink_answers=False),
        Act.NOTHING,
        "",
    ),
    "cancelled while Flink is away": (
        seen(job(expected=False, ending=True), flink_answers=False),
        Act.WAIT,
        "",
    ),
    "cancelled then, and it still runs": (
        seen(job(expected=False, ending=True), run()),
        Act.END,
        "",
    ),
    "cancelled then, and it restarts as another": (
        seen(job(expected=False, ending=True), run("new", "RESTARTING")),
        Act.END,
        "",
    ),
    "cancelled then, and it ends": (
        seen(job(expected=False, ending=True), run(state="CANCELLING")),
        Act.WAIT,
        "",
    ),
    "cancelled then, and Flink has forgotten it": (
        seen(job(expected=False, ending=True)),
        Act.FORGET,
        "",
    ),
    "Flink does not answer": (seen(flink_answers=False), Act.WAIT, ""),
    "it runs": (seen(KNOWN, run()), Act.NOTHING, ""),
    "the JobManager has forgotten it": (seen(), Act.SUBMIT, "/chk-9"),
    "it failed for good": (seen(KNOWN, run(state="FAILED")), Act.SUBMIT, "/chk-9"),
    "it finished": (seen(KNOWN, run(state="FINISHED")), Act.SUBMIT, "/chk-9"),
    "an older run ended, the known one is gone": (
        seen(KNOWN, run("older", "CANCELED")),
        Act.SUBMIT,
        "/chk-9",
    ),
    "cancelled on Flink itself": (seen(KNOWN, run(state="CANCELED")), Act.FORGET, ""),
    "cancelled by an update that was killed": (
        seen(job(starting_from="/sp-1"), run(state="CANCELED"), points=("/sp-1", "/chk-9")),
        Act.SUBMIT,
        "/sp-1",
    ),
    "it is being cancelled": (seen(job(starting_from="/s"), run(state="CANCELLING")), Act.WAIT, ""),
    "it is failing": (seen(KNOWN, run(state="FAILING")), Act.WAIT, ""),
    "it runs under another id": (seen(KNOWN, run("new")), Act.ADOPT, ""),
    "a submission was killed after it worked": (
        seen(job(starting_from="/chk-9"), run("new")),
        Act.ADOPT,
        "",
    ),
    "an update was killed before it cancelled": (
        seen(job(starting_from="/sp-1"), run()),
        Act.ADOPT,
        "",
    ),
    "two runs": (seen(KNOWN, run("new"), run()), Act.CANCEL_SECOND, ""),
    "no TaskManager": (seen(task_managers=0), Act.WAIT, ""),
    "Kafka is away": (seen(silent=("Kafka",)), Act.WAIT, ""),
    "it never had a checkpoint": (seen(points=("",)), Act.SUBMIT, ""),
    "its checkpoints are gone": (seen(points=()), Act.GIVE_UP, ""),
    "checkpoints gone, Flink busy too": (seen(points=(), task_managers=0), Act.GIVE_UP, ""),
    "one attempt just failed": (seen(job(attempts=1, attempted_at=NOW - 4)), Act.WAIT, ""),
    "its pause is over": (seen(job(attempts=1, attempted_at=NOW - 5)), Act.SUBMIT, "/chk-9"),
    "the newest was refused": (
        seen(job(attempts=1, attempted_at=0.0, refused=("/chk-9",))),
        Act.SUBMIT,
        "/chk-8",
    ),
    "both were refused": (
        seen(job(attempts=2, attempted_at=0.0, refused=("/chk-9", "/chk-8"))),
        Act.SUBMIT,
        "/chk-9",
    ),
    "it failed soon after an attempt": (
        seen(job(attempts=1, restored_from="/chk-9"), run(state="FAILED")),
        Act.SUBMIT,
        "/chk-8",
    ),
    "it failed long after its start": (
        seen(job(restored_from="/chk-9"), run(state="FAILED")),
        Act.SUBMIT,
        "/chk-9",
    ),
    "many attempts": (seen(job(attempts=50, attempted_at=NOW - 599)), Act.WAIT, ""),
    "many attempts, ten minutes ago": (
        seen(job(attempts=50, attempted_at=NOW - 601)),
        Act.SUBMIT,
        "/chk-9",
    ),
    "the clock was set back": (seen(job(attempts=1, attempted_at=NOW + 9_000)), Act.WAIT, ""),
    "it runs well again": (
        seen(job(attempts=2, attempted_at=NOW - 31), run(checkpointed_at=NOW - 1)),
        Act.SETTLE,
        "",
    ),
    "it runs, but only for a moment": (
        seen(job(attempts=2, attempted_at=NOW - 29), run(checkpointed_at=NOW - 1)),
        Act.NOTHING,
        "",
    ),
    "it runs without a checkpoint": (
        seen(job(attempts=2, attempted_at=NOW - 500), run()),
        Act.NOTHING,
        "",
    ),
    "it runs, and never had a checkpoint for too long": (
        seen(KNOWN, run(), without_checkpoint=120.0),
        Act.GIVE_UP,
        "",
    ),
    "it has no checkpoint yet": (seen(KNOWN, run(), without_checkpoint=119.0), Act.NOTHING, ""),
    "it restarts, and never had a checkpoint": (
        seen(KNOWN, run(state="RESTARTING"), waited=90.0, without_checkpoint=500.0),
        Act.GIVE_UP,
        "",
    ),
    "its tasks are stuck, and it never had a checkpoint": (
        seen(KNOWN, STUCK, waited=500.0, without_checkpoint=500.0),
        Act.RESTART,
        "/chk-9",
    ),
    "it runs under another id without a checkpoint": (
        seen(KNOWN, run("new"), without_checkpoint=500.0),
        Act.ADOPT,
        "",
    ),
    "Flink restarts it": (
        seen(KNOWN, run(state="RESTARTING"), waited=900.0),
        Act.WAIT,
        "",
    ),
    "its tasks start": (seen(KNOWN, STUCK, waited=100.0), Act.WAIT, ""),
    "its tasks are stuck": (seen(KNOWN, STUCK, waited=121.0), Act.RESTART, "/chk-9"),
    "stuck, and the pool is away": (
        seen(KNOWN, STUCK, waited=121.0, silent=("the pool",)),
        Act.WAIT,
        "",
    ),
    "stuck, and no TaskManager": (seen(KNOWN, STUCK, waited=900.0, task_managers=0), Act.WAIT, ""),
    "stuck again at once": (
        seen(job(attempts=5, attempted_at=NOW - 60), STUCK, waited=121.0),
        Act.WAIT,
        "",
    ),
    "stuck without a checkpoint left": (
        seen(KNOWN, STUCK, waited=121.0, points=()),
        Act.WAIT,
        "",
    ),
}


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case.replace(" ", "-"))
def test_each_situation_has_its_act(case: str) -> None:
    situation, act, point = TABLE[case]
    decision = decide(situation, NOW)
    assert (decision.act, decision.point) == (act, point), decision.reason
    assert decision.reason


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_when_every_checkpoint_is_refused_the_newest_is_tried_again_and_help_is_called(
    count: int,
) -> None:
    own = tuple(f"/old/chk-{number}" for number in range(9, 9 - count, -1))
    for tries in range(1, 9):
        refused = own[: min(tries, count)]
        known = job(attempts=tries, refused=refused, restored_from="/savepoint-of-weeks-ago")
        points = starting_points(known, own, lambda point: True)
        decision = decide(seen(known, points=points), NOW)
        expected = own[tries] if tries < count else own[0]
        assert (decision.act, decision.point) == (Act.SUBMIT, expected)
        assert decision.needs_help == (tries >= max(count, 2))
        assert ("--restore PATH" in decision.reason) == decision.needs_help


@pytest.mark.parametrize("error", ["", "java.io.InvalidClassException: [/x]"])
def test_a_run_without_a_checkpoint_says_flinks_error_and_how_to_start_anew(error: str) -> None:
    decision = decide(seen(KNOWN, run(last_error=error), without_checkpoint=300.0), NOW)
    assert error in decision.reason
    for words in ("no checkpoint for 300 s", "another release", "--fresh", "job cancel"):
        assert words in decision.reason


def test_of_two_runs_the_remembered_one_stays_else_the_older() -> None:
    known, other = run(started_at=9_500.0), run("new", started_at=9_000.0)
    assert decide(seen(KNOWN, known, other), NOW).job_id == "new"
    strangers = (run("a", started_at=1.0), run("b", started_at=2.0))
    assert decide(seen(KNOWN, *strangers), NOW).job_id == "b"
    assert decide(seen(KNOWN, *strangers[::-1]), NOW).job_id == "b"


@given(
    attempts=st.integers(0, 2_000),
    since=st.floats(-1e6, 1e6),
)
def test_a_job_that_fails_again_and_again_is_never_looped_hot(attempts: int, since: float) -> None:
    known = job(attempts=attempts, attempted_at=NOW - since)
    decision = decide(seen(known), NOW)
    pause = RULES.pause_seconds(attempts)
    assert 0.0 <= pause <= RULES.longest_pause_seconds
    assert (decision.act is Act.SUBMIT) == (since >= pause or attempts == 0)


@given(
    known=st.sampled_from([None, job(expected=False)]),
    state=st.sampled_from(["RUNNING", "FAILED", "CANCELED", "FINISHED", "RESTARTING", "CREATED"]),
    job_id=st.sampled_from(["old", "new"]),
    answers=st.booleans(),
    points=st.sampled_from([(), ("",), ("/chk-1",)]),
)
def test_a_job_that_nobody_expects_is_never_touched(
    known: SubmittedJob | None, state: str, job_id: str, answers: bool, points: tuple[str, ...]
) -> None:
    situation = seen(known, run(job_id, state), flink_answers=answers, points=points)
    assert decide(situation, NOW).act is Act.NOTHING


# ------------------------------------------------------------------- starting points

SAVED = SubmittedJob(job_id="j", last_checkpoint="/j/chk-3", restored_from="/i/chk-7")
POINTS: dict[str, tuple[SubmittedJob, tuple[str, ...], set[str], tuple[str, ...]]] = {
    "it never had a checkpoint": (KNOWN, (), set(), ("",)),
    "its own checkpoints": (KNOWN, ("/j/chk-4", "/j/chk-3"), set(), ("/j/chk-4", "/j/chk-3")),
    "none of its own yet: where it started from": (
        replace(SAVED, last_checkpoint=""),
        (),
        {"/i/chk-7"},
        ("/i/chk-7",),
    ),
    "never where it started from, which is older, once it has its own": (
        SAVED,
        ("/j/chk-4", "/j/chk-3"),
        {"/i/chk-7"},
        ("/j/chk-4", "/j/chk-3"),
    ),
    "its own are lost, and where it started from is older": (SAVED, (), {"/i/chk-7"}, ()),
    "all are lost": (SAVED, (), set(), ()),
    "only the one that Flink named is lost": (
        replace(SAVED, restored_from=""),
        (),
        set(),
        (),
    ),
    "a folder that is not visible here": (
        replace(SAVED, last_checkpoint="s3://b/j/chk-3", restored_from=""),
        (),
        {"s3://b/j/chk-3"},
        ("s3://b/j/chk-3",),
    ),
    "an interrupted update": (
        replace(SAVED, starting_from="/sp-1"),
        ("/j/chk-4",),
        {"/sp-1"},
        ("/sp-1", "/j/chk-4"),
    ),
    "an interrupted start from the beginning": (
        replace(SAVED, starting_from=""),
        ("/j/chk-4",),
        {"/i/chk-7"},
        ("",),
    ),
}


@pytest.mark.parametrize("case", POINTS, ids=lambda case: case.replace(" ", "-"))
def test_a_job_starts_where_its_last_complete_checkpoint_is(case: str) -> None:
    known, own, existing, expected = POINTS[case]
    assert starting_points(known, own, lambda point: point in existing) == expected


@pytest.mark.parametrize("point", ["file:/a/chk-1", "file:///a/chk-1", "/a/chk-1"])
def test_flinks_urls_are_paths(point: str) -> None:
    assert local_path(point) == "/a/chk-1"
