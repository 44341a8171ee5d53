"""`driftline access`: people with passwords, tokens of programs, and keys that sign commands.

It works on the state of this machine, below DRIFTLINE_HOME; roles are in the settings.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.shared.command import Json, UsageError, Yes, command, confirm, on_terminal
from deploy.config.units import format_time
from deploy.views.output import show_json, stderr, stdout, table

if TYPE_CHECKING:
    from deploy.access.database import AccessDatabase
    from deploy.app.deployment import Deployment

app = typer.Typer(no_args_is_help=True, help="Who may use the console, its API and commands.")
users = typer.Typer(no_args_is_help=True, help="People who sign in with a password.")
tokens = typer.Typer(no_args_is_help=True, help="Tokens of programs and of --server.")
keys = typer.Typer(no_args_is_help=True, help="Keys that sign commands.")
app.add_typer(users, name="user")
app.add_typer(tokens, name="token")
app.add_typer(keys, name="key")

DAY = 86_400.0
Name = Annotated[str, typer.Argument(help="Name of the person, as in access.roles.")]
PasswordFile = Annotated[
    Path | None,
    typer.Option(help="File with the password, readable by you only; default: you type it."),
]


def _database(deployment: Deployment) -> AccessDatabase:
    from deploy.access.database import AccessDatabase

    return AccessDatabase(deployment.home / "access")


def _password(file: Path | None) -> str:
    from deploy.access.private_files import read_secret

    if file is not None:
        return read_secret(file, "a password")
    if not on_terminal():
        raise UsageError("Without a terminal the password comes from --password-file.")
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))


@users.command("add")
@command
def add_user(deployment: Deployment, name: Name, password_file: PasswordFile = None) -> None:
    """Add a person who signs in with a password, kept as an argon2id hash.

    Example: `driftline access user add ann`
    """
    from deploy.access.people import People
    from deploy.access.roles import Roles

    people = People(_database(deployment))
    people.add(name, _password(password_file), now=time.time())
    stderr.print(f"{name} can sign in.", soft_wrap=True)
    if not Roles.of(deployment.settings).known(name):
        stderr.print(f"{name} has no role yet; give one in access.roles of {deployment.file.name}.")


@users.command("password")
@command
def set_password(deployment: Deployment, name: Name, password_file: PasswordFile = None) -> None:
    """Set another password; the person's sessions end.

    Example: `driftline access user password ann`
    """
    from deploy.access.people import People

    People(_database(deployment)).set_password(name, _password(password_file))
    stderr.print(f"{name} has another password.", soft_wrap=True)


@users.command("remove")
@command
def remove_user(deployment: Deployment, name: Name, yes: Yes = False) -> None:
    """Remove a person, with the sessions and tokens.

    Example: `driftline access user remove ann`
    """
    from deploy.access.people import People

    confirm(f"{name} can sign in no more, and every token of {name} is removed.", yes=yes)
    People(_database(deployment)).remove(name)


@users.command("list")
@command
def list_users(deployment: Deployment, json: Json = False) -> None:
    """List the people who have a password, with their roles.

    Example: `driftline access user list`
    """
    from deploy.access.people import People
    from deploy.access.roles import Roles

    roles = Roles.of(deployment.settings)
    people = People(_database(deployment)).listed()
    held = {
        person.name: {model: roles.role(person.name, model) for model in roles.models(person.name)}
        for person in people
    }
    if json:
        show_json([{"name": entry.name, "roles": held[entry.name]} for entry in people])
        return
    shown = table("people", "name", "added", "roles")
    for person in people:
        of_models = ", ".join(f"{model}: {role}" for model, role in held[person.name].items())
        shown.add_row(person.name, format_time(person.added), of_models or "none")
    stdout.print(shown)


@tokens.command("create")
@command
def create_token(
    deployment: Deployment,
    label: Annotated[str, typer.Option(help="What it is for.")],
    role: Annotated[str, typer.Option(help="Highest role that it gives.")] = "viewer",
    days: Annotated[int, typer.Option(min=1, max=3650, help="Days until it expires.")] = 30,
    person: Annotated[
        str, typer.Option(help="Whose it is; default: the user who runs this command.")
    ] = "",
    json: Json = False,
) -> None:
    """Make a token and print it, once; only its digest is kept.

    Example: `driftline access token create --label nightly --role operator > token`
    """
    from dataclasses import asdict

    from deploy.access.roles import ROLES
    from deploy.access.tokens import Tokens
    from deploy.records.commands import current_user

    chosen = next((name for name in ROLES if name == role), None)
    if chosen is None:
        raise UsageError(f"--role {role}: the roles are {', '.join(ROLES)}.")
    seconds = min(days * DAY, deployment.settings.access.token)
    token, secret = Tokens(_database(deployment)).create(
        person or current_user(), label, role=chosen, seconds=seconds, now=time.time()
    )
    if json:
        show_json({**asdict(token), "token": secret})
        return
    stdout.print(secret, soft_wrap=True)
    stderr.print(
        f"Token {token.id} of {token.person} is valid until {format_time(token.expires)}. It is "
        "shown this once; keep it in a file that only you can read.",
        soft_wrap=True,
    )


@tokens.command("list")
@command
def list_tokens(deployment: Deployment, json: Json = False) -> None:
    """List the tokens, without the tokens themselves.

    Example: `driftline access token list`
    """
    from dataclasses import asdict

    from deploy.access.tokens import Tokens

    known = Tokens(_database(deployment)).listed()
    if json:
        show_json([asdict(token) for token in known])
        return
    now = time.time()
    shown = table("tokens", "id", "person", "label", "role", "until", "state")
    for token in known:
        state = "valid" if token.valid(now) else "expired" if token.revoked is None else "revoked"
        until = format_time(token.expires)
        shown.add_row(token.id, token.person, token.label, token.role, until, state)
    stdout.print(shown)


@tokens.command("revoke")
@command
def revoke_token(
    deployment: Deployment, token: Annotated[str, typer.Argument(help="Id of the token.")]
) -> None:
    """Revoke a token: it counts no more, at once.

    Example: `driftline access token revoke 0f3a12bc44de`
    """
    from deploy.access.tokens import Tokens

    revoked = Tokens(_database(deployment)).revoke(token, now=time.time())
    stderr.print(f"Token {revoked.id} of {revoked.person} counts no more.", soft_wrap=True)


@keys.command("create")
@command
def create_key(
    deployment: Deployment,
    name: Annotated[str, typer.Argument(help="Name of the key, for example console.")],
    json: Json = False,
) -> None:
    """Make a key that signs this machine's commands, and print what the settings need.

    The private key stays in a file below DRIFTLINE_HOME that only you can read. Once
    access.command_keys has a key, the daemon refuses commands without a signature.

    Example: `driftline access key create console`
    """
    from deploy.access.command_signing import create_key as create

    if not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
        raise UsageError(f"{name!r} is no name for a key: use letters, digits, - and _.")
    public = create(deployment.home, name)
    if json:
        show_json({"name": name, "public": public})
        return
    stdout.print(
        f"access:\n  command_keys:\n    - {{name: {name}, public: {public}}}\n"
        f"  signing_key: {name}",
        markup=False,
        soft_wrap=True,
    )
