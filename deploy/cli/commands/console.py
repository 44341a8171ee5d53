"""`driftline console`: the pages that show models, verdicts and approvals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.shared.command import command
from deploy.views.output import stderr

if TYPE_CHECKING:
    from deploy.app.deployment import Deployment


@command
def console(
    deployment: Deployment,
    host: Annotated[str, typer.Option(help="Address; only loopback ones are allowed.")] = (
        "127.0.0.1"
    ),
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port; default: 8580 and the offset.")
    ] = None,
) -> None:
    """Serve the console in the foreground: what is live, what is wrong, and what to decide.

    There is no sign-in yet: it listens on this machine only, and decisions are sent in the name of
    the user who runs it.

    Example: `driftline -c deploy/config/demo.yaml console`
    """
    from deploy.console.server import check_address, run

    check_address(host)
    chosen = deployment.ports.console if port is None else port
    shown = f"[{host}]" if ":" in host else host
    stderr.print(f"The console is at http://{shown}:{chosen}; Ctrl-C ends it.", soft_wrap=True)
    run(deployment, host=host, port=chosen)
