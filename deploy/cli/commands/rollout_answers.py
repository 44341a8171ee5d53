"""`driftline rollout answers`: the paired comparison of a canary's answers with the champion's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.shared.command import Json, Model, command
from deploy.views.output import check_chart_file, show_json, stderr, stdout
from streaming.contracts.errors import NotFoundError
from streaming.contracts.records import AnswerComparison

if TYPE_CHECKING:
    from deploy.app.deployment import Deployment


@command
def answers(
    deployment: Deployment,
    model: Model,
    version: Annotated[
        int | None, typer.Option(min=1, help="The canary's version; default: the newest compared.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw both answers of each row: .png or .svg.")
    ] = None,
    json: Json = False,
) -> None:
    """Show how a version answered recent requests before its first weight, in pairs with the
    champion: checks, agreement, rank correlation, distributions, slices, largest differences.

    Example: `driftline rollout answers big_tipper --plot answers.svg`
    """
    from deploy.records import reader
    from deploy.views.paired_tables import comparison_tables

    check_chart_file(plot)
    deployment.settings_of(model)
    with deployment.log() as log:
        compared = reader.newest(
            log, AnswerComparison, model, 1, where=lambda entry: version in (None, entry.version)
        )
    if not compared:
        which = f"version {version} of {model}" if version else f"any version of {model}"
        raise NotFoundError(
            f"The answers of {which} have not been compared; the comparison comes before the "
            f"first weight of a canary. `driftline rollout status {model}` shows the rollout."
        )
    record = compared[-1]
    if plot is not None:
        from deploy.views.paired_charts import draw

        draw(record, plot)
        stderr.print(f"Drawn into {plot}.")
    if json:
        show_json(record)
        return
    for part in comparison_tables(record):
        stdout.print(part, soft_wrap=isinstance(part, str))
