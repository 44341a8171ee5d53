"""The commands on experiments through the API: the same words, questions and exit codes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from deploy.cli.remote.commands import Arguments, digest_of, show_result
from deploy.cli.shared.command import UsageError, confirm
from deploy.config.units import format_duration, format_time
from deploy.views.escapes import one_line
from deploy.views.output import show_json, stderr, stdout, table
from streaming.contracts.errors import NotFoundError

if TYPE_CHECKING:
    from deploy.cli.remote.client import ApiClient


def start(client: ApiClient, arguments: Arguments) -> None:
    """`driftline experiment start`."""
    from deploy.cli.commands.experiment import begin_of, duration_of, shares_of
    from deploy.cli.commands.rollout import BY_HAND

    model, reason = arguments["model"], arguments["reason"]
    if arguments["force"] and reason == BY_HAND:
        raise UsageError("--force needs a --reason; both are kept in the log.")
    shares, seconds = shares_of(arguments["arm"]), duration_of(arguments["length"])
    arms = []
    for version, percent in shares.items():
        digest = digest_of(client, model, version)
        if not digest:
            raise NotFoundError(
                f"{model} has no version {version}; `driftline versions {model}` lists them."
            )
        stderr.print(one_line(f"version {version}: digest of its files {digest}"), soft_wrap=True)
        arms.append({"version": version, "percent": percent, "digest": digest})
    begin = arguments["begin"]
    begins = None if begin == "+0s" else begin_of(begin, time.time())
    met = " and ".join(f"{percent:g} % version {number}" for number, percent in shares.items())
    since = "now" if begins is None else format_time(begins)
    confirm(
        f"Of the users of {model}, {met} meets from {since} on, for at most "
        f"{format_duration(seconds)}.",
        yes=arguments["yes"],
    )
    content = {
        "arms": arms,
        "seconds": seconds,
        "champion_percent": arguments["champion"],
        "begin": begins,
        "metric": arguments["metric"],
        "minimum_effect": arguments["minimum_effect"],
        "reason": reason,
        "force": arguments["force"],
    }
    show_result(client.post("models", model, "experiments", content=content), arguments)


def stop(client: ApiClient, arguments: Arguments) -> None:
    """`driftline experiment stop`."""
    model, named = arguments["model"], arguments["experiment"]
    subject = "" if named is None else _full_id(client, model, named)
    confirm(
        f"All users of {model} meet the champion; the experiment has no outcome.",
        yes=arguments["yes"],
    )
    content = {"action": "stop-experiment", "reason": arguments["reason"], "subject": subject}
    show_result(client.post("models", model, "commands", content=content), arguments)


def listed(client: ApiClient, arguments: Arguments) -> None:
    """`driftline experiment list`: the newest status of each, oldest experiment first."""
    model = arguments["model"]
    rows = _newest(client, model)
    if arguments["json"]:
        show_json(rows)
        return
    shown = table(f"experiments of {model}", "experiment", "at", "state", "reason")
    for row in rows:
        shown.add_row(row["subject"], format_time(row["at"]), row["outcome"], row["reason"])
    stdout.print(shown)


def _newest(client: ApiClient, model: str) -> list[dict[str, Any]]:
    page = client.get("models", model, "records", kind="experiment-status", limit=200)
    newest = {row["subject"]: row for row in reversed(page["items"])}
    return list(newest.values())


def _full_id(client: ApiClient, model: str, beginning: str) -> str:
    ids = [row["subject"] for row in _newest(client, model) if row["subject"].startswith(beginning)]
    if len(ids) != 1:
        raise NotFoundError(f"{len(ids)} experiments of {model} have an id that begins so.")
    return str(ids[0])
