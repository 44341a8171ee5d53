"""The doctor's checks and advice."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest

from deploy.config.atomic_file import write_atomic
from deploy.config.paths import InstallPaths
from deploy.config.port_map import HOST
from deploy.setup import doctor, prometheus, stamps


@pytest.fixture
def empty(tmp_path: Path) -> InstallPaths:
    return InstallPaths(opt=tmp_path / "opt", python=tmp_path / "venv" / "bin" / "python")


def test_an_empty_checkout_is_advised_to_run_setup(empty: InstallPaths, tmp_path: Path) -> None:
    checks = {check.name: check for check in doctor.checks(tmp_path, {}, empty)}
    for name in (
        "python",
        "java",
        "kafka jars",
        "beam jars",
        "flink",
        "loopback classes",
        "envoy",
        "prometheus",
    ):
        assert not checks[name].ok
        assert "make setup" in checks[name].advice


def test_passed_checks_give_no_advice(empty: InstallPaths, tmp_path: Path) -> None:
    assert all(not c.advice for c in doctor.checks(tmp_path, {}, empty) if c.ok)


def test_taken_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        number = taken.getsockname()[1]
        check = doctor.free_ports({"kafka": number}, tmp_path)
    assert not check.ok
    assert f"{number} (kafka)" in check.observed
    assert "port_offset" in check.advice


@pytest.mark.parametrize(
    ("output", "version"),
    [
        ("prometheus, version 2.42.0+ds (branch: debian/sid, revision: x)", "2.42.0+ds"),
        ("envoy  version: 9e55809337/1.40.0/Clean/RELEASE/BoringSSL", "1.40.0"),
        ("alertmanager, version 0.28.1 (branch: , revision: unknown)", "0.28.1"),
        ("nothing of use", ""),
    ],
)
def test_versions_are_read_from_the_output_of_programs(
    tmp_path: Path, output: str, version: str
) -> None:
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\necho '{output}'\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    assert prometheus.version(program) == version


def test_stamp_holds_for_the_same_input_only(tmp_path: Path) -> None:
    stamps.mark(tmp_path / "stamps", "kafka", "a")
    assert stamps.done(tmp_path / "stamps", "kafka", "a")
    assert not stamps.done(tmp_path / "stamps", "kafka", "b")
    assert not stamps.done(tmp_path / "stamps", "flink", "a")


def test_identity_changes_when_a_file_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "module.so"
    file.write_bytes(b"old")
    before = stamps.identity([file])
    write_atomic(file, "anew", mode=0o644)
    assert stamps.identity([file]) != before
