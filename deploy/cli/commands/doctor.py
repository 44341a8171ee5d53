"""`driftline doctor`: problems of this machine, and what to do about them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from deploy.cli.shared.command import Json, command
from deploy.views.output import outcome_text, show_json, stderr, stdout, table

if TYPE_CHECKING:
    from deploy.app.deployment import Deployment


@command
def doctor(deployment: Deployment, json: Json = False) -> None:
    """Check ports, memory, disk, glibc, Java and the engines; in a container, the endpoints.

    Example: `driftline doctor`
    """
    from deploy.local.embedded import can_be_installed, engines_installed

    if engines_installed() or can_be_installed():
        from deploy.setup.doctor import checks

        ports = deployment.ports.all_named(len(deployment.served_models))
        results = [asdict(check) for check in checks(deployment.home, ports)]
    else:
        results = _endpoint_checks(deployment)
    if json:
        show_json(results)
    else:
        shown = table("doctor", "", "check", "found", "what to do")
        for check in results:
            mark = outcome_text("ok" if check["ok"] else "no")
            shown.add_row(
                mark, check["name"], check["observed"], "" if check["ok"] else check["advice"]
            )
        stdout.print(shown)
    failed = sum(not check["ok"] for check in results)
    if failed:
        stderr.print(f"{failed} of {len(results)} checks failed.")
        raise typer.Exit(1)
    stderr.print("Everything is in place.")


def _endpoint_checks(deployment: Deployment) -> list[dict[str, object]]:
    from deploy.services.endpoints import endpoint_states

    stderr.print(
        "The embedded engines are not installed here, so the configured endpoints are checked. "
        "In a checkout `make setup` installs the engines.",
        soft_wrap=True,
    )
    return [
        {
            "name": state.name,
            "ok": state.health == "ready",
            "observed": f"{state.address}: {state.health}",
            "advice": f"Start it, or set {state.setting} to its address.",
        }
        for state in endpoint_states(deployment)
    ]
