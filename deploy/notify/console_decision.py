"""A button's decision by the function that decides for the console's page."""

from __future__ import annotations

from collections.abc import Callable

from deploy.app.deployment import Deployment
from deploy.console.access import open_access
from deploy.console.addresses import transport
from deploy.console.context import Console
from deploy.console.decisions import decide as decide_on_page
from deploy.console.identity import Identity
from deploy.console.live import Live
from deploy.console.pictures import Pictures
from deploy.notify.buttons import Press
from deploy.projection.current import projection_folder
from deploy.projection.reader import ProjectionReader


def decide(
    deployment: Deployment, reader: ProjectionReader, press: Press, *, now: Callable[[], float]
) -> str:
    """Decide in the name of the person who pressed the button.

    Returns
    -------
    str
        What became of it, in a sentence.

    Raises
    ------
    NotFoundError
        When there is no such request.
    """
    port = deployment.ports.console
    access = open_access(
        deployment.settings, deployment.home, local=press.person, port=port, file=deployment.file
    )
    console = Console(
        settings=deployment.settings,
        file=deployment.file.name,
        reader=reader,
        open_log=deployment.log,
        pictures=Pictures(projection_folder(deployment.home, deployment.bootstrap)),
        live=Live(),
        now=now,
        access=access,
        identity=Identity(person=press.person, how="session", roles=access.roles, through="slack"),
        transport=transport(access.settings, port),
    )
    decided = decide_on_page(
        console, press.request_id, answer=press.answer, reason=press.reason, digest=press.digest
    )
    if decided.status == 303:
        verb = "approved" if press.answer == "approve" else "rejected"
        return f"{press.person} {verb} it. {decided.message}"
    return f"{press.person}: {decided.message}"
