"""The commands through the API: the same words, questions and exit codes as on the machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from deploy.cli.shared.command import UsageError, confirm
from deploy.config.units import format_time
from deploy.views.escapes import one_line
from deploy.views.output import outcome_text, show_json, stderr, stdout, table
from streaming.contracts.errors import Conflict, NotFoundError

if TYPE_CHECKING:
    from deploy.cli.remote.client import ApiClient

Arguments = Mapping[str, Any]
ASKED = {
    "promote": "It goes to 100 % of the traffic.",
    "abort": "It gets no traffic any more.",
    "rollback": "The version before it gets all traffic again.",
    "retry": "It is rolled out again from the first step, with all its gates.",
}
"""What the actions change that ask first."""


def models(client: ApiClient, arguments: Arguments) -> None:
    """`driftline models`."""
    page = client.get("models")
    if arguments["json"]:
        show_json(page)
        return
    shown = table("models", "model", ">live", "since", "state", "waits for")
    for model in page["items"]:
        live = model["live_version"]
        since = "" if live is None else format_time(model["live_since"])
        shown.add_row(
            *(model["name"], "–" if live is None else str(live), since),
            *(outcome_text(model["state"]), model["waits_for"]),
        )
    stdout.print(shown)
    for task in page["tasks"]:
        stderr.print(one_line(f"{task['model']}: {task['text']}"))


def versions(client: ApiClient, arguments: Arguments) -> None:
    """`driftline versions`."""
    page = client.get(
        "models", arguments["model"], "records", kind="model-version", limit=arguments["last"]
    )
    if arguments["json"]:
        show_json(page["items"])
        return
    shown = table(f"versions of {arguments['model']}", ">version", "trained", "result", "reason")
    for row in page["items"]:
        shown.add_row(str(row["version"]), format_time(row["at"]), row["headline"], row["reason"])
    stdout.print(shown)


def trace(client: ApiClient, arguments: Arguments) -> None:
    """`driftline trace`; a version needs its model."""
    if arguments["recompute"]:
        raise UsageError("--recompute reads the whole log; it works on the machine's stack only.")
    detail = client.get("records", _record_of(client, arguments["target"], arguments["model"]))
    if arguments["json"]:
        show_json(detail)
        return
    for row in (detail["summary"], *detail["causes"]):
        line = f"{row['kind']} {row['record_id'][:12]} {format_time(row['at'])}: {row['headline']}"
        stdout.print(one_line(line), soft_wrap=True)


def _record_of(client: ApiClient, target: str, model: str | None) -> str:
    if not target.isdigit() or len(target) > 10:
        return target
    if model is None:
        raise UsageError(f"Version {target} of which model? Give --model, or a record's id.")
    for kind in ("promotion", "model-version"):
        for row in client.get("models", model, "records", kind=kind, limit=200)["items"]:
            if row["version"] == int(target):
                return str(row["record_id"])
    raise NotFoundError(f"{model} has no version {target} among its newest 200.")


def retrain(client: ApiClient, arguments: Arguments) -> None:
    """`driftline retrain`, without waiting for the version."""
    if arguments["wait"]:
        raise UsageError(
            "With --server a retrain is not waited for; `driftline versions` shows it."
        )
    content = {
        "action": "retrain",
        "reason": arguments["reason"],
        "window_start": arguments["start"],
        "window_end": arguments["stop"],
    }
    if arguments["dry_run"]:
        show_json(content)
        return
    result = client.post("models", arguments["model"], "commands", content=content)
    show_result(result, arguments)


def rollout_status(client: ApiClient, arguments: Arguments) -> None:
    """`driftline rollout status`."""
    if arguments["watch"]:
        raise UsageError("--watch works on the machine's stack only; the console's page is live.")
    model = arguments["model"]
    rows = client.get("models", model, "records", kind="rollout-status", limit=1)["items"]
    detail = client.get("records", rows[0]["record_id"])["record"] if rows else None
    if arguments["json"]:
        show_json({"status": detail})
    elif detail is None:
        stdout.print(f"Nothing of {model} was rolled out yet.", soft_wrap=True)
    else:
        text = f"version {detail['version']}: {detail['phase']}, {detail['weight']} %"
        stdout.print(one_line(f"{text}: {detail['reason']}"), soft_wrap=True)


def approvals(client: ApiClient, arguments: Arguments) -> None:
    """`driftline rollout approvals`."""
    entries = [
        entry
        for entry in client.get("approvals")["items"]
        if arguments["model"] in (None, entry["request"]["model"])
    ][: arguments["last"]]
    if arguments["json"]:
        show_json(entries)
        return
    shown = table("approvals", "request", "model", ">version", "state", "deadline", "reason")
    for entry in entries:
        request = entry["request"]
        shown.add_row(
            *(request["record_id"][:12], request["model"], str(request["version"])),
            *(entry["state"], format_time(request["deadline"]), request["reason"]),
        )
    stdout.print(shown)


def approve(client: ApiClient, arguments: Arguments) -> None:
    """`driftline rollout approve`."""
    _decide(client, arguments, "approve", force=arguments["force"])


def reject(client: ApiClient, arguments: Arguments) -> None:
    """`driftline rollout reject`."""
    if not arguments["reason"].strip():
        raise UsageError("A rejection needs a --reason; it is kept with the decision.")
    _decide(client, arguments, "reject", force=False)


def _decide(client: ApiClient, arguments: Arguments, answer: str, *, force: bool) -> None:
    request_id = _open_request(client, arguments)
    detail, tag = client.get_with_tag("approvals", request_id)
    request = detail["request"]
    if arguments["version"] not in (None, request["version"]):
        raise Conflict(f"Version {request['version']} awaits an approval, not another one.")
    if arguments["digest"] not in ("", request["digest"], request["artifact"]):
        raise Conflict(f"What is asked has the digest {request['digest']}, not the one named.")
    if detail["stale"]:
        raise Conflict(detail["stale"])
    named = f"version {request['version']} of {request['model']}"
    for line in (
        f"{named}: {request['reason']}",
        f"digest {request['digest']}; deadline {format_time(request['deadline'])}",
    ):
        stderr.print(one_line(line), soft_wrap=True)
    consequence = request["on_yes"] if answer == "approve" else request["on_no"]
    word = "yes" if answer == "approve" else "no"
    confirm(one_line(f"If you say {word}: {consequence}"), yes=arguments["yes"])
    content = {"answer": answer, "reason": arguments["reason"], "force": force}
    headers = {"if-match": tag}
    result = client.post("approvals", request_id, "decisions", content=content, **headers)
    show_result(result, arguments)


def _open_request(client: ApiClient, arguments: Arguments) -> str:
    model, named = arguments["model"], arguments["request"]
    waiting = [
        entry["request"]["record_id"]
        for entry in client.get("approvals")["items"]
        if entry["request"]["model"] == model
        and (entry["outcome"] is None or named)
        and entry["request"]["record_id"].startswith(named)
    ]
    if not waiting:
        raise NotFoundError(f"No approval of {model} is open; `driftline rollout status {model}`.")
    return str(waiting[0])


def control(action: str) -> Callable[[ApiClient, Arguments], None]:
    """`driftline rollout ACTION`."""

    def act(client: ApiClient, arguments: Arguments) -> None:
        model, version = arguments["model"], arguments.get("version")
        if version is None:
            rows = client.get("models", model, "records", kind="rollout-status", limit=1)["items"]
            version = rows[0]["version"] if rows else 0
        digest = digest_of(client, model, version)
        if arguments.get("digest") not in (None, "", digest):
            raise Conflict(f"Version {version} of {model} has the digest {digest}.")
        if action in ASKED:
            text = f"{action} version {version} of {model}. {ASKED[action]}"
            confirm(text, yes=arguments.get("yes", False))
        content = {
            "action": action,
            "reason": arguments["reason"],
            "version": version,
            "digest": digest,
            "force": arguments.get("force", False),
        }
        show_result(client.post("models", model, "commands", content=content), arguments)

    return act


def digest_of(client: ApiClient, model: str, version: int) -> str:
    """The digest of a version's artifact: a command is bound to it."""
    rows = client.get("models", model, "records", kind="model-version", limit=200)["items"]
    for row in rows:
        if row["version"] == version:
            record = client.get("records", row["record_id"])["record"]
            return str(record["artifact"]["digest"]) if record else ""
    return ""


def show_result(result: Mapping[str, Any], arguments: Arguments) -> None:
    """What became of a command; raises `TimeoutError` while the daemon has not replied."""
    if result["state"] == "sent":
        raise TimeoutError(f"Command {result['command_id']}: {result['reason']}")
    if arguments["json"]:
        show_json(result)
    stderr.print(one_line(f"accepted: {result['reason']}"), soft_wrap=True)
