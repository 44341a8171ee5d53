"""`driftline config`: check, explain and print the schema of driftline.yaml."""

from __future__ import annotations

import inspect
import re
from typing import Any

import typer
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from deploy.config import loader, units
from deploy.config.settings import Settings
from deploy.views.output import Json, data, exits, show_json, table, talk

app = typer.Typer(no_args_is_help=True, help="Check and explain driftline.yaml.")


def add_to(root: typer.Typer) -> None:
    """Hang the group under `driftline`."""
    root.add_typer(app, name="config")


@app.command()
def check(context: typer.Context, json: Json = False) -> None:
    """Say whether the configuration can work; every mistake at once.

    Example: `driftline -c driftline.yaml config check`
    """
    with exits():
        settings = loader.load(context.obj)
        if json:
            show_json(settings.model_dump(mode="json"))
        else:
            path = loader.config_file(context.obj)
            talk.print(f"{path.name}: {len(settings.models)} model(s), nothing wrong.")


@app.command()
def explain(context: typer.Context, json: Json = False) -> None:
    """Say what each key means, its default and the value in force.

    Example: `driftline config explain`
    """
    with exits():
        rows = list(_explained(loader.load(context.obj)))
    if json:
        show_json(
            [dict(zip(("key", "value", "default", "meaning"), row, strict=True)) for row in rows]
        )
        return
    shown = table("driftline.yaml", "key", "value", "default", "meaning")
    for row in rows:
        shown.add_row(*row)
    data.print(shown)


@app.command()
def schema() -> None:
    """Print the JSON Schema of driftline.yaml, for editors.

    Example: `driftline config schema > driftline.schema.json`
    """
    show_json(Settings.model_json_schema())


def _explained(settings: Settings) -> list[tuple[str, str, str, str]]:
    rows: list[tuple[str, str, str, str]] = []
    for name, model in settings.models.items():
        rows += _section(model, f"models.{name}")
    for field in ("kafka", "endpoints", "local", "artifacts"):
        rows += _section(getattr(settings, field), field)
    return rows


def _section(section: BaseModel, prefix: str) -> list[tuple[str, str, str, str]]:
    rows = []
    meanings = _meanings(type(section))
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        key = f"{prefix}.{name}"
        if isinstance(value, BaseModel):
            rows += _section(value, key)
            continue
        default = "required" if field.default is PydanticUndefined else _spoken(field.default)
        rows.append((key, _spoken(value), default, meanings.get(name, "")))
    return rows


def _spoken(value: Any) -> str:
    if isinstance(value, units.Budget):
        return f"{value.times:g} per {units.spoken(value.seconds)}"
    if isinstance(value, units.Sustained):
        return f"{value.hits} of {value.of}"
    return str(value)


def _meanings(section: type[BaseModel]) -> dict[str, str]:
    """The docstring under each field, read from the source."""
    source = inspect.getsource(section)
    found = re.findall(r'^    (\w+): [^"]*?\n    """(.*?)"""', source, re.MULTILINE | re.DOTALL)
    return {name: " ".join(text.split()) for name, text in found}
