"""The pinned list and its installer, against a repository that is a folder."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from deploy.config.paths import InstallPaths
from deploy.setup import jars
from deploy.setup.screen import SetupFailed


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InstallPaths:
    monkeypatch.setenv("DRIFTLINE_MAVEN_REPOSITORY", f"file://{tmp_path / 'repository'}/")
    return InstallPaths(opt=tmp_path / "opt", python=tmp_path / "venv" / "bin" / "python")


def publish(root: Path, coordinates: str, content: bytes) -> jars.Jar:
    digest = hashlib.sha256(content).hexdigest()
    jar = jars.Jar(engine="kafka", coordinates=coordinates, size=len(content), sha256=digest)
    file = root / "repository" / jar.path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return jar


def write_lock(root: Path, *published: jars.Jar) -> Path:
    lock = root / "jars.lock"
    lock.write_text(jars.to_text(published))
    return lock


def test_shipped_lock_is_complete_and_unambiguous() -> None:
    listed = jars.parse(jars.LOCK.read_text())
    assert jars.to_text(listed) == jars.LOCK.read_text()
    assert {jar.engine for jar in listed} == {"kafka", "beam"}
    assert len({(jar.engine, jar.name) for jar in listed}) == len(listed)
    assert all(len(jar.sha256) == 64 and jar.size > 0 for jar in listed)


def test_shipped_lock_has_what_starts_the_engines() -> None:
    names = {jar.name for jar in jars.parse(jars.LOCK.read_text())}
    assert "kafka_2.13-4.1.0.jar" in names
    assert "beam-runners-flink-1.19-2.70.0.jar" in names
    assert not [name for name in names if "confluent" in name]


def test_a_second_run_downloads_nothing(tmp_path: Path, paths: InstallPaths) -> None:
    lock = write_lock(tmp_path, publish(tmp_path, "org.x:a:1", b"one"))
    assert "1 downloaded" in jars.install("kafka", paths.kafka, paths, lock)
    assert "0 downloaded" in jars.install("kafka", paths.kafka, paths, lock)
    assert (paths.kafka / "a-1.jar").read_bytes() == b"one"


def test_new_version_replaces_the_old_jar(tmp_path: Path, paths: InstallPaths) -> None:
    jars.install(
        "kafka", paths.kafka, paths, write_lock(tmp_path, publish(tmp_path, "x:a:1", b"1"))
    )
    jars.install(
        "kafka", paths.kafka, paths, write_lock(tmp_path, publish(tmp_path, "x:a:2", b"2"))
    )
    assert [file.name for file in paths.kafka.iterdir()] == ["a-2.jar"]


def test_changed_content_is_refused_and_the_rest_stays(tmp_path: Path, paths: InstallPaths) -> None:
    good, bad = publish(tmp_path, "x:good:1", b"good"), publish(tmp_path, "x:bad:1", b"fine")
    (tmp_path / "repository" / bad.path).write_bytes(b"evil")
    with pytest.raises(SetupFailed, match=r"1 of 2 jars .* x:bad:1: .*digest"):
        jars.install("kafka", paths.kafka, paths, write_lock(tmp_path, good, bad))
    assert [file.name for file in paths.kafka.iterdir()] == ["good-1.jar"]


def test_address_comes_from_beams_sources(tmp_path: Path) -> None:
    paths = InstallPaths(opt=tmp_path, python=tmp_path / "venv" / "bin" / "python")
    source = paths.site_packages / "apache_beam" / "utils" / "subprocess_server.py"
    source.parent.mkdir(parents=True)
    source.write_text("class J:\n  MAVEN_CENTRAL_REPOSITORY = 'https://repository.test/m2'\n")
    assert jars.repository(paths, {}) == "https://repository.test/m2"


def test_a_missing_beam_gives_advice(tmp_path: Path) -> None:
    paths = InstallPaths(opt=tmp_path, python=tmp_path / "venv" / "bin" / "python")
    with pytest.raises(SetupFailed, match="DRIFTLINE_MAVEN_REPOSITORY"):
        jars.repository(paths, {})
