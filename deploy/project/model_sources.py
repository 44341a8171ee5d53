"""Where something stands in a model's files: contract, schema, functions. Nothing is imported."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path


@dataclass(frozen=True)
class SourceLine:
    """A line of a file."""

    file: Path
    line: int = 1

    def __str__(self) -> str:
        """Written as editors read it."""
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class ContractSource:
    """The text of a contract."""

    file: Path
    _tree: ast.Module = field(repr=False)

    @classmethod
    def of(cls, module: str) -> ContractSource | None:
        """The contract of the model's package; None when it cannot be read."""
        file = file_of(f"{module}.contract")
        if file is None:
            return None
        try:
            return cls(file, ast.parse(file.read_text()))
        except (OSError, SyntaxError, ValueError):
            return None

    def keyword(self, name: str) -> SourceLine:
        """Where ``ModelCode`` gets an argument; else the call; else the file."""
        call = self._call
        if call is None:
            return SourceLine(self.file)
        for argument in call.keywords:
            if argument.arg == name:
                return SourceLine(self.file, argument.value.lineno)
        return SourceLine(self.file, call.lineno)

    def text(self, value: str) -> SourceLine:
        """Where a text first stands, for example the name of a feature."""
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Constant) and node.value == value:
                return SourceLine(self.file, node.lineno)
        return self.keyword("features")

    @cached_property
    def _call(self) -> ast.Call | None:
        calls = (
            node
            for node in ast.walk(self._tree)
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name | ast.Attribute)
            and (node.func.id if isinstance(node.func, ast.Name) else node.func.attr) == "ModelCode"
        )
        return next(calls, None)


def file_of(module: str) -> Path | None:
    """The file of a module; None when there is none. Only parent packages are imported."""
    try:
        spec = find_spec(module)
    except (Exception, SystemExit):  # noqa: BLE001 - parent packages are user code
        return None
    return Path(spec.origin) if spec is not None and spec.origin else None


def schema_place(file: Path, column: str) -> SourceLine:
    """Where a column begins in a schema's text; its first line when it has none."""
    try:
        lines = file.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return SourceLine(file)
    return SourceLine(
        file, next((n for n, line in enumerate(lines, 1) if f'"{column}"' in line), 1)
    )


def function_of(path: str) -> tuple[SourceLine, ast.FunctionDef | None] | None:
    """The function at a dotted path, by its source; None when its module has no file.

    The function is None when the file assigns no such name by `def`; the place is the file's then.
    """
    module, _, name = path.rpartition(".")
    file = file_of(module) if module else None
    if file is None:
        return None
    try:
        tree = ast.parse(file.read_text())
    except SyntaxError as error:
        return SourceLine(file, error.lineno or 1), None
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return SourceLine(file, node.lineno), node
        if isinstance(node, ast.Assign | ast.ImportFrom) and _binds(node, name):
            return SourceLine(file, node.lineno), ast.parse("def f(*a, **k): ...").body[0]  # type: ignore[return-value]
    return SourceLine(file), None


def _binds(node: ast.Assign | ast.ImportFrom, name: str) -> bool:
    if isinstance(node, ast.ImportFrom):
        return any((alias.asname or alias.name) == name for alias in node.names)
    return any(isinstance(target, ast.Name) and target.id == name for target in node.targets)
