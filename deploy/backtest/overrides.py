"""Drift rules that differ from those in force: from a file or from the command line."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from deploy.app.deployment import Deployment
from deploy.config import loader
from deploy.config.environment import PREFIX
from streaming.contracts.errors import ConfigurationError


def changed_rules(
    deployment: Deployment, model: str, file: Path | None, settings: Sequence[str]
) -> Deployment:
    """The deployment with other drift rules for one model.

    Parameters
    ----------
    file:
        YAML with the keys that change: those of `drift` alone, or under ``drift:``, or in a whole
        driftline.yaml under ``models.MODEL.drift``. Other keys stay as they are.
    settings:
        ``drift.KEY=VALUE``; they override the file.

    Raises
    ------
    ConfigurationError
        When a key is unknown or a value cannot work.
    """
    environment = dict(os.environ)
    from_file = _keys_of_file(file, model) if file else ()
    for path, value in [*from_file, *map(_key_of_setting, settings)]:
        words = ("MODELS", model, "DRIFT", *path)
        environment[PREFIX + "__".join(words).upper()] = value
    return replace(deployment, settings=loader.load(deployment.file, environment=environment))


def _key_of_setting(text: str) -> tuple[tuple[str, ...], str]:
    key, equals, value = text.partition("=")
    words = tuple(key.strip().split("."))
    if not equals or words[0] != "drift" or len(words) < 2:
        raise ConfigurationError(
            f'--set {text}: write drift.KEY=VALUE, for example drift.false_alarms="1 per 7d".'
        )
    return words[1:], value


def _keys_of_file(file: Path, model: str) -> Iterator[tuple[tuple[str, ...], str]]:
    try:
        tree = YAML(typ="safe").load(file.read_text())
    except (OSError, YAMLError) as error:
        raise ConfigurationError(f"--rules {file} cannot be read: {error}") from error
    for word in ("models", model, "drift"):
        if isinstance(tree, dict) and word in tree:
            tree = tree[word]
    if not isinstance(tree, dict) or "models" in tree or not tree:
        raise ConfigurationError(f"--rules {file} holds no drift rules for {model}.")
    yield from _leaves(tree)


def _leaves(tree: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from (((str(key), *path), text) for path, text in _leaves(value))
        else:
            yield (str(key),), str(value)
