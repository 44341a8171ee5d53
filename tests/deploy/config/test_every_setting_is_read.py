"""Every key of driftline.yaml is read by something: none promises what nothing does."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from deploy.config import model_settings, settings
from deploy.config.paths import PROJECT
from deploy.config.types import Section

ONLY_SHOWN = {"checks.py", "explain.py", "partial.py"}
"""Modules of `deploy.config` that look at every key but act on none."""


def sections() -> Iterator[type[Section]]:
    for module in (model_settings, settings):
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, Section) and value is not Section:
                yield value


def attributes_read() -> set[str]:
    """Names read as attributes in `deploy`, but for what only describes or checks settings."""
    names = set()
    for file in (PROJECT / "deploy").rglob("*.py"):
        if file.parent.name == "config" and file.name in ONLY_SHOWN:
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                names.add(node.attr)
    return names


@pytest.mark.parametrize("section", list(dict.fromkeys(sections())))
def test_every_key_of_a_section_is_read(section: type[Section]) -> None:
    read = attributes_read()
    assert [name for name in section.model_fields if name not in read] == []


def test_the_search_would_find_a_key_that_nothing_reads() -> None:
    assert "key_that_nothing_reads" not in attributes_read()
