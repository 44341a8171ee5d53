"""The same runs on PostgreSQL, MariaDB and MySQL as in a SQLite file."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from retrain.engines.mlmd.connection import MetadataServer, open_store
from retrain.engines.mlmd.graph import Graph
from retrain.engines.mlmd.outcomes import OutcomeWriter
from retrain.engines.mlmd.run_reader import read_runs
from retrain.engines.run_files import RunFiles
from retrain.run_view import Run
from streaming.contracts.errors import UnavailableError
from tests.retrain.builders import model_version, request
from tests.retrain.engines.mlmd import servers
from tests.retrain.engines.mlmd.attempts import attempt, store_in

pytestmark = pytest.mark.engine
AVAILABLE = {
    "postgresql": (servers.postgresql_programs, servers.postgresql),
    "mariadb": (servers.mariadb_root, servers.mariadb),
    "mysql": (servers.mysql_root, servers.mysql),
}


@pytest.fixture(scope="module", params=list(AVAILABLE))
def server(request: pytest.FixtureRequest) -> Iterator[MetadataServer]:
    programs, started = AVAILABLE[request.param]
    if programs() is None:
        pytest.skip(f"no {request.param} server is installed here")
    running: AbstractContextManager[MetadataServer] = started()
    with running as place:
        yield place


def recorded(place: object, folder: Path) -> tuple[Run, ...]:
    """A killed and a whole attempt, and the version."""
    graph = Graph(open_store(place) if not isinstance(place, Path) else store_in(place))
    retrain, files = request("request-1"), RunFiles(folder / "runs")
    for number, killed in ((1, True), (2, False)):
        work = folder / f"work-{number}"
        attempt(graph, retrain, number, work=work, files=files, killed=killed)
        shutil.rmtree(work)
    writer = OutcomeWriter(graph, files)
    for record in (retrain, model_version(1, "request-1")) * 2:
        writer.write(record)
    return read_runs(graph.store)


def test_a_server_holds_what_a_file_holds(server: MetadataServer, tmp_path: Path) -> None:
    (on_server,) = recorded(server, tmp_path)
    shutil.rmtree(tmp_path / "runs")
    (in_file,) = recorded(tmp_path, tmp_path)
    assert on_server == in_file
    assert (on_server.state, on_server.attempts, on_server.version) == ("published", 2, 1)


def test_a_wrong_password_is_an_error_that_names_the_server(
    server: MetadataServer, tmp_path: Path
) -> None:
    wrong = tmp_path / "password"
    wrong.write_text("wrong")
    with pytest.raises(UnavailableError, match=rf"{server.kind}://mlmd@127") as caught:
        open_store(replace(server, password_file=str(wrong)))
    assert "wrong" not in str(caught.value).replace("driftline.yaml", "")


def test_a_tfx_pipeline_runs_on_the_server(server: MetadataServer, tmp_path: Path) -> None:
    from retrain.engines.tfx import runner
    from retrain.engines.tfx.pipeline import pipeline
    from retrain.models.big_tipper.contract import CODE
    from tests.retrain.engines.taxi_trips import trips, write_shards

    # TFX declares its types itself; the other tests' database has types without properties.
    place = replace(server, database="pipelines")
    steps = pipeline("on_server", code=CODE, root=tmp_path / "root", metadata=place)
    steps.from_shards(write_shards(tmp_path / "examples", trips(200)))
    steps.generate_statistics().with_schema().validate_input_data()
    run_id = f"server-{time.time_ns()}"
    run = steps.run(run_id)
    assert runner.unfinished(open_store(place), run_id, list(run.outputs)) == {}
    assert all(folder.exists() for outs in run.outputs.values() for folder in outs.values())
