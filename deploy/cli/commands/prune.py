"""`driftline prune`: removes files of retrains that nothing points to, by age, count and quota."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec.structs import replace

from deploy.cli.shared.command import Json, UsageError, Yes, command, confirm
from deploy.config.units import format_megabytes, format_time, parse_duration, parse_size
from deploy.views.output import show_json, stderr, stdout, table

if TYPE_CHECKING:
    from deploy.app.deployment import Deployment
    from retrain.clean_up import CleanUp, CleanUpRules


@command
def prune(
    deployment: Deployment,
    older_than: Annotated[
        str | None, typer.Option(help="Age of what goes, as 30d; else retrain.keep_files.")
    ] = None,
    versions: Annotated[
        int | None,
        typer.Option(min=1, help="Newest versions that stay; else retrain.keep_versions."),
    ] = None,
    quota: Annotated[
        str | None, typer.Option(help="What may stay, as 20GB; else retrain.max_size.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would go and what stays.")
    ] = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Remove old files of retrains: versions, runs, examples, logs, leftovers of dead attempts.

    Nothing goes that a record in force points to: the live version and the one before it, what a
    rollout, an experiment, a label or an open request names, and the runs of these versions.
    Exit code 8: the log, which says what is in force, cannot be read, and nothing was removed.

    Example: `driftline prune --dry-run --quota 20GB`
    """
    from deploy.services.clean_up import alone
    from deploy.services.retrain_files import clean_up_rules, remove
    from retrain.clean_up import CleanUp

    rules = _rules(clean_up_rules(deployment), older_than, versions, quota)
    plan = _plan(deployment, rules)
    if not dry_run and plan.removed:
        if not json:
            _show(plan)
        confirm(f"{len(plan.removed)} files and folders are deleted for ever.", yes=yes)
        confirmed = {removal.files.path for removal in plan.removed}
        with alone(deployment, wait=True):
            plan = _plan(deployment, rules)  # what is in force may have changed meanwhile
            removed = tuple(each for each in plan.removed if each.files.path in confirmed)
            freed = sum(each.files.size for each in removed)
            plan = replace(plan, removed=removed, freed=freed)
            assert isinstance(plan, CleanUp)
            remove(deployment, plan)
    if json:
        show_json({"dry_run": dry_run, "plan": plan})
    elif dry_run or not plan.removed:
        _show(plan)
    else:
        stdout.print(f"{format_megabytes(plan.freed)} freed; {format_megabytes(plan.left)} stay.")


def _rules(
    rules: CleanUpRules, older_than: str | None, versions: int | None, quota: str | None
) -> CleanUpRules:
    try:
        if older_than is not None:
            rules = replace(rules, keep_seconds=parse_duration(older_than))
        if quota is not None:
            rules = replace(rules, max_bytes=parse_size(quota))
    except ValueError as error:
        raise UsageError(str(error)) from error
    return rules if versions is None else replace(rules, keep_versions=versions)


def _plan(deployment: Deployment, rules: CleanUpRules) -> CleanUp:
    from deploy.services.retrain_files import retrain_files
    from retrain.clean_up import plan_clean_up

    with deployment.log() as log:
        return plan_clean_up(retrain_files(deployment, log), rules, time.time())


def _show(plan: CleanUp) -> None:
    from retrain.clean_up import size_by_kind

    if plan.removed:
        shown = table("what goes", "kind", "model", "name", "changed", ">size", "why")
        for removal in plan.removed:
            files = removal.files
            shown.add_row(
                files.kind,
                files.model or "–",
                files.name,
                format_time(files.at),
                format_megabytes(files.size),
                removal.reason,
            )
        stdout.print(shown)
    held = sum(1 for files in plan.kept if files.held_by)
    kinds = ", ".join(
        f"{kind} {format_megabytes(size)}" for kind, size in size_by_kind(plan.kept).items()
    )
    stderr.print(
        f"{format_megabytes(plan.freed)} can be freed; {format_megabytes(plan.left)} stay"
        f" ({kinds or 'nothing'}), {held} of {len(plan.kept)} held by records in force.",
        soft_wrap=True,
    )
    if plan.above_quota:
        stderr.print(
            f"The quota is exceeded by {format_megabytes(plan.above_quota)}: what stays is held, "
            "or was changed in the last hour, or is among the newest versions (--versions).",
            soft_wrap=True,
        )
