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

from deploy.config.settings import ModelSettings, Settings
from streaming.contracts.errors import ConfigurationError

PREFIX = "DRIFTLINE__"
PROJECT = Path(__file__).resolve().parents[2]
DEFAULT_FILE = Path(__file__).resolve().parent / "driftline.yaml"


def home(environment: Mapping[str, str] = os.environ) -> Path:
    """The folder of state and downloads."""
    named = environment.get("DRIFTLINE_HOME")
    return Path(named).expanduser().resolve() if named else PROJECT / ".driftline"


def config_file(named: Path | None, environment: Mapping[str, str] = os.environ) -> Path:
    """The file to read: named, DRIFTLINE_CONFIG, ./driftline.yaml, or the one that ships."""
    if named is not None:
        return named
    if "DRIFTLINE_CONFIG" in environment:
        return Path(environment["DRIFTLINE_CONFIG"])
    here = Path("driftline.yaml")
    return here if here.exists() else DEFAULT_FILE


def load(file: Path | None = None, *, environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings.

    Raises
    ------
    ConfigurationError
        With one line for each mistake.
    """
    path = config_file(file, environment)
    try:
        tree = YAML(typ="rt").load(path.read_text())
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"{path} does not exist; copy deploy/config/driftline.yaml there."
        ) from error
    except YAMLError as error:
        raise ConfigurationError(f"{path} is not YAML: {error}") from error
    if not isinstance(tree, dict):
        raise ConfigurationError(f"{path} must hold a mapping that begins with models:.")
    override(tree, environment)
    try:
        return Settings.model_validate(_plain(tree))
    except ValidationError as error:
        raise ConfigurationError("\n".join(_mistakes(error, tree, path))) from error


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


def _mistakes(error: ValidationError, tree: dict[str, Any], path: Path) -> list[str]:
    lines = []
    for mistake in error.errors():
        where = [part for part in mistake["loc"] if not str(part).startswith("function-")]
        line = _line(tree, where)
        name = ".".join(str(part) for part in where)
        said = mistake["msg"].removeprefix("Value error, ")
        if mistake["type"] == "extra_forbidden":
            said = "no such key." + _suggestion(where)
        lines.append(f"{path.name}:{line}: {name}: {said}")
    return lines


def _line(tree: Any, where: list[str | int]) -> int | str:
    node: Any = tree
    line: int | str = "?"
    for part in where:
        mark = getattr(node, "lc", None)
        if mark is None:
            break
        try:
            line = (mark.key(part) if isinstance(node, Mapping) else mark.item(part))[0] + 1
        except (KeyError, IndexError, TypeError):
            break
        node = node[part]
    return line


def _suggestion(where: list[str | int]) -> str:
    section = _section(where[:-1])
    if section is None:
        return ""
    near = difflib.get_close_matches(str(where[-1]), section.model_fields, n=1)
    return f" Did you mean {near[0]}?" if near else f" Known: {', '.join(section.model_fields)}."


def _section(where: list[str | int]) -> type[BaseModel] | None:
    """The settings class that a path in the file leads to."""
    section: type[BaseModel] = Settings
    names = [str(part) for part in where]
    if names[:1] == ["models"]:
        section, names = ModelSettings, names[2:]
    for name in names:
        field = section.model_fields.get(name)
        kind = field.annotation if field else None
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            return None
        section = kind
    return section
