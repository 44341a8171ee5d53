"""`driftline drift`: the newest verdicts, per feature, as tables and charts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.shared.command import Json, Model, command
from deploy.views.output import check_chart_file, show_json, stderr, stdout
from streaming.contracts.errors import NotFoundError
from streaming.contracts.records import DriftVerdict

if TYPE_CHECKING:
    from deploy.app.deployment import Deployment


@command
def drift(
    deployment: Deployment,
    model: Model,
    last: Annotated[int, typer.Option(min=1, help="Number of windows.")] = 10,
    feature: Annotated[
        str | None, typer.Option(help="Show one feature in detail, with both histograms.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw effects, limits and histograms: .png or .svg.")
    ] = None,
    json: Json = False,
) -> None:
    """Show the newest verdicts and the newest window's features: value, limit, p, n, effect,
    and the distances that other tools alarm on.

    Example: `driftline drift big_tipper --last 5`, `driftline drift big_tipper --feature fare`
    """
    from deploy.records import reader
    from deploy.views.drift_tables import (
        NO_REFERENCE,
        feature_details,
        features_table,
        of_feature,
        windows_table,
        without_reference,
    )

    check_chart_file(plot)
    deployment.settings_of(model)
    with deployment.log() as log:
        verdicts = reader.newest(log, DriftVerdict, model, last)
    if not verdicts:
        raise NotFoundError(
            f"No window of {model} was judged yet; `driftline job status {model}` shows the job."
        )
    feature_windows = of_feature(verdicts, feature) if feature is not None else []
    if plot is not None:
        from deploy.views.drift_charts import draw

        draw(verdicts, plot, feature)
        stderr.print(f"Drawn into {plot}.")
    if json:
        show_json([verdict for _, verdict in feature_windows] if feature is not None else verdicts)
    elif feature is not None:
        for part in feature_details(feature_windows):
            stdout.print(part)
    else:
        stdout.print(windows_table(model, verdicts))
        newest = verdicts[-1]
        if newest.features:
            stdout.print(features_table(newest))
        elif without_reference(verdicts):
            stdout.print(NO_REFERENCE, soft_wrap=True)
        else:
            stdout.print(f"The newest window was not judged: {newest.reason}", soft_wrap=True)
