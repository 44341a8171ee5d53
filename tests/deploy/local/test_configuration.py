"""A second configuration file takes over neither a running stack nor its stream jobs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.app.deployment import Deployment
from deploy.app.submitted_jobs import SubmittedJobs
from deploy.config.port_map import PortMap
from deploy.local.configuration import Configuration, read_configuration, take_folder
from deploy.local.embedded import configuration_of
from deploy.local.process_spec import Alive, ProcessSpec
from deploy.local.stack import Stack, running_processes
from deploy.local.supervised import read_state, state_file
from streaming.contracts.errors import ConfigurationError
from tests.deploy.cli.runner import DEMO, run

A = Configuration(file="/etc/a.yaml", kafka="h:9092", models={"taxi": "trips"})
OTHERS = {
    "other models": Configuration(file="/etc/b.yaml", kafka="h:9092", models={"fares": "fares"}),
    "more models": Configuration(
        file="/etc/b.yaml", kafka="h:9092", models={"taxi": "trips", "fares": "fares"}
    ),
    "other topics": Configuration(file="/etc/b.yaml", kafka="h:9092", models={"taxi": "new"}),
    "other Kafka": Configuration(file="/etc/b.yaml", kafka="k:9092", models={"taxi": "trips"}),
}
MOVED = Configuration(file="/srv/a.yaml", kafka="h:9092", models={"taxi": "trips"})
EDITED = Configuration(file="/etc/a.yaml", kafka="h:9092", models={"fares": "fares"})


def stack_of(home: Path, configuration: Configuration | None) -> Stack:
    spec = ProcessSpec(
        name="sleeps",
        argv=(sys.executable, "-c", f"import time; time.sleep(600)  # {configuration}"),
        ready=Alive(seconds=0.0),
        stop_seconds=2.0,
    )
    return Stack(home, PortMap(), [spec], configuration=configuration)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    stack_of(tmp_path, None).down()


@pytest.mark.parametrize("other", [*OTHERS.values(), MOVED], ids=[*OTHERS, "moved"])
def test_a_running_stack_is_not_taken_over(home: Path, other: Configuration) -> None:
    stack_of(home, A).up()
    before = read_state(state_file(home, "sleeps"))
    with pytest.raises(ConfigurationError) as refused:
        stack_of(home, other).up()
    for part in (A.file, other.file, *A.models, *other.models, f"-c {A.file} down"):
        assert part in str(refused.value)
    assert read_state(state_file(home, "sleeps")) == before
    stack_of(home, A).up()  # its own file repairs it
    stack_of(home, A).down()
    stack_of(home, other).up()
    assert read_configuration(home) == other
    assert running_processes(home) == ("sleeps",)


def test_a_stack_whose_supervisor_was_killed_is_not_taken_over(home: Path) -> None:
    stack = stack_of(home, A)
    stack.up()
    identity = stack._supervisor()
    assert identity is not None
    os.kill(identity.pid, 9)
    stack._wait_until(lambda: not stack.supervised(), 10.0)
    with pytest.raises(ConfigurationError, match=r"/etc/a\.yaml"):
        stack_of(home, OTHERS["other models"]).up()


def test_an_edited_file_keeps_its_stack(home: Path) -> None:
    stack_of(home, A).up()
    stack_of(home, EDITED).up()
    assert read_configuration(home) == EDITED


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_the_stream_jobs_of_another_file_are_set_aside_and_come_back(
    tmp_path: Path, other: Configuration
) -> None:
    jobs = SubmittedJobs(tmp_path / "run" / "stream-jobs.json")
    take_folder(tmp_path, A, running=False)
    jobs.add("driftline-all", "of-a")
    take_folder(tmp_path, other, running=False)
    assert jobs.all() == {}
    jobs.add("driftline-all", "of-b")
    take_folder(tmp_path, A, running=False)
    assert {name: job.job_id for name, job in jobs.all().items()} == {"driftline-all": "of-a"}
    take_folder(tmp_path, other, running=False)
    assert jobs.all()["driftline-all"].job_id == "of-b"


@pytest.mark.parametrize("same", [MOVED, EDITED, A], ids=["moved", "edited", "the same"])
def test_a_file_that_was_moved_or_edited_keeps_its_stream_jobs(
    tmp_path: Path, same: Configuration
) -> None:
    jobs = SubmittedJobs(tmp_path / "run" / "stream-jobs.json")
    take_folder(tmp_path, A, running=False)
    jobs.add("driftline-all", "of-a")
    take_folder(tmp_path, same, running=False)
    assert jobs.all()["driftline-all"].job_id == "of-a"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"file": 1}'])
def test_an_unusable_note_is_replaced(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "configuration").write_bytes(content)
    take_folder(tmp_path, A, running=True)
    assert read_configuration(tmp_path) == A


def test_a_deployment_names_its_file_and_topics(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRIFTLINE_HOME", str(tmp_path))
    deployment = Deployment.load(DEMO)
    configuration = configuration_of(deployment)
    assert configuration.file == str(DEMO.resolve())
    (name,) = configuration.models
    assert configuration.models[name] == deployment.settings_of(name).events.topic


@pytest.fixture
def deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployment]:
    """One in whose folder the stack of another file runs."""
    monkeypatch.setenv("DRIFTLINE_HOME", str(tmp_path / "home"))
    deployment = Deployment.load(DEMO)
    (tmp_path / "other.yaml").touch()
    other = Configuration(file=str(tmp_path / "other.yaml"), kafka="h:9092", models={"a": "b"})
    stack_of(deployment.home, other).up()
    yield deployment
    stack_of(deployment.home, None).down()


CHANGES = (
    ("down", "--yes"),
    ("job", "submit"),
    ("job", "submit", "big_tipper", "--fresh"),
    ("job", "update"),
    ("job", "rescale", "big_tipper", "2"),
    ("job", "cancel", "big_tipper", "--yes"),
)


@pytest.mark.parametrize("words", CHANGES, ids=" ".join)
def test_commands_leave_the_stack_and_jobs_of_another_file_alone(
    deployment: Deployment, tmp_path: Path, words: tuple[str, ...]
) -> None:
    result = run(*words)
    assert result.exit_code == 2
    assert f"-c {tmp_path / 'other.yaml'} down" in result.stderr.replace("\n", "")
    assert running_processes(deployment.home) == ("sleeps",)


def test_the_stack_of_a_file_that_has_gone_is_stopped_by_any(
    deployment: Deployment, tmp_path: Path
) -> None:
    (tmp_path / "other.yaml").unlink()
    assert run("down", "--yes").exit_code == 0
    assert running_processes(deployment.home) == ()
