"""Every key of driftline.yaml is read by something: none promises what nothing does."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import cache

import pytest

from deploy.config import model_settings, settings
from deploy.config.explain import describe
from deploy.config.paths import PROJECT
from deploy.config.types import Section

ONLY_SHOWN = {"address_checks.py", "checks.py", "explain.py", "partial.py", "topic_checks.py"}
"""Modules of `deploy.config` that look at every key but act on none."""


def sections() -> Iterator[type[Section]]:
    for module in (model_settings, settings):
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, Section) and value is not Section:
                yield value


@cache
def sources() -> tuple[ast.Module, ...]:
    """Files of `deploy`, but for those that only describe or check settings."""
    return tuple(
        ast.parse(file.read_text())
        for file in (PROJECT / "deploy").rglob("*.py")
        if file.parent.name != "config" or file.name not in ONLY_SHOWN
    )


@cache
def attributes_read() -> frozenset[str]:
    """Names read as attributes."""
    return frozenset(
        node.attr
        for source in sources()
        for node in ast.walk(source)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    )


@pytest.mark.parametrize("section", list(dict.fromkeys(sections())))
def test_every_key_of_a_section_is_read(section: type[Section]) -> None:
    read = attributes_read()
    assert [name for name in section.model_fields if name not in read] == []


def test_the_search_would_find_a_key_that_nothing_reads() -> None:
    assert "key_that_nothing_reads" not in attributes_read()


def keys_of_several_sections() -> list[tuple[str, str]]:
    """Section and key of each key whose name several sections have."""
    owners: dict[str, list[str]] = defaultdict(list)
    for row in describe(settings.Settings):
        *_, section, key = ("", *row.key.split("."))
        owners[key].append(section)
    return [(section, key) for key, names in owners.items() if len(names) > 1 for section in names]


def _bound_sections(source: ast.AST) -> dict[str, set[str]]:
    """The sections that a file's variables hold; `self` stands for the classes of sections."""
    bound: dict[str, set[str]] = defaultdict(set)
    for node in ast.walk(source):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Attribute(attr=section)):
                bound[name].add(section)
            case ast.For(target=ast.Name(id=name), iter=ast.Tuple(elts=values)):
                bound[name] |= {value.attr for value in values if isinstance(value, ast.Attribute)}
    return bound


def _reads(source: ast.AST, own: str | None = None) -> Iterator[tuple[str, str]]:
    """Section and key of each attribute that is read from a section."""
    bound = _bound_sections(source)
    if own is not None:
        bound["self"] = {own}
    for node in ast.walk(source):
        match node:
            case ast.Attribute(value=ast.Attribute(attr=section), attr=key):
                yield section, key
            case ast.Attribute(value=ast.Name(id=name), attr=key):
                yield from ((section, key) for section in bound.get(name, {name}))
        if isinstance(node, ast.ClassDef) and node.name.endswith("Settings") and own is None:
            yield from _reads(node, node.name.removesuffix("Settings").lower())


def test_a_key_of_several_sections_is_read_in_each() -> None:
    read = {pair for source in sources() for pair in _reads(source)}
    unread = set(keys_of_several_sections()) - read
    assert unread == set()


def test_the_search_tells_the_sections_of_a_key_apart() -> None:
    source = ast.parse("for part in (a.events, a.labels): part.key\nrow = a.drift\nrow.time\nb.c.d")
    assert {("events", "key"), ("labels", "key"), ("drift", "time"), ("c", "d")} <= set(
        _reads(source)
    )
    assert ("events", "time") not in set(_reads(source))
    own = ast.parse("class DriftSettings:\n    def rules(self): return self.sustained")
    assert ("drift", "sustained") in set(_reads(own))
    assert ("quality", "sustained") not in set(_reads(own))
