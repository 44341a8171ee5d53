"""The files of the project, as git lists them: tracked, or new and not ignored."""

from __future__ import annotations

import ast
import subprocess
from functools import cache
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
PACKAGES = ("streaming", "retrain", "serving", "deploy")


@cache
def project_files() -> tuple[str, ...]:
    """Paths of the project's files, relative to its root."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT,
        check=True,
        capture_output=True,
        text=True,
    )
    paths = set(listed.stdout.splitlines())
    return tuple(sorted(path for path in paths if (PROJECT / path).is_file()))


def python_files() -> tuple[str, ...]:
    """Paths of the Python files."""
    return tuple(path for path in project_files() if path.endswith(".py"))


@cache
def text(path: str) -> str:
    """Content of a file."""
    return (PROJECT / path).read_text()


@cache
def tree(path: str) -> ast.Module:
    """Syntax tree of a Python file."""
    return ast.parse(text(path))
