"""The watchdog of a stream job against a fake Flink: failures alone and in random order."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from deploy.app.job_keeping import Act, Decision
from tests.deploy.services.fake_flink import NAME, AtOnce, Scene


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    scene = Scene(tmp_path, monkeypatch)
    scene.user_submits()
    scene.world.checkpoint()
    scene.look()
    return scene


def test_a_job_that_flink_has_forgotten_continues_from_its_newest_checkpoint(scene: Scene) -> None:
    scene.world.checkpoint()
    newest = scene.world.newest["j1"][0].removeprefix("file:")
    scene.world.jobmanager_dies()
    scene.wait(5)
    assert scene.world.submissions == [""]
    scene.world.up = True
    scene.wait(1)
    assert scene.world.submissions == ["", newest]
    known = scene.submitted.all()[NAME]
    assert known.job_id == scene.world.live[0]
    assert (known.keeping.resubmits, known.keeping.resubmitted_from) == (1, newest)
    assert scene.watchdog.condition.running is False  # as of the last look
    scene.wait(1)
    assert scene.watchdog.condition.running


@pytest.mark.parametrize("deaths", [1, 2, 5])
def test_a_run_that_dies_before_its_first_checkpoint_does_not_lose_the_place(
    scene: Scene, deaths: int
) -> None:
    for _ in range(deaths):
        scene.world.jobmanager_dies()
        scene.wait(2)
        scene.world.up = True
        scene.wait(200)
    assert len(scene.world.submissions) == deaths + 1
    assert len(set(scene.world.submissions[1:])) == 1
    assert scene.world.position[scene.world.live[0]] == 1


def test_a_cancelled_job_stays_cancelled(scene: Scene) -> None:
    scene.user_cancels()
    scene.wait(5)
    scene.world.jobmanager_dies()
    scene.world.up = True
    scene.wait(700)
    assert scene.world.submissions == [""]


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("forgotten", [False, True])
def test_a_job_cancelled_while_flink_is_away_is_ended_when_it_answers(
    scene: Scene, restarted: bool, forgotten: bool
) -> None:
    if forgotten:
        scene.world.jobmanager_dies()
    scene.world.up = False
    scene.user_cancels()
    assert not scene.expected()
    scene.wait(5)
    if restarted:
        scene.new_watchdog()
    scene.world.up = True
    scene.wait(700)
    assert scene.world.submissions == [""]
    assert scene.world.live == []
    assert not scene.submitted.all()[NAME].ending
    scene.user_submits()
    scene.wait(60)
    assert len(scene.world.live) == 1


def test_a_job_submitted_again_before_flink_answered_is_not_ended(scene: Scene) -> None:
    scene.world.up = False
    scene.user_cancels()
    scene.world.up = True
    scene.user_submits()
    scene.wait(60)
    assert scene.world.live == ["j1"]
    assert scene.expected()


@pytest.mark.parametrize("ended", ["FAILED", "FINISHED", "forgotten"])
def test_a_lost_job_can_be_cancelled(scene: Scene, ended: str) -> None:
    if ended == "forgotten":
        scene.world.states.clear()
    else:
        scene.world.states["j1"] = ended
    scene.user_cancels()
    scene.wait(700)
    assert scene.world.submissions == [""]
    assert not scene.expected()


def test_a_job_cancelled_on_flink_itself_stays_cancelled_also_after_a_restart(
    scene: Scene,
) -> None:
    scene.world.states["j1"] = "CANCELED"
    scene.wait(2)
    scene.world.jobmanager_dies()
    scene.world.up = True
    scene.new_watchdog()
    scene.wait(700)
    assert scene.world.submissions == [""]
    assert not scene.expected()


def test_a_refused_checkpoint_gives_way_to_the_one_before(scene: Scene) -> None:
    before = scene.world.newest["j1"][0].removeprefix("file:")
    scene.world.checkpoint()
    newest = scene.world.newest["j1"][0].removeprefix("file:")
    scene.world.damaged.add(newest)
    scene.world.states["j1"] = "FAILED"
    scene.wait(20)
    assert scene.world.submissions == ["", newest, before]
    assert scene.world.live
    scene.world.checkpoint()
    scene.wait(60)
    assert scene.submitted.all()[NAME].keeping.refused == ()


def test_two_refused_checkpoints_do_not_bring_back_a_point_of_weeks_ago(scene: Scene) -> None:
    scene.world.jobmanager_dies()
    scene.world.up = True
    scene.wait(2)
    (job_id,) = scene.world.live
    long_ago = scene.world.restored[job_id]
    for _ in range(5):
        scene.world.checkpoint()
        scene.wait(60)
    own = [str(path) for path in (scene.world.folder / job_id).glob("chk-*")]
    scene.world.damaged.update(own)
    scene.world.states[job_id] = "FAILED"
    before = len(scene.world.submissions)
    scene.wait(3600)
    tried = scene.world.submissions[before:]
    assert set(tried) == set(own)
    assert long_ago not in tried
    assert len(tried) < 20
    assert scene.watchdog.condition.needs_help
    known = scene.submitted.all()[NAME].keeping
    assert known.needs_help
    assert sorted(known.refused) == sorted(own)
    scene.world.damaged.clear()
    scene.wait(700)
    scene.world.checkpoint()
    scene.wait(60)
    assert not scene.watchdog.condition.needs_help


def test_a_job_that_can_never_start_is_tried_ever_more_rarely_and_alerted(scene: Scene) -> None:
    scene.world.damaged.add(scene.world.newest["j1"][0].removeprefix("file:"))
    scene.world.states["j1"] = "FAILED"
    scene.wait(4 * 3600)
    assert 20 < len(scene.world.submissions) < 40
    assert scene.watchdog.condition.needs_help
    assert "cannot restore" in scene.submitted.all()[NAME].keeping.last_error


def test_lost_checkpoints_are_never_answered_by_reading_everything_again(scene: Scene) -> None:
    scene.world.checkpoint()
    scene.look()
    for path in scene.world.folder.glob("*/*/_metadata"):
        path.unlink()
    scene.world.jobmanager_dies()
    scene.world.up = True
    scene.wait(700)
    assert scene.world.submissions == [""]
    assert scene.watchdog.condition.needs_help
    assert "--fresh" in scene.submitted.all()[NAME].keeping.note


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_watchdog_that_is_killed_while_it_submits_starts_no_second_run(
    scene: Scene, moment: str
) -> None:
    scene.world.jobmanager_dies()
    scene.world.up = True
    scene.world.kill_at = moment
    scene.wait(30)
    assert len(scene.world.live) == 1
    assert len(scene.world.submissions) == 2
    assert scene.submitted.all()[NAME].job_id == scene.world.live[0]


def test_stuck_tasks_are_started_again(scene: Scene) -> None:
    """The pool was killed between the request of a worker and the worker's report."""
    scene.world.stuck = True
    scene.wait(100)
    assert len(scene.world.submissions) == 1
    scene.wait(25)
    scene.world.stuck = False
    scene.wait(5)
    assert len(scene.world.submissions) == 2
    assert scene.expected()


def test_a_suspended_machine_is_no_stuck_task(scene: Scene) -> None:
    scene.world.stuck = True
    scene.wait(5)
    scene.world.now += 3600.0
    scene.world.suspended += 3600.0
    scene.wait(5)
    assert len(scene.world.submissions) == 1
    scene.wait(120)
    assert len(scene.world.submissions) == 2


@pytest.mark.parametrize("resubmitted", [False, True])
def test_a_run_that_never_completes_a_checkpoint_is_old_and_calls_for_help(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resubmitted: bool
) -> None:
    scene = Scene(tmp_path, monkeypatch)
    scene.user_submits()
    if resubmitted:
        scene.world.checkpoint()
        scene.wait(500)
        scene.world.jobmanager_dies()
        scene.world.up = True
        scene.wait(1)
    started = scene.world.now
    scene.world.last_error = "java.io.InvalidClassException"
    scene.wait(100)
    condition = scene.watchdog.condition
    assert (condition.running, condition.checkpointed_at) == (True, started)
    assert not condition.needs_help
    scene.wait(30)
    assert scene.watchdog.condition.needs_help
    note = scene.submitted.all()[NAME].keeping.note
    assert "java.io.InvalidClassException" in note
    assert "--fresh" in note
    scene.world.checkpoint()
    scene.wait(60)
    assert not scene.watchdog.condition.needs_help
    assert scene.submitted.all()[NAME].keeping.note == ""


@pytest.mark.parametrize("away", ["kafka", "task_manager", "up"])
def test_a_run_without_a_checkpoint_is_not_blamed_for_what_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, away: str
) -> None:
    scene = Scene(tmp_path, monkeypatch)
    scene.user_submits()
    scene.wait(50)
    setattr(scene.world, away, False)
    scene.world.stuck = True
    scene.wait(500)
    setattr(scene.world, away, True)
    scene.world.stuck = False
    scene.wait(60)
    assert not scene.watchdog.condition.needs_help
    assert len(scene.world.submissions) == 1


@pytest.mark.parametrize("content", ["{", "", "null", "\0\0"])
def test_an_unusable_file_changes_nothing_and_is_alerted(scene: Scene, content: str) -> None:
    scene.submitted.file.write_text(content)
    scene.world.jobmanager_dies()
    scene.world.up = True
    scene.wait(30)
    assert scene.world.submissions == [""]
    assert scene.submitted.file.read_text() == content
    assert scene.watchdog.condition.needs_help
    assert not scene.watchdog.condition.running


def test_a_file_that_becomes_unusable_while_a_job_is_submitted_stays(scene: Scene) -> None:
    def empty() -> None:
        scene.submitted.file.write_text("")

    scene.watchdog.prepare = empty
    scene.world.jobmanager_dies()
    scene.world.up = True
    scene.wait(3)
    assert scene.submitted.file.read_text() == ""
    assert scene.watchdog.condition.needs_help


def test_two_watchdogs_start_one_run(scene: Scene) -> None:
    first = scene.watchdog
    scene.new_watchdog()
    scene.world.jobmanager_dies()
    scene.world.up = True
    for watchdog in (first, scene.watchdog) * 3:
        watchdog.look(AtOnce())
    assert len(scene.world.submissions) == 2


@pytest.mark.parametrize("seed", range(12))
def test_whatever_happens_one_run_continues_where_the_last_one_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    scene = Scene(tmp_path, monkeypatch)
    world, chance = scene.world, random.Random(seed)
    place = 0  # what no later run may fall behind: the checkpoint before the newest
    for _ in range(150):
        submitted_before = len(world.submissions)
        event = chance.choice(EVENTS)
        event(scene)
        was_expected = scene.expected()
        scene.wait(chance.choice((1, 3, 20)))
        assert len(world.live) <= 1
        if not was_expected and event is not submits:
            assert len(world.submissions) == submitted_before, event
        for job_id in world.live:
            assert world.position[job_id] >= place, (event, world.submissions[-1:])
            place = max(place, world.position[job_id] - 1)
    world.up = world.task_manager = world.kafka = True
    world.damaged.clear()
    world.kill_at = ""
    if not scene.expected():
        scene.user_submits()
    scene.wait(700)
    assert len(world.live) == 1
    assert scene.submitted.all()[NAME].job_id == world.live[0]
    world.checkpoint()
    scene.wait(60)
    assert scene.look() == Decision(act=Act.NOTHING, reason="it runs", job_id=world.live[0])


def dies(scene: Scene) -> None:
    scene.world.jobmanager_dies()


def returns(scene: Scene) -> None:
    scene.world.up = scene.world.task_manager = scene.world.kafka = True


def task_manager_dies(scene: Scene) -> None:
    scene.world.task_manager = False


def kafka_dies(scene: Scene) -> None:
    scene.world.kafka = False


def fails(scene: Scene) -> None:
    for job_id in scene.world.live:
        scene.world.states[job_id] = "FAILED"


def reads_on(scene: Scene) -> None:
    scene.world.checkpoint()


def newest_is_damaged(scene: Scene) -> None:
    """Only when there is another one to start from."""
    for job_id in scene.world.live:
        paths = sorted((scene.world.folder / job_id).glob("chk-*"), key=lambda p: int(p.name[4:]))
        if len(paths) == 2 and str(paths[0]) not in scene.world.damaged:
            scene.world.damaged.add(str(paths[1]))


def watchdog_is_killed(scene: Scene) -> None:
    scene.new_watchdog()


def killed_before(scene: Scene) -> None:
    scene.world.kill_at = "before"


def killed_after(scene: Scene) -> None:
    scene.world.kill_at = "after"


def submits(scene: Scene) -> None:
    scene.user_submits()


def cancels(scene: Scene) -> None:
    scene.user_cancels()


EVENTS = (
    dies, returns, returns, task_manager_dies, kafka_dies, fails, reads_on, reads_on, reads_on,
    newest_is_damaged, watchdog_is_killed, killed_before, killed_after, submits, submits, cancels,
)  # fmt: skip
