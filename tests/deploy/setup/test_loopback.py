"""Changed classes of the Java engines: what is written, and what is refused."""

from __future__ import annotations

import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.config.paths import InstallPaths, install_paths
from deploy.setup import java, loopback
from deploy.setup.class_file import NOP, ClassFile, UnexpectedClassError
from deploy.setup.screen import SetupFailed

INSTALLED = install_paths()
needs_jars = pytest.mark.skipif(
    not all(patch.source(INSTALLED).exists() for patch in loopback.PATCHES),
    reason="the engines are not installed; run `make setup`",
)
PATCHES = pytest.mark.parametrize("patch", loopback.PATCHES, ids=lambda patch: patch.name[-20:])


def original(patch: loopback.Patch) -> bytes:
    with zipfile.ZipFile(patch.source(INSTALLED)) as archive:
        return archive.read(f"{patch.name}.class")


@needs_jars
@PATCHES
def test_an_unchanged_class_is_written_as_it_was_read(patch: loopback.Patch) -> None:
    assert ClassFile(original(patch)).to_bytes() == original(patch)


@needs_jars
@PATCHES
def test_the_change_is_reproducible_and_applies_once(patch: loopback.Patch) -> None:
    source = patch.source(INSTALLED)
    changed = loopback.patched(patch, source)
    assert changed == loopback.patched(patch, source) != original(patch)
    with pytest.raises(UnexpectedClassError, match="other instructions"):
        patch.change(ClassFile(changed))


@needs_jars
@PATCHES
def test_another_class_is_refused(patch: loopback.Patch, tmp_path: Path) -> None:
    jar = tmp_path / "newer.jar"
    with zipfile.ZipFile(jar, "w") as archive:
        archive.writestr(f"{patch.name}.class", original(patch) + b"\x00")
    with pytest.raises(SetupFailed, match=r"newer\.jar has digest .*Adapt deploy/setup/loopback"):
        loopback.patched(patch, jar)


@needs_jars
def test_a_change_that_does_not_fit_is_explained() -> None:
    patch = replace(loopback.PATCHES[0], change=loopback.bind_loopback)
    with pytest.raises(SetupFailed, match="cannot be changed: There is no method <init>"):
        loopback.patched(patch, patch.source(INSTALLED))


def test_a_missing_jar_or_class_is_refused(tmp_path: Path) -> None:
    patch = loopback.PATCHES[0]
    with pytest.raises(SetupFailed, match=r"none\.jar does not have the class"):
        loopback.patched(patch, tmp_path / "none.jar")
    empty = tmp_path / "empty.jar"
    with zipfile.ZipFile(empty, "w"):
        pass
    with pytest.raises(SetupFailed, match=r"empty\.jar does not have the class"):
        loopback.patched(patch, empty)


def test_other_content_is_not_a_class() -> None:
    with pytest.raises(UnexpectedClassError, match="not a class file"):
        ClassFile(b"PK\x03\x04")


@needs_jars
def test_the_length_of_a_method_with_jumps_stays() -> None:
    changed = ClassFile(original(loopback.PATCHES[1]))
    with pytest.raises(UnexpectedClassError, match="length of the method parseQuery"):
        changed.replace_beginning(
            "parseQuery", "(Ljava/lang/String;)Ljava/util/Set;", old=b"", new=NOP, stack=1
        )


def test_engines_do_not_start_without_the_jar(tmp_path: Path) -> None:
    paths = InstallPaths(opt=tmp_path, python=tmp_path / "bin" / "python")
    with pytest.raises(SetupFailed, match="every address of this machine; run `make setup`"):
        loopback.installed_jar(paths)


@needs_jars
def test_java_accepts_the_changed_classes(tmp_path: Path) -> None:
    """Its verifier checks a class before its main method is looked for."""
    paths = replace(INSTALLED, opt=tmp_path / "opt")
    paths.beam.parent.mkdir()
    paths.beam.symlink_to(INSTALLED.beam)
    paths.flink.parent.mkdir()
    paths.flink.symlink_to(INSTALLED.flink)
    loopback.install(paths)
    path = f"{loopback.jar(paths)}:{paths.beam}/*:{loopback.reporter_jar(paths)}"
    for patch in loopback.PATCHES:
        command = [str(java.program(INSTALLED)), "-Xmx64m", "-Xshare:auto", "-Xverify:all"]
        completed = subprocess.run(
            [*command, "-cp", path, patch.name.replace("/", ".")],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert "Main method not found" in completed.stderr, completed.stderr
