"""Finds a run by its id, its version or its digest. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from deploy.records.targets import SHORTEST_ID
from retrain.run_view import Run
from streaming.contracts.errors import Conflict, NotFoundError


def find(runs: Sequence[Run], target: str, model: str | None = None) -> Run:
    """The run that `target` names.

    Parameters
    ----------
    target:
        A request's id or the digest of a model, or the first characters of one (six or more); or
        the number of a version.
    model:
        The model that a version number belongs to; None = any, if only one has such a version.

    Raises
    ------
    NotFoundError
        When no run matches.
    Conflict
        When several match.
    """
    matching = _matching(runs, target, model)
    if not matching:
        raise NotFoundError(
            f"No run {target!r}{f' of {model}' if model else ''}; `driftline runs list` shows the"
            " runs with their ids and versions."
        )
    if len(matching) > 1:
        names = ", ".join(f"{run.run_id} ({run.model})" for run in matching[:5])
        raise Conflict(
            f"{target!r} names {len(matching)} runs: {names}. Give more characters of the id, or"
            " --model with a version."
        )
    return matching[0]


def _matching(runs: Sequence[Run], target: str, model: str | None) -> list[Run]:
    of_model = [run for run in runs if model in (None, run.model)]
    exact = [run for run in of_model if target in (run.run_id, run.digest)]
    if exact:
        return exact
    if target.isascii() and target.isdigit():
        by_version = [run for run in of_model if run.version == int(target) > 0]
        if by_version:
            return by_version
    if len(target) < SHORTEST_ID:
        return []
    return [
        run for run in of_model if run.run_id.startswith(target) or run.digest.startswith(target)
    ]
