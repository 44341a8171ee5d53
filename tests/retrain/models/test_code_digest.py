"""A model's code digest changes with its sources and its contract, and with nothing else."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from retrain.models.big_tipper.contract import CODE
from retrain.models.code import ModelCode
from retrain.models.code_digest import code_digest
from streaming.contracts.errors import ConfigurationError


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "digested_model"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "model.py").write_text("import engine_that_is_absent\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    sys.modules.pop("digested_model", None)


def code() -> ModelCode:
    return dataclasses.replace(
        CODE,
        preprocessing_fn="digested_model.model.preprocessing_fn",
        build_model="digested_model.model.build_model",
    )


def test_the_same_sources_give_the_same_digest_without_importing_them(package: Path) -> None:
    first = code_digest(code())
    (package / "notes.txt").write_text("no source")
    assert code_digest(code()) == first
    assert len(first) == 64
    assert "digested_model.model" not in sys.modules


@pytest.mark.parametrize("name", ["model.py", "helper.py"])
def test_a_changed_or_added_source_changes_it(package: Path, name: str) -> None:
    first = code_digest(code())
    (package / name).write_text("x = 1\n")
    assert code_digest(code()) != first


def test_another_function_or_contract_changes_it(package: Path) -> None:
    first = code_digest(code())
    other = dataclasses.replace(code(), build_model="digested_model.model.other")
    fewer = dataclasses.replace(code(), features=CODE.features[:-1])
    slices = dataclasses.replace(code(), slices=())
    assert len({first, code_digest(other), code_digest(fewer)}) == 3
    assert code_digest(slices) == first, "slices decide nothing of the net"


@pytest.mark.parametrize("path", ["no_such_package.model.f", "digested_model.absent.f", "f"])
def test_a_function_that_is_nowhere_is_named(package: Path, path: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be found"):
        code_digest(dataclasses.replace(code(), build_model=path))
