"""Finds, reads and explains `driftline.yaml`.

The folder that `code` names becomes importable, so that whoever reads the settings can load the
models. Every mistake is reported at once with its line and, where a key is nearly right, the key
that was meant. The environment wins over the file:
``DRIFTLINE__MODELS__BIG_TIPPER__RETRAIN__COOLDOWN=5m``.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from deploy.config.checks import problems
from deploy.config.code_folder import code_folder, code_problems, hidden_packages
from deploy.config.environment import override, variable_of
from deploy.config.partial import partial
from deploy.config.paths import DEFAULT_FILE, config_file
from deploy.config.settings import ModelSettings, Settings
from deploy.config.types import Problem
from deploy.config.yaml_text import parse_file
from streaming.contracts.errors import ConfigurationError


def load(
    file: Path | None = None,
    *,
    environment: Mapping[str, str] = os.environ,
    contracts: bool = False,
) -> Settings:
    """The settings.

    Parameters
    ----------
    contracts:
        Also import each model's contract and report those that cannot be used.

    Raises
    ------
    ConfigurationError
        With one line for each mistake: file and line, key, what is wrong, and a suggestion.
    """
    path = config_file(file, environment)
    tree, plain = _read(path)
    mistakes = override(plain, environment)
    mistakes += code_problems(plain.get("code"), path)
    try:
        settings = Settings.model_validate(plain)
    except ValidationError as error:
        valid = partial(Settings, plain)
        mistakes += _field_mistakes(error)
        mistakes += problems(valid, partial=True, contracts=contracts)
    else:
        mistakes += problems(settings, contracts=contracts)
        folder = code_folder(settings.code, path)
        if folder is not None:
            modules = {name: model.module for name, model in settings.models.items()}
            mistakes += hidden_packages(folder, modules)
        if not mistakes:
            return settings
    lines = dict.fromkeys(_located(mistake, tree, path, environment) for mistake in mistakes)
    raise ConfigurationError("\n".join(lines))


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The file with line numbers, and as plain values."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"{path} does not exist; copy {DEFAULT_FILE} there, or name another file by --config."
        ) from error
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
    try:
        tree, plain = parse_file(text)
    except ValueError as error:
        raise ConfigurationError(f"{path} is not YAML: {error}") from error
    if not isinstance(tree, dict):
        raise ConfigurationError(f"{path} must hold a mapping that begins with models:.")
    return tree, plain


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
    variable = variable_of(where, environment, below=not _has(tree, where))
    place = variable or f"{path.name}:{_line(tree, where)}"
    return f"{_printable(place)}: {_printable('.'.join(where))}: {message}"


def _printable(text: str) -> str:
    """The text with control characters escaped, because it is shown in a terminal."""
    return text if text.isprintable() else repr(text)[1:-1]


def _has(tree: Any, where: tuple[str, ...]) -> bool:
    """Whether the file has the key."""
    for part in where:
        if not isinstance(tree, Mapping) or part not in tree:
            return False
        tree = tree[part]
    return True


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
