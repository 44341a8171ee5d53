"""A model's package is user code: whatever its import raises becomes one configuration error."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from deploy.config import loader
from retrain.models.code import import_function, load_code
from streaming.contracts.errors import ConfigurationError

FAILURES = {
    "syntax": ("def x(:", "SyntaxError: invalid syntax"),
    "runtime": ("raise RuntimeError('[/x] boom')", r"RuntimeError: \[/x\] boom"),
    "several_lines": ("raise ValueError('a\\nb')", "ValueError: a b"),
    "system_exit": ("raise SystemExit(9)", "SystemExit: 9"),
    "division": ("1 / 0", "ZeroDivisionError: division by zero"),
    "recursion": ("def f(): f()\nf()", "RecursionError: maximum recursion"),
    "missing_import": ("import nothing_like_it", "No module named 'nothing_like_it'"),
    "silent": ("raise KeyError", "KeyError"),
}


def package(folder: Path, name: str, **modules: str) -> str:
    """A package below `folder`; `init` is its `__init__`."""
    (folder / name).mkdir()
    for module, source in ({"init": ""} | modules).items():
        file = folder / name / f"{module.replace('init', '__init__')}.py"
        file.write_text(f"{source}\n")
    return name


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def refusal(folder: Path, module: str, **sections: object) -> list[str]:
    """Lines of the mistakes in a configuration whose model has this package."""
    model = {
        "module": module,
        "events": {"topic": "a", "key": "k"},
        "labels": {"topic": "b", "key": "k"},
    }
    file = folder / "driftline.yaml"
    file.write_text(yaml.safe_dump({"models": {"m": model}, **sections}))
    with pytest.raises(ConfigurationError) as refused:
        loader.load(file, environment={}, contracts=True)
    return str(refused.value).splitlines()


@pytest.mark.parametrize("module", ["init", "contract"])
@pytest.mark.parametrize("failure", FAILURES)
def test_a_package_that_cannot_be_imported_is_a_configuration_error(
    folder: Path, failure: str, module: str
) -> None:
    source, message = FAILURES[failure]
    name = package(folder, f"user_{failure}_{module}", **{module: source})
    with pytest.raises(ConfigurationError, match=rf"^The model module {name} .*: {message}"):
        load_code(name)


@pytest.mark.parametrize("failure", FAILURES)
def test_a_parent_package_that_fails_is_reported_at_the_module(folder: Path, failure: str) -> None:
    source, _ = FAILURES[failure]
    name = package(folder, f"parent_{failure}", init=source, child="")
    (line,) = refusal(folder, f"{name}.child")
    assert line.startswith(f"driftline.yaml:9: models.m.module: {name}.child cannot be imported: ")


@pytest.mark.parametrize("source", ["", "CODE = 3", "raise SystemExit(0)", "x ="])
def test_mistakes_of_a_contract_come_with_their_line_and_the_others(
    folder: Path, source: str
) -> None:
    name = package(folder, f"package_of_{folder.name}", contract=source)
    mistakes = refusal(folder, name, kafka={"bootstrap": "x"}, local={"port_ofset": 1})
    places = [line.split(": ")[:2] for line in mistakes]
    assert sorted(places) == [
        ["driftline.yaml:13", "models.m.module"],
        ["driftline.yaml:2", "kafka.bootstrap"],
        ["driftline.yaml:4", "local.port_ofset"],
    ]


def test_an_interrupt_while_a_package_is_imported_is_not_caught(folder: Path) -> None:
    name = package(folder, "user_interrupt", init="raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load_code(name)


def test_a_contradictory_task_and_no_net_are_named_in_one_message(folder: Path) -> None:
    source = """
from pathlib import Path
from retrain.models.code import ModelCode
from streaming.contracts.task import Task
CODE = ModelCode(
    features=(), schema=Path("s"), preprocessing_fn="a.b", label="y", label_columns=("y",),
    task=Task(kind="multiclass", classes=("only",), loss="poisson"),
)
"""
    name = package(folder, "contradictory", contract=source)
    with pytest.raises(ConfigurationError) as refused:
        load_code(name)
    for part in ("two or more classes; this one has 1", "is for regression", "needs build_model"):
        assert part in str(refused.value)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("json.nothing", "has no attribute 'nothing'"),
        ("nothing_at_all.function", "No module named"),
        ("math.pi", "is a float, not a function"),
    ],
)
def test_a_function_that_cannot_be_imported_is_named(path: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        import_function(path)
