"""Shell completion of models, processes and scenarios; reads no more than their names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer


def complete_model(context: typer.Context, incomplete: str) -> list[str]:
    """The models of the configuration file that begin with `incomplete`."""
    models = _configuration(context).get("models")
    names = [str(name) for name in models] if isinstance(models, dict) else []
    return [name for name in names if name.startswith(incomplete)]


def complete_process(context: typer.Context, incomplete: str) -> list[str]:
    """The processes with a log whose names begin with `incomplete`."""
    from deploy.config.paths import home

    local = _configuration(context).get("local")
    folder = str(local.get("folder") or "") if isinstance(local, dict) else ""
    names = sorted(file.stem for file in (home() / folder / "log").glob("*.log"))
    return [name for name in names if name.startswith(incomplete)]


def complete_scenario(incomplete: str) -> list[str]:
    """The demonstration's scenarios that begin with `incomplete`."""
    from deploy.demo.names import scenario_names

    return [name for name in scenario_names() if name.startswith(incomplete)]


def _configuration(context: typer.Context) -> dict[str, Any]:
    """The configuration file as it is written; empty when it cannot be read."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    from deploy.config.paths import config_file

    named = context.find_root().params.get("file")
    try:
        tree = YAML(typ="safe").load(config_file(Path(named) if named else None).read_text())
    except (OSError, YAMLError):
        return {}
    return tree if isinstance(tree, dict) else {}
