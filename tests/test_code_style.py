"""Limits on the size of files and functions; each package is described and typed."""

from __future__ import annotations

import ast
from pathlib import PurePath

import pytest

from tests.source_files import PACKAGES, PROJECT, project_files, python_files, text, tree

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60


def function_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end, without the docstring and without decorators.

    >>> function_lines(ast.parse("def f():\\n    '''Doc.\\n    '''\\n    return 1").body[0])
    2
    """
    assert function.end_lineno is not None
    lines = function.end_lineno - function.lineno + 1
    first = function.body[0]
    match first:
        case ast.Expr(value=ast.Constant(value=str())):
            assert first.end_lineno is not None
            lines -= first.end_lineno - first.lineno + 1
    return lines


def test_no_file_is_longer_than_the_limit() -> None:
    lengths = {path: text(path).count("\n") for path in python_files()}
    assert {path: n for path, n in lengths.items() if n > MAX_FILE_LINES} == {}


def test_no_function_is_longer_than_the_limit() -> None:
    too_long = {
        f"{path}:{node.lineno} {node.name}": function_lines(node)
        for path in python_files()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and function_lines(node) > MAX_FUNCTION_LINES
    }
    assert too_long == {}


def test_every_package_has_a_readme_or_a_docstring() -> None:
    files = set(project_files())
    folders = {
        str(PurePath(path).parent) for path in python_files() if PurePath(path).parts[0] in PACKAGES
    }
    undescribed = []
    for folder in sorted(folders):
        init = f"{folder}/__init__.py"
        described = init in files and ast.get_docstring(tree(init))
        if not described and f"{folder}/README.md" not in files:
            undescribed.append(folder)
    assert undescribed == []


def test_every_module_has_a_docstring() -> None:
    modules = [
        path
        for path in python_files()
        if PurePath(path).parts[0] in PACKAGES and text(path).strip()
    ]
    assert [path for path in modules if not ast.get_docstring(tree(path))] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_are_typed(package: str) -> None:
    assert (PROJECT / package / "py.typed").is_file()
