"""`driftline drift`: the latest verdicts, per feature, in figures and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deploy.app.deployment import Deployment
from deploy.records import reader
from deploy.views.drift_tables import feature_story, features_table, of_feature, windows_table
from deploy.views.output import Json, Model, data, drawable, exits, show_json, talk
from streaming.contracts.errors import NotFoundError
from streaming.contracts.records import DriftVerdict


def add_to(root: typer.Typer) -> None:
    """Hang the command under `driftline`."""
    root.command()(drift)


def drift(
    context: typer.Context,
    model: Model,
    last: Annotated[int, typer.Option(min=1, help="How many windows.")] = 10,
    feature: Annotated[
        str | None, typer.Option(help="One feature in detail, with both histograms.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw effects, limits and histograms: .png or .svg.")
    ] = None,
    json: Json = False,
) -> None:
    """Show the latest verdicts, and the newest window's features: value, limit, p, n, effect,
    and the distances that other tools alarm on.

    Example: `driftline drift big_tipper --last 5`, `driftline drift big_tipper --feature fare`
    """
    with exits():
        drawable(plot)
        deployment = Deployment.load(context.obj)
        deployment.settings_of(model)
        with deployment.log() as log:
            found = reader.records(log, DriftVerdict, model)[-last:]
        if not found:
            raise NotFoundError(
                f"No window of {model} was judged yet; `driftline job status {model}`."
            )
        story = of_feature(found, feature) if feature is not None else []
        if plot is not None:
            from deploy.views.drift_charts import draw

            draw(found, plot, feature)
            talk.print(f"Drawn into {plot}.")
    if json:
        show_json([one for _, one in story] if feature is not None else found)
    elif feature is not None:
        for part in feature_story(story):
            data.print(part)
    else:
        data.print(windows_table(model, found))
        data.print(features_table(found[-1]))
