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
    host: Annotated[
        str, typer.Option(help="Address; others than loopback ones need a sign-in and TLS.")
    ] = ("127.0.0.1"),
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port; default: 8580 and the offset.")
    ] = None,
    in_container: Annotated[
        bool,
        typer.Option(
            help="In a container whose port is published under --host: listen on all addresses, "
            "answer only the machine that runs the container."
        ),
    ] = False,
) -> None:
    """Serve the console in the foreground: what is live, what is wrong, and what to decide.

    Without `access.sign_in` it listens on this machine only, and decisions are sent in the name of
    the user who runs it. The API is under /api/v1; `driftline access token create` makes its token.

    Example: `driftline -c deploy/config/demo.yaml console`
    """
    from deploy.console.addresses import check_address
    from deploy.console.server import run

    access = deployment.settings.access
    check_address(host, access)
    chosen = deployment.ports.console if port is None else port
    shown = f"[{host}]" if ":" in host else host
    scheme = "https" if access.certificate_file else "http"
    address = access.address or f"{scheme}://{shown}:{chosen}"
    stderr.print(f"The console is at {address}; Ctrl-C ends it.", soft_wrap=True)
    run(deployment, host=host, port=chosen, in_container=in_container)
