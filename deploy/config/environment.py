"""Values of the environment that win over the file: ``DRIFTLINE__SECTION__KEY=VALUE``."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from deploy.config.model_settings import ModelSettings
from deploy.config.types import Problem
from deploy.config.yaml_text import parse_value

PREFIX = "DRIFTLINE__"
_REQUIRED = [name for name, field in ModelSettings.model_fields.items() if field.is_required()]


def override(tree: dict[str, Any], environment: Mapping[str, str]) -> list[Problem]:
    """Put the environment's values into the tree, in place; existing keys match in any case.

    Returns what is wrong with a variable; such a variable changes nothing.
    """
    models_of_file = set(_models(tree))
    problems: list[Problem] = []
    paths: list[tuple[str, ...]] = []
    for name in sorted(environment):
        if not name.startswith(PREFIX):
            continue
        path = _path(tree, name[len(PREFIX) :].split("__"))
        try:
            value = parse_value(environment[name])
        except ValueError as error:
            problems.append((path, f"The value is not YAML: {error}"))
            continue
        problem = _put(tree, path, value)
        if problem is None:
            paths.append(path)
        else:
            problems.append((path, problem))
    return [*problems, *_unknown_models(tree, models_of_file, paths)]


def variable_of(
    path: tuple[str, ...], environment: Mapping[str, str], *, below: bool = False
) -> str | None:
    """The variable that sets the key, or with `below` a key below it, if there is one.

    >>> variable_of(("local", "folder"), {"DRIFTLINE__LOCAL__FOLDER": "a"})
    'DRIFTLINE__LOCAL__FOLDER'
    """
    variable = _name(path)
    names = sorted(environment, key=len)
    exact = next((name for name in names if name.upper() == variable), None)
    if exact is not None or not below:
        return exact
    return next((name for name in names if name.upper().startswith(f"{variable}__")), None)


def _path(tree: dict[str, Any], words: list[str]) -> tuple[str, ...]:
    """Keys of the tree; a word that is none of its keys is written in lower case."""
    node: Any = tree
    path = []
    for word in words:
        keys = node if isinstance(node, dict) else {}
        key = next((key for key in keys if key.lower() == word.lower()), word.lower())
        path.append(key)
        node = keys.get(key)
    return tuple(path)


def _put(tree: dict[str, Any], path: tuple[str, ...], value: Any) -> str | None:
    """Set one value; returns why it cannot be set."""
    node = tree
    for index, key in enumerate(path[:-1]):
        if node.get(key) is None:
            node[key] = {}
        if not isinstance(node[key], dict):
            parent = ".".join(path[: index + 1])
            return f"{parent} has no keys, so the variable must be {_name(path[: index + 1])}."
        node = node[key]
    node[path[-1]] = value
    return None


def _name(path: tuple[str, ...]) -> str:
    return PREFIX + "__".join(path).upper()


def _unknown_models(
    tree: dict[str, Any], models_of_file: set[str], paths: list[tuple[str, ...]]
) -> Iterator[Problem]:
    """Models that only the environment names, without what a model needs; they are taken out."""
    models = _models(tree)
    for name in sorted(set(models) - models_of_file):
        model = models[name]
        inner = [path for path in paths if path[:2] == ("models", name) and len(path) > 2]
        if not inner or not isinstance(model, dict) or all(key in model for key in _REQUIRED):
            continue
        del models[name]
        near = difflib.get_close_matches(name, models_of_file, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"A new model needs {', '.join(_REQUIRED)}."
        for path in inner:
            yield path, f"The file has no model {name!r}. {hint}"


def _models(tree: dict[str, Any]) -> dict[str, Any]:
    models = tree.get("models")
    return models if isinstance(models, dict) else {}
