"""State lies in the checkout, or below the user's state folder when the package is installed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from deploy.config import paths
from streaming.contracts.errors import ConfigurationError


def test_a_checkout_keeps_its_state_beside_the_code() -> None:
    assert paths.home({}) == paths.PROJECT / ".driftline"
    assert paths.install_paths({}).opt == paths.PROJECT / ".driftline" / "opt"


def test_a_named_home_wins(tmp_path: Path) -> None:
    assert paths.home({"DRIFTLINE_HOME": str(tmp_path)}) == tmp_path
    assert paths.install_paths({"DRIFTLINE_OPT": str(tmp_path)}).opt == tmp_path


@pytest.mark.parametrize("folder", ["~no-such-user/x", "a\0b"])
def test_a_folder_that_cannot_be_named_is_refused(folder: str) -> None:
    with pytest.raises(ConfigurationError, match=r"DRIFTLINE_HOME=.* is no folder"):
        paths.home({"DRIFTLINE_HOME": folder})
    with pytest.raises(ConfigurationError, match=r"DRIFTLINE_OPT=.* is no folder"):
        paths.install_paths({"DRIFTLINE_OPT": folder})


def test_an_installed_package_keeps_its_state_in_the_users_state_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "PROJECT", tmp_path / "site-packages")
    assert paths.home({"XDG_STATE_HOME": str(tmp_path)}) == tmp_path / "driftline"
    assert paths.home({}) == Path.home() / ".local" / "state" / "driftline"
    assert paths.install_paths({"XDG_STATE_HOME": str(tmp_path)}).opt == tmp_path / "driftline/opt"


def test_driftline_is_called_by_its_path_when_it_is_not_on_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    monkeypatch.setattr(sys, "executable", str(programs / "python"))
    monkeypatch.setenv("PATH", "")
    monkeypatch.chdir(tmp_path)
    assert paths.driftline_program() == "driftline"  # no program is known
    (programs / "driftline").touch(mode=0o755)
    assert paths.driftline_program() == ".venv/bin/driftline"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert paths.driftline_program() == str(programs / "driftline")
    monkeypatch.setenv("PATH", str(programs))
    assert paths.driftline_program() == "driftline"
