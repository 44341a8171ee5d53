"""Models that TensorFlow wrote: usual ones are served, hostile ones never run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.engines.modelserver import saved_model
from serving.engines.modelserver.codes import Code, Refused
from serving.engines.modelserver.graph_check import check_graph
from serving.engines.modelserver.load_limit import limited
from serving.engines.modelserver.protos import ModelServerConfig
from serving.engines.modelserver.saved_model import SavedModel
from serving.engines.modelserver.warmup import warm_up
from tests.serving.engines.modelserver.graphs import Graph
from tests.serving.engines.modelserver.server_process import Server, start, stop

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders ``usual`` and ``hostile``, one model in each folder below."""
    base = tmp_path_factory.mktemp("graphs") / "all"
    script = Path(__file__).with_name("make_graphs.py")
    completed = subprocess.run(
        [sys.executable, str(script), str(base)], check=False, capture_output=True, timeout=600
    )
    assert completed.returncode == 0, completed.stderr.decode()
    return base


@pytest.fixture(scope="module")
def server(graphs: Path) -> Iterator[Server]:
    """One server with all of them."""
    config = ModelServerConfig()
    for folder in sorted([*graphs.glob("usual/*/1"), *graphs.glob("hostile/*/1")]):
        name = folder.parent.name
        config.model_config_list.config.add(
            name=name, base_path=str(folder.parent), model_platform="tensorflow"
        )
    file = graphs / "models.config"
    file.write_text(str(config))
    running = start(graphs, "--model_config_file", str(file))
    yield running
    stop(running)


def _statuses(server: Server, graphs: Path, kind: str) -> dict[str, dict[str, Any]]:
    statuses = {}
    for folder in graphs.glob(f"{kind}/*/1"):
        url = f"http://127.0.0.1:{server.rest_port}/v1/models/{folder.parent.name}"
        statuses[folder.parent.name] = httpx.get(url).json()["model_version_status"][0]
    return statuses


def test_usual_models_are_available(server: Server, graphs: Path) -> None:
    statuses = _statuses(server, graphs, "usual")
    assert len(statuses) == 11
    assert {name: s for name, s in statuses.items() if s["state"] != "AVAILABLE"} == {}


def test_hostile_models_never_run(server: Server, graphs: Path) -> None:
    statuses = _statuses(server, graphs, "hostile")
    assert len(statuses) == 21
    for name, status in statuses.items():
        assert status["state"] == "END", name
        assert status["status"]["error_code"] == "PERMISSION_DENIED", name
        assert "is not allowed" in status["status"]["error_message"], name
    assert list((graphs / "touched").iterdir()) == []


def test_a_hostile_model_would_have_run(graphs: Path, tmp_path: Path) -> None:
    """Loading is what the check protects: without it the init operation writes its file."""
    model = SavedModel(graphs / "hostile" / "write_init" / "1")
    model.close()
    written = graphs / "touched" / "write"
    assert written.read_bytes() == b"x"
    written.unlink()


def test_a_graph_that_initialises_for_ever_is_given_up(
    graphs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saved_model, "LOAD_SECONDS", 0.5)
    check_graph(graphs / "endless" / "init" / "1")
    with pytest.raises(Refused) as refused:
        SavedModel(graphs / "endless" / "init" / "1")
    assert refused.value.code is Code.DEADLINE_EXCEEDED


def test_a_graph_that_warms_up_for_ever_is_given_up(graphs: Path) -> None:
    model = SavedModel(graphs / "endless" / "signature" / "1")
    with pytest.raises(Refused) as refused, limited(model, 0.5):
        warm_up(model)
    assert refused.value.code is Code.DEADLINE_EXCEEDED
    model.close()


def test_no_function_can_take_the_name_of_an_operation(tmp_path: Path) -> None:
    """The check takes the name of a function for a call of it; TensorFlow has to as well."""
    graph = Graph().node("WriteFile", "y").signature("y:0")
    graph.function("WriteFile").node("NoOp", "nothing")
    check_graph(graph.write(tmp_path))
    with pytest.raises(Refused, match="WriteFile"):
        SavedModel(tmp_path)
