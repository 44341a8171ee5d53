"""Forms that give commands: a retrain, an experiment, an answer to a schema proposal.

Each form has a key of its own, so that a form that is sent twice, for example by the button "back"
of a browser without JavaScript, acts once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Annotated
from urllib.parse import quote, urlencode

from fastapi import FastAPI, Form
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import ValidationError
from starlette.requests import Request

from deploy.config.units import parse_duration, parse_time
from deploy.console.api import schemas
from deploy.console.api.experiment_operations import start_command
from deploy.console.api.once import answered_once, send
from deploy.console.context import Console
from deploy.console.decisions import MAX_REASON, Decided
from deploy.console.gate import identity_of
from deploy.records.commands import new_command
from streaming.contracts.errors import ConfigurationError, Conflict, DriftlineError, NotFoundError
from streaming.contracts.records import Action

Render = Callable[..., HTMLResponse]
Text = Annotated[str, Form(max_length=200)]
Reason = Annotated[str, Form(max_length=10_000)]
ACTIONS: dict[str, Action] = {
    "retrain": "retrain",
    "stop-experiment": "stop-experiment",
    "accept-schema": "accept-schema",
    "reject-schema": "reject-schema",
}
"""What `/commands` takes; what is bound to a digest must name it."""
BOUND = ("accept-schema", "reject-schema")
_INCOMPLETE = Decided(422, "The form is incomplete; open its page again.")


def add_command_forms(app: FastAPI, console: Console, render: Render) -> None:
    """What the forms are sent to."""

    @app.post("/commands")
    def command(
        request: Request,
        model: Text = "",
        action: Text = "",
        subject: Text = "",
        digest: Text = "",
        key: Text = "",
        reason: Reason = "",
    ) -> HTMLResponse:
        seen = _checked(console, request, model)
        decided = _refusal(seen, model, ACTIONS.get(action), key, reason)
        if decided is None and action in BOUND and not (digest and subject):
            decided = _INCOMPLETE
        if decided is None:
            given = new_command(
                model,
                ACTIONS[action],
                reason.strip(),
                at=seen.now(),
                subject=subject,
                digest=digest,
                who=seen.who,
            )
            text = "\n".join((action, subject, digest, reason))
            decided = _once(seen, model, key, text, lambda name: send(seen, given, name))
        return _page(render, seen, decided, action=action, model=model, reason=reason)

    @app.get("/commands")
    @app.get("/experiments")
    def reloaded() -> RedirectResponse:
        """The address of an answer, opened again: what became of the form is in the audit."""
        return RedirectResponse("/audit", status_code=303)

    _add_experiments(app, console, render)


def _add_experiments(app: FastAPI, console: Console, render: Render) -> None:
    @app.post("/experiments")
    def experiment(
        request: Request,
        model: Text = "",
        arm: Text = "",
        percent: Text = "",
        length: Text = "",
        begin: Text = "",
        key: Text = "",
        reason: Reason = "",
    ) -> HTMLResponse:
        seen = _checked(console, request, model)
        action: Action = "start-experiment"
        decided = _refusal(seen, model, action, key, reason)
        if decided is None:
            text = "\n".join((action, arm, percent, length, begin, reason))

            def act(name: str) -> Decided:
                content = experiment_input(arm, percent, length, begin, reason, now=seen.now())
                return send(seen, start_command(seen, model, content), name)

            decided = _once(seen, model, key, text, act)
        return _page(render, seen, decided, action=action, model=model, reason=reason)


def _page(
    render: Render, seen: Console, decided: Decided, *, action: str, model: str, reason: str
) -> HTMLResponse:
    """What became of a form, with what was typed."""
    titles = {200: "Accepted", 202: "Sent"}
    return render(
        "commanded",
        status=decided.status,
        console=seen,
        title=titles.get(decided.status, "Not done"),
        message=decided.message,
        action=action,
        model=model,
        reason=reason,
        back=_back(action, model),
    )


def experiment_input(
    arm: str, percent: str, length: str, begin: str, reason: str, *, now: float
) -> schemas.ExperimentInput:
    """The experiment that a form's texts describe.

    Parameters
    ----------
    arm:
        Version and digest of what users meet, separated by a space.
    begin:
        A date, or a time from now on like ``+2h``; empty for at once.

    Raises
    ------
    ConfigurationError
        When a text is not what its field asks for.
    """
    version, _, digest = arm.partition(" ")
    try:
        begins = now + parse_duration(begin[1:]) if begin.startswith("+") else None
        if begin and begins is None:
            begins = parse_time(begin, now)
        return schemas.ExperimentInput(
            arms=[
                schemas.ArmInput(
                    version=int(version), percent=float(percent.removesuffix("%")), digest=digest
                )
            ],
            seconds=parse_duration(length),
            begin=begins,
            reason=reason.strip(),
        )
    except ValidationError as error:
        first = error.errors()[0]
        place = " ".join(map(str, first["loc"]))
        raise ConfigurationError(f"The experiment's {place}: {first['msg']}.") from error
    except (ValueError, OverflowError) as error:
        raise ConfigurationError(
            f"An experiment needs a version, a share like 20, a length like 7d and a beginning "
            f"like +2h or 2026-11-20T08:00: {error}"
        ) from error


def _checked(console: Console, request: Request, model: str) -> Console:
    """The console as the person sees it, if the person sees the model."""
    seen = console.seen_by(identity_of(request))
    if model not in seen.models:
        raise NotFoundError(f"There is no model {model}.")
    return seen


def _refusal(
    console: Console, model: str, action: Action | None, key: str, reason: str
) -> Decided | None:
    """Why nothing is sent; None when it is."""
    if action is None or not 8 <= len(key) <= 100 or not key.isascii() or not key.isprintable():
        return _INCOMPLETE
    barrier = console.identity.barrier(model, action)
    if barrier:
        return Decided(403, barrier)
    if not reason.strip():
        return Decided(422, "The reason is missing; it is kept with the command, so say why.")
    if len(reason) > MAX_REASON:
        return Decided(422, f"A reason has at most {MAX_REASON} characters.")
    return None


def _once(
    console: Console, model: str, key: str, text: str, act: Callable[[str], Decided]
) -> Decided:
    """What became of a form; the same form with the same content acts once."""
    text = f"{model}\nform\n{text}"
    own = f"{key} {hashlib.sha256(text.encode()).hexdigest()[:24]}"
    try:
        answer, _ = answered_once(console, own, text, model, act)
    except Conflict as error:
        return Decided(409, str(error))
    except NotFoundError as error:
        return Decided(404, str(error))
    except ConfigurationError as error:
        return Decided(422, str(error))
    except DriftlineError as error:
        return Decided(503, str(error))
    content = json.loads(answer.body)
    return Decided(answer.status, content.get("detail") or content.get("reason", ""))


def _back(action: str, model: str) -> str:
    """The page on which the result is seen."""
    if action == "retrain":
        return f"/runs?{urlencode({'model': model})}"
    place = "#schema" if action in BOUND else "/experiments"
    return f"/models/{quote(model, safe='')}{place}"
