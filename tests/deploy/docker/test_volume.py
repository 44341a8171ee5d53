"""`prepare` follows no link in the volume, whoever put it there and whenever."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy.app.deployment import Deployment
from deploy.docker import volume
from deploy.docker.prepare import prepare
from streaming.contracts.errors import ConfigurationError
from tests.source_files import PROJECT

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A volume with what a stack leaves there."""
    folder = tmp_path / "state"
    for name in ("data/checkpoints/job/chk-1", "artifacts/models/m/1", "envoy", "demo"):
        (folder / name).mkdir(parents=True)
    (folder / "data/checkpoints/job/chk-1/_metadata").write_text("checkpoint")
    (folder / "artifacts/models/m/1/saved_model.pb").write_text("model")
    return folder


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder with a file, elsewhere."""
    folder = tmp_path / "etc"
    folder.mkdir()
    (folder / "passwd").write_text("root")
    return folder


def owners(folder: Path) -> set[int]:
    """Users who own the folder and what is below."""
    return {path.lstat().st_uid for path in (folder, *folder.rglob("*"))}


@pytest.mark.parametrize(
    "place", ["x", "data", "data/checkpoints", "envoy", "data/job/x", "demo/x"]
)
@pytest.mark.parametrize(
    "target", ["/etc/passwd", "/etc", "/nowhere", "../../../etc", "../../../../etc"]
)
def test_a_link_out_of_the_volume_is_refused_and_named(home: Path, place: str, target: str) -> None:
    link = home / place
    if link.exists():
        os.rename(link, home.parent / "moved")
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(target)
    with pytest.raises(ConfigurationError, match="leads out of the volume") as refused:
        volume.refuse_links(home)
    assert str(link) in str(refused.value)


@pytest.mark.parametrize(
    "target", ["data/../../etc/passwd", "{home}-other/file", "{home}/../etc", "here/here/../../etc"]
)
def test_a_link_that_looks_as_if_it_stayed_inside_is_refused(home: Path, target: str) -> None:
    (home / "here").symlink_to(".")
    volume.refuse_links(home)
    (home / "x").symlink_to(target.format(home=home))
    with pytest.raises(ConfigurationError, match="leads out of the volume"):
        volume.refuse_links(home)


@pytest.mark.parametrize("target", ["envoy", "./data/missing", "{home}/data", "."])
def test_a_link_that_stays_inside_is_left_as_it_is(home: Path, target: str) -> None:
    (home / "x").symlink_to(target.format(home=home))
    volume.refuse_links(home)
    assert (home / "x").is_symlink()


@pytest.mark.parametrize("name", ["daemon", "scratch", "envoy", "prometheus", "demo", "data"])
def test_a_folder_that_prepare_writes_to_is_no_link_even_inside(
    home: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRIFTLINE_HOME", str(home))
    monkeypatch.setenv("DRIFTLINE__LOCAL__FOLDER", '""')
    if (home / name).exists():
        os.rename(home / name, home / "moved")
    (home / name).symlink_to("artifacts")
    demo = Deployment.load(PROJECT / "deploy" / "config" / "demo.yaml")
    with pytest.raises(ConfigurationError, match=f"{name} must be a folder and not a link"):
        prepare(demo)
    assert sorted(path.name for path in (home / "artifacts").iterdir()) == ["models"]


def test_a_volume_that_is_itself_a_link_is_refused(home: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(home)
    for refusing in (volume.refuse_links, volume.change_owner):
        with pytest.raises(ConfigurationError, match="must be a folder and not a link"):
            refusing(tmp_path / "link")


@pytest.mark.parametrize("kind", ["file", "pipe", "socket"])
def test_a_file_in_the_place_of_a_folder_is_refused(home: Path, kind: str) -> None:
    place = home / "prometheus"
    if kind == "file":
        place.touch()
    elif kind == "pipe":
        os.mkfifo(place)
    else:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(place))
    with pytest.raises(ConfigurationError, match="must be a folder"):
        volume.make_folder(home, "prometheus")


def test_endless_folders_are_refused_with_a_sentence(home: Path) -> None:
    deep = home
    for _ in range(210):
        deep = deep / "d"
    deep.mkdir(parents=True)
    with pytest.raises(ConfigurationError, match="folders deep"):
        volume.refuse_links(home)


@needs_root
def test_flink_owns_its_folder_and_the_image_s_user_everything_else(home: Path) -> None:
    os.mkfifo(home / "pipe")
    volume.change_owner(home)
    assert owners(home / "data") == {volume.FLINK_USER}
    assert owners(home / "artifacts") | owners(home / "envoy") == {volume.DRIFTLINE_USER}
    assert home.stat().st_uid == (home / "pipe").stat().st_uid == volume.DRIFTLINE_USER


@needs_root
def test_a_link_inside_changes_its_owner_and_not_that_of_its_target(home: Path) -> None:
    (home / "data" / "latest").symlink_to("../artifacts")
    volume.change_owner(home)
    assert (home / "data" / "latest").lstat().st_uid == volume.FLINK_USER
    assert owners(home / "artifacts") == {volume.DRIFTLINE_USER}


@needs_root
@pytest.mark.parametrize("place", ["envoy", "data/checkpoints", "artifacts/models/m"])
@pytest.mark.parametrize("call", ["stat", "chown"])
def test_a_folder_replaced_by_a_link_during_the_walk_changes_nothing_outside(
    home: Path, outside: Path, place: str, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real: Callable[..., Any] = getattr(os, call)

    def replace_after(path: Any, *args: Any, **options: Any) -> Any:
        result = real(path, *args, **options)
        folder = home / place
        if path == folder.name and not folder.is_symlink():
            os.rename(folder, home.parent / "moved")
            folder.symlink_to(outside)
        return result

    monkeypatch.setattr(os, call, replace_after)
    with pytest.raises(ConfigurationError, match="must be a folder and not a link"):
        volume.change_owner(home)
    assert owners(outside) == {0}


@needs_root
@pytest.mark.parametrize("place", ["data/checkpoints/job/chk-1", "envoy", "demo/file", "x"])
@pytest.mark.parametrize("call", ["stat", "chown"])
def test_what_is_removed_during_the_walk_is_passed_over(
    home: Path, place: str, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "demo/file").touch()
    (home / "x").symlink_to("artifacts")
    real: Callable[..., Any] = getattr(os, call)

    def remove_after(path: Any, *args: Any, **options: Any) -> Any:
        result = real(path, *args, **options)
        leaving = home / place
        if path == leaving.name and leaving.is_dir() and not leaving.is_symlink():
            shutil.rmtree(leaving)
        elif path == leaving.name:
            leaving.unlink(missing_ok=True)
        return result

    monkeypatch.setattr(os, call, remove_after)
    volume.change_owner(home)
    assert not os.path.lexists(home / place)
    assert owners(home / "data") == {volume.FLINK_USER}


@needs_root
def test_prepare_writes_as_the_image_s_user_and_cannot_become_root_again() -> None:
    program = (
        "import os, sys; from pathlib import Path; from deploy.docker import volume\n"
        "home = Path(sys.argv[1])\n"
        "volume.make_folder(home, 'envoy'); volume.change_owner(home); volume.give_up_root()\n"
        "(home / 'envoy' / 'file').write_text('x')\n"
        "try: os.setuid(0)\n"
        "except PermissionError: print('refused')\n"
    )
    with tempfile.TemporaryDirectory() as folder:  # other users may not enter pytest's own
        ended = subprocess.run(
            [sys.executable, "-c", program, folder],
            cwd=PROJECT,
            check=False,
            capture_output=True,
            text=True,
        )
        assert ended.stdout == "refused\n", ended.stderr
        assert owners(Path(folder)) == {volume.DRIFTLINE_USER}


@needs_root
def test_prepare_refuses_with_one_sentence(home: Path, outside: Path) -> None:
    (home / "x").symlink_to(outside)
    environment = {**os.environ, "DRIFTLINE_HOME": str(home), "DRIFTLINE__LOCAL__FOLDER": '""'}
    ended = subprocess.run(
        [sys.executable, "-m", "deploy.docker.prepare"],
        cwd=PROJECT,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"prepare: {home / 'x'} is a link that leads out of the volume")
    assert "Traceback" not in ended.stderr
    assert owners(outside) == {0}
