"""Finds, reads and explains `driftline.yaml`.

Every mistake is reported at once with its line and, where a key is nearly right, the key that was
meant. The environment wins over the file: ``DRIFTLINE__MODELS__BIG_TIPPER__RETRAIN__COOLDOWN=5m``.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from deploy.config.checks import Problem, problems
from deploy.config.partial import partial
from deploy.config.paths import DEFAULT_FILE, config_file
from deploy.config.settings import ModelSettings, Settings
from streaming.contracts.errors import ConfigurationError

PREFIX = "DRIFTLINE__"


def load(file: Path | None = None, *, environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings.

    Raises
    ------
    ConfigurationError
        With one line for each mistake: file and line, key, what is wrong, and a suggestion.
    """
    path = config_file(file, environment)
    tree = _read(path)
    plain = _plain(tree)
    override(plain, environment)
    try:
        settings = Settings.model_validate(plain)
    except ValidationError as error:
        mistakes = [*_field_mistakes(error), *problems(partial(Settings, plain), partial=True)]
    else:
        mistakes = problems(settings)
        if not mistakes:
            return settings
    lines = dict.fromkeys(_located(mistake, tree, path, environment) for mistake in mistakes)
    raise ConfigurationError("\n".join(lines))


def _read(path: Path) -> dict[str, Any]:
    try:
        tree = YAML(typ="rt").load(path.read_text())
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"{path} does not exist; copy {DEFAULT_FILE} there, or name another file by --config."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
    except YAMLError as error:
        raise ConfigurationError(f"{path} is not YAML: {error}") from error
    if not isinstance(tree, dict):
        raise ConfigurationError(f"{path} must hold a mapping that begins with models:.")
    return tree


def override(tree: dict[str, Any], environment: Mapping[str, str]) -> None:
    """Put DRIFTLINE__A__B values into the tree, in place; existing keys match in any case."""
    for name in sorted(environment):
        if not name.startswith(PREFIX):
            continue
        node = tree
        path = name[len(PREFIX) :].split("__")
        for word in path[:-1]:
            node = node.setdefault(_same(node, word), {})
        node[_same(node, path[-1])] = YAML(typ="safe").load(environment[name])


def _same(node: Mapping[str, Any], word: str) -> str:
    return next((key for key in node if str(key).lower() == word.lower()), word.lower())


def _plain(node: Any) -> Any:
    if isinstance(node, dict):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_plain(value) for value in node]
    return node


def _field_mistakes(error: ValidationError) -> list[Problem]:
    mistakes: list[Problem] = []
    for mistake in error.errors():
        where = tuple(str(part) for part in mistake["loc"] if not str(part).startswith("function-"))
        message = mistake["msg"].removeprefix("Value error, ")
        if mistake["type"] == "extra_forbidden":
            message = "no such key." + _suggestion(where)
        mistakes.append((where, message))
    return mistakes


def _located(
    mistake: Problem, tree: dict[str, Any], path: Path, environment: Mapping[str, str]
) -> str:
    where, message = mistake
    variable = PREFIX + "__".join(where).upper()
    named = next((name for name in environment if name.upper() == variable), None)
    place = named or f"{path.name}:{_line(tree, where)}"
    return f"{place}: {'.'.join(where)}: {message}"


def _line(tree: Any, where: tuple[str, ...]) -> int:
    """Line of the key, or of the deepest key above it that the file has."""
    node: Any = tree
    line = 1
    for part in where:
        mark = getattr(node, "lc", None)
        if mark is None:
            break
        try:
            line = (mark.key(part) if isinstance(node, Mapping) else mark.item(int(part)))[0] + 1
        except (KeyError, IndexError, TypeError, ValueError):
            break
        node = node[part] if isinstance(node, Mapping) else node[int(part)]
    return line


def _suggestion(where: tuple[str, ...]) -> str:
    section = _section(where[:-1])
    if section is None:
        return ""
    near = difflib.get_close_matches(str(where[-1]), section.model_fields, n=1)
    return f" Did you mean {near[0]}?" if near else f" Known: {', '.join(section.model_fields)}."


def _section(where: tuple[str, ...]) -> type[BaseModel] | None:
    """The settings class that a path in the file leads to."""
    section: type[BaseModel] = Settings
    names = where
    if names[:1] == ("models",):
        section, names = ModelSettings, names[2:]
    for name in names:
        field = section.model_fields.get(name)
        kind = field.annotation if field else None
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            return None
        section = kind
    return section
