"""A worker records runs beside its work, whatever fails; the settings name the place."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from msgspec.structs import replace

from deploy.app.deployment import Deployment
from deploy.config import loader
from deploy.runs.follower import recorded_runs
from deploy.runs.opened import read_all
from deploy.runs.places import metadata_place, run_files
from deploy.services.worker import _trainer_arguments
from retrain.engines.mlmd.connection import MetadataServer
from streaming.contracts.errors import ConfigurationError, UnavailableError
from streaming.contracts.log import MemoryLog
from tests.deploy.cli.builders import MODEL, version
from tests.deploy.cli.runner import DEMO
from tests.retrain.builders import request

SERVER = {
    "DRIFTLINE__METADATA__STORE": "mysql",
    "DRIFTLINE__METADATA__HOST": "db",
    "DRIFTLINE__METADATA__USER": "mlmd",
    "DRIFTLINE__METADATA__PASSWORD_FILE": "/run/secrets/mlmd",
    "DRIFTLINE__METADATA__KEEP_RUNS": "7",
}


def deployment(home: Path, log: MemoryLog, **environment: str) -> Deployment:
    return Deployment(
        settings=loader.load(DEMO, environment=environment),
        base=home,
        file=DEMO,
        log_factory=lambda bootstrap: log,
    )


def test_what_happens_while_a_worker_runs_is_recorded_at_its_end(tmp_path: Path) -> None:
    log = MemoryLog()
    deployed = deployment(tmp_path, log)
    with recorded_runs(deployed):
        log.append([replace(request("request-1"), model=MODEL), version(1)])
    (run,), behind = read_all(deployed)
    assert (run.state, run.version, behind) == ("published", 1, "")


def test_a_log_that_fails_disturbs_nobody(tmp_path: Path) -> None:
    class Broken(MemoryLog):
        def spans(self, topic: str, *, since: float | None = None) -> tuple[()]:
            raise (UnavailableError if "promotions" in topic else ValueError)("gone")

    with recorded_runs(deployment(tmp_path, Broken())):
        pass


def test_the_settings_name_file_or_server(tmp_path: Path) -> None:
    usual = deployment(tmp_path, MemoryLog())
    assert metadata_place(usual) == usual.home / "metadata" / "mlmd.sqlite"
    on_server = deployment(tmp_path, MemoryLog(), **SERVER)
    expected = MetadataServer(
        kind="mysql", host="db", port=3306, database="driftline", user="mlmd",
        password_file="/run/secrets/mlmd",
    )  # fmt: skip
    assert metadata_place(on_server) == expected
    assert str(expected) == "mysql://mlmd@db:3306/driftline"
    assert run_files(on_server).policy.runs == 7
    arguments = pickle.loads(pickle.dumps(_trainer_arguments(on_server)))
    assert arguments["metadata"] == expected
    assert arguments["files"] == run_files(on_server)


def test_a_server_without_a_user_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"metadata\.user"):
        deployment(tmp_path, MemoryLog(), DRIFTLINE__METADATA__STORE="postgresql")
