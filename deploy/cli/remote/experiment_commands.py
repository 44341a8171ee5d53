"""The commands on experiments through the API: the same words, questions and exit codes."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, TypeVar

from deploy.cli.remote.commands import Arguments, digest_of, show_result
from deploy.cli.shared.command import UsageError, confirm
from deploy.config.units import format_duration, format_time
from deploy.views.escapes import one_line
from deploy.views.output import show_json, stderr, stdout, table
from streaming.contracts.codec import decode_as
from streaming.contracts.errors import NotFoundError
from streaming.contracts.records import ExperimentLook, ExperimentStatus, Record

if TYPE_CHECKING:
    from deploy.cli.remote.client import ApiClient

R = TypeVar("R", bound=Record)


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


def status(client: ApiClient, arguments: Arguments) -> None:
    """`driftline experiment status`."""
    from deploy.cli.commands.experiment import show_status

    if arguments["plot"] is not None:
        raise UsageError(
            "--plot works on the machine's stack only; the console's page of the experiment has "
            "the picture."
        )
    model, named = arguments["model"], arguments["experiment"]
    known = _newest(client, model)
    if named is not None:
        full = _full_id(client, model, named)
        known = [row for row in known if row["subject"] == full]
    if not known:
        raise NotFoundError(f"{model} has no experiment yet; `driftline experiment start --help`.")
    row = known[-1]
    page = client.get("models", model, "records", kind="experiment-look", limit=200)
    looks = [look for look in page["items"] if look["subject"] == row["subject"]]
    show_status(
        _full_record(client, row, ExperimentStatus),
        _full_record(client, looks[0], ExperimentLook) if looks else None,
        json=arguments["json"],
    )


def _full_record(client: ApiClient, row: dict[str, Any], kind: type[R]) -> R:
    """The whole record of a summary; raises `NotFoundError` when it is not kept."""
    detail = client.get("records", row["record_id"])
    if detail["record"] is None:
        raise NotFoundError(str(detail["problem"]))
    return decode_as(json.dumps(detail["record"]).encode(), kind)


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
