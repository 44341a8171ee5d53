"""The options that a job is submitted with, and the errors when an engine does not answer."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from streaming.contracts.errors import ConfigurationError, UnavailableError
from streaming.contracts.model import ModelContract
from streaming.drift import DriftRules
from streaming.engines.flink.client import Flink, complete_checkpoints
from streaming.job.settings import JobSettings, ModelJob
from streaming.job.submit import options, submit

CONTRACT = ModelContract(
    model="m", module="", events_topic="e", labels_topic="l", key="id", time="at"
)


def settings(**more: object) -> JobSettings:
    return JobSettings(
        models=(ModelJob(contract=CONTRACT, rules=DriftRules()),),
        bootstrap="127.0.0.1:1",
        artifact_root="/tmp",
        job_endpoint="127.0.0.1:1",
        flink_rest="http://127.0.0.1:1",
        **more,  # type: ignore[arg-type]
    )


def test_bundles_are_finished_before_checkpoints() -> None:
    assert "--finish_bundle_before_checkpointing" in options(settings())
    assert "--checkpointing_interval=5000" in options(settings())


def test_operators_are_not_chained_so_that_savepoints_fit_any_parallelism() -> None:
    assert "--operator_chaining" in options(settings())  # without a value it turns the default off


def test_the_number_of_key_groups_is_the_largest_number_of_workers() -> None:
    assert "--max_parallelism=32" in options(settings())
    with pytest.raises(ConfigurationError, match=r"33 workers .* stream.max_workers: 32"):
        settings(parallelism=33)


def test_a_job_starts_from_a_checkpoint_only_when_configured() -> None:
    assert not [o for o in options(settings()) if o.startswith("--savepoint_path")]
    assert "--savepoint_path=file:///a/chk-3" in options(settings(restore="/a/chk-3"))


def test_complete_checkpoints_come_newest_first_and_damaged_ones_last(tmp_path: Path) -> None:
    assert complete_checkpoints(tmp_path, "a") == ()
    metadata = {"a/chk-9": True, "a/chk-10": True, "a/chk-11": False, "b/chk-12": True}
    for name, whole in metadata.items():
        (tmp_path / name).mkdir(parents=True)
        begin = (0x4960672D).to_bytes(4, "big") if whole else b"\0\0\0\0"
        (tmp_path / name / "_metadata").write_bytes(begin)
    (tmp_path / "a/chk-13").mkdir()
    names = [path.removeprefix(f"{tmp_path}/") for path in complete_checkpoints(tmp_path, "a")]
    assert names == ["a/chk-10", "a/chk-9", "a/chk-11"]


def test_an_engine_that_does_not_answer_is_an_error_with_its_address() -> None:
    with pytest.raises(UnavailableError, match=r"Flink at http://127\.0\.0\.1:1 "):
        submit(settings())
    with pytest.raises(UnavailableError, match="does not answer"):
        Flink("http://127.0.0.1:1").status("x")


@pytest.mark.parametrize(("window", "pause"), [(5.0, 0.25), (1.0, 0.2), (60.0, 1.0)])
def test_the_pause_between_steps_depends_on_the_window(window: float, pause: float) -> None:
    contract = msgspec.structs.replace(CONTRACT, window_seconds=window)
    job = ModelJob(contract=contract, rules=DriftRules())
    job_settings = JobSettings(models=(job,), bootstrap="", artifact_root="")
    assert job_settings.poll_pause_seconds == pause


class BusyFlink(Flink):
    """A Flink that does not answer the first requests."""

    unanswered = 2

    def running(self, job_id: str) -> bool:
        type(self).unanswered -= 1
        if self.unanswered >= 0:
            raise UnavailableError("timed out")
        return True


def test_requests_to_a_busy_flink_are_repeated_until_the_deadline() -> None:
    BusyFlink("http://127.0.0.1:1").wait_running("x", seconds=30.0)
    assert BusyFlink.unanswered == -1
    BusyFlink.unanswered = 1_000_000
    with pytest.raises(UnavailableError, match="timed out"):
        BusyFlink("http://127.0.0.1:1").wait_running("x", seconds=0.3)
