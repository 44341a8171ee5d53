"""What every command shares: how it is registered, how it fails, and how it asks before acting.

A command is a function whose first parameter is the `Deployment` (or the `Invocation`, where the
configuration may be wrong). The decorator reads the configuration, prints our errors and ends with
the documented exit code.
"""

from __future__ import annotations

import errno
import functools
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, get_type_hints

import typer

from deploy.cli.shared.completion import complete_model
from deploy.views.output import show_json, stderr
from streaming.contracts.errors import (
    ConfigurationError,
    Conflict,
    DriftlineError,
    GateFailedError,
    NotAllowedError,
    NotFoundError,
    UnavailableError,
)

if TYPE_CHECKING:
    from deploy.app.deployment import Deployment, LogFactory

EXITS = {
    0: "done",
    1: "failed",
    2: "wrong usage or configuration",
    3: "not found",
    4: "a gate failed or a verdict is negative",
    5: "conflict: stale approval, already running",
    6: "not allowed",
    7: "timed out",
    8: "an engine cannot be reached",
}

_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (ConfigurationError, 2),
    (NotFoundError, 3),
    (GateFailedError, 4),
    (Conflict, 5),
    (NotAllowedError, 6),
    (TimeoutError, 7),
    (UnavailableError, 8),
    (DriftlineError, 1),
)


class UsageError(ConfigurationError):
    """The command line is wrong or incomplete."""


class Declined(DriftlineError):
    """The user did not consent."""


NOT_ALLOWED = "Not allowed: "
"""How the reason of a reply begins that a rule about people explains."""

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
Model = Annotated[
    str,
    typer.Argument(help="Name of the model in driftline.yaml.", autocompletion=complete_model),
]
Yes = Annotated[
    bool, typer.Option("--yes", "-y", help="Do not ask; needed when there is no terminal.")
]


@dataclass(frozen=True, slots=True)
class Invocation:
    """What `driftline` was called with, before the configuration is read."""

    file: Path | None = None
    """The configuration file that was named, if any."""
    log_factory: LogFactory | None = None
    """Opens the record log; None for Kafka."""
    server: str = ""
    """Address of a console whose API the command uses; empty for this machine's stack."""
    run_remotely: Callable[[str, dict[str, Any]], None] = lambda path, arguments: None
    """Runs a command, by its name with its groups, through that API."""

    def deployment(self) -> Deployment:
        """Read the configuration; raises `ConfigurationError`."""
        from deploy.app.deployment import Deployment, kafka_log

        return Deployment.load(self.file, log_factory=self.log_factory or kafka_log)


def command(body: Callable[..., None]) -> Callable[..., None]:
    """Make a Typer command of a function that takes a `Deployment` or an `Invocation` first.

    The class `Deployment` is imported when the command runs: it brings the whole configuration.
    """
    signature = inspect.signature(body)
    hints = get_type_hints(body, localns={"Deployment": object}, include_extras=True)
    first, *options = (
        parameter.replace(annotation=hints[name])
        for name, parameter in signature.parameters.items()
    )
    takes_invocation = first.annotation is Invocation

    @functools.wraps(body)
    def run(context: typer.Context, **arguments: Any) -> None:
        as_json = arguments.get("json", False)
        if as_json:
            _log_on_stderr()
        with reported_errors(as_json=as_json):
            invocation = context.obj
            if invocation.server:
                invocation.run_remotely(_path(context), arguments)
                return
            body(invocation if takes_invocation else invocation.deployment(), **arguments)

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    context = inspect.Parameter("context", kind, annotation=typer.Context)
    run.__signature__ = signature.replace(parameters=[context, *options])  # type: ignore[attr-defined]
    run.__annotations__ = {option.name: option.annotation for option in (context, *options)}
    return run


def _path(context: typer.Context) -> str:
    """Name of the command with its groups, without the program's."""
    return context.command_path.partition(" ")[2]


def _log_on_stderr() -> None:
    """Keep what is logged out of the data on stdout."""
    import structlog

    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))


def exit_code(error: BaseException) -> int:
    """The documented exit code of an error.

    >>> exit_code(Conflict("It is already running."))
    5
    """
    return next((code for kind, code in _CODES if isinstance(error, kind)), 1)


@contextmanager
def reported_errors(*, as_json: bool = False) -> Iterator[None]:
    """Turn our errors into a message and their exit code."""
    try:
        yield
    except (DriftlineError, TimeoutError) as error:
        fail(error, as_json=as_json)
    except OSError as error:
        if error.errno == errno.EPIPE:  # the reader of the output has ended; Click handles it
            raise
        fail(OSError(_os_error_sentence(error)), as_json=as_json)


def _os_error_sentence(error: OSError) -> str:
    """One sentence with the reason and the path.

    >>> _os_error_sentence(PermissionError(13, "Permission denied", "/srv/state"))
    'The operating system refused an operation: Permission denied: /srv/state.'
    """
    reason = error.strerror or str(error) or type(error).__name__
    path = f": {error.filename}" if error.filename is not None else ""
    return f"The operating system refused an operation: {reason}{path}."


def fail(error: BaseException, *, as_json: bool = False) -> NoReturn:
    """Print an error on stderr, and as JSON on stdout where asked; end with its exit code.

    A command that has already printed its result as JSON passes no `as_json`.
    """
    name = type(error).__name__
    stderr.print(name, style="red", end="")
    stderr.print(f": {error}", soft_wrap=True)
    if as_json:
        show_json(error_as_data(name, str(error), exit_code(error)))
    raise typer.Exit(exit_code(error))


def error_as_data(kind: str, message: str, code: int) -> dict[str, Any]:
    """The JSON form of an error."""
    return {"error": {"type": kind, "message": message, "exit_code": code}}


def refused(reason: str) -> Conflict | NotAllowedError:
    """The error for a command that the daemon refused, with its reason.

    >>> refused("Not allowed: eve is not among those who may decide.")
    NotAllowedError('eve is not among those who may decide.')
    """
    if reason.startswith(NOT_ALLOWED):
        return NotAllowedError(reason.removeprefix(NOT_ALLOWED))
    return Conflict(reason.removeprefix("Conflict: "))


def confirm(consequence: str, *, yes: bool) -> None:
    """Say what will happen and ask for consent.

    Raises
    ------
    UsageError
        When nobody can be asked and `yes` is not given.
    Declined
        When the answer is no, or there is none: end of input, or Ctrl-C.
    """
    stderr.print(consequence, soft_wrap=True)
    if yes:
        return
    if not on_terminal():
        raise UsageError("Nothing was done: without a terminal this command needs --yes.")
    try:
        consent = typer.confirm("Continue?", err=True)
    except typer.Abort:
        stderr.print()  # ends the line of the question
        consent = False
    if not consent:
        raise Declined("Nothing was done.")


def on_terminal() -> bool:
    """Whether somebody can answer a question."""
    return sys.stdin.isatty()
