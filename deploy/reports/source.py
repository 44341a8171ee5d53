"""The projection of a deployment for a report: as up to date as the log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from deploy.app.deployment import Deployment
from deploy.projection.current import current_reader, projection_folder
from deploy.projection.reader import ProjectionReader
from deploy.projection.writer import ProjectionWriter
from deploy.reports.contents import Report, report_of_change, report_of_period
from streaming.contracts.errors import Conflict, UnavailableError


@contextmanager
def read(
    deployment: Deployment, model: str, *, start: float, end: float, version: int | None
) -> Iterator[tuple[Report, ProjectionReader]]:
    """A report's contents, of a version where one is given, and the projection for its picture.

    Raises
    ------
    NotFoundError
        When there is nothing to report.
    UnavailableError
        When the log cannot be read, or the console's projection is behind it.
    """
    home, bootstrap = deployment.home, deployment.bootstrap
    with suppress(Conflict):  # the console runs and keeps it
        ProjectionWriter(projection_folder(home, bootstrap)).close()  # makes it where needed
    with deployment.log() as log:
        reader = current_reader(home, bootstrap, log)
    if reader is None:
        raise UnavailableError("The console is still reading the log; try again in a minute.")
    try:
        if version is None:
            yield report_of_period(reader, model, start, end), reader
        else:
            yield report_of_change(reader, model, version, end), reader
    finally:
        reader.close()
