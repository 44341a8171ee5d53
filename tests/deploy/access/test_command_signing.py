"""Commands count with a signature only, where keys are set: forged, changed and replayed ones do
not."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from deploy.access.command_signing import (
    CommandSigner,
    SigningLog,
    create_key,
    daemon_barrier,
    key_file,
    signature_barrier,
)
from deploy.access.roles import Roles
from deploy.config.access_settings import CommandKeySettings, RoleSettings
from streaming.contracts.codec import decode, encode
from streaming.contracts.errors import ConfigurationError, Conflict
from streaming.contracts.log import MemoryLog
from streaming.contracts.records import Command

COMMAND = Command(record_id="c1", model="trips", at=1.0, action="abort", reason="x", who="ann")
ROLES = Roles((RoleSettings(person="ann", role="operator"),), {"trips": ""})


def signed(
    home: Path, name: str = "console", person: str = ""
) -> tuple[Command, CommandKeySettings]:
    public = create_key(home, name)
    key = CommandKeySettings(name=name, public=public, person=person)
    return CommandSigner(home, name).sign(COMMAND), key


def test_a_signed_command_counts_also_after_the_log(tmp_path: Path) -> None:
    command, key = signed(tmp_path)
    read = decode(encode(command))
    assert isinstance(read, Command)
    assert read.key == "console"
    assert signature_barrier(read, (key,)) == ""
    assert signature_barrier(COMMAND, ()) == ""


@pytest.mark.parametrize(
    "changes",
    [
        {"signature": ""},
        {"signature": "AAAA"},
        {"signature": "not base64 ~~"},
        {"key": "another"},
        {"who": "eve"},
        {"action": "promote"},
        {"model": "fares"},
        {"at": 2.0},
        {"record_id": "c2"},
        {"force": True},
        {"role": "admin"},
        {"version": 7},
    ],
)
def test_a_changed_command_does_not(tmp_path: Path, changes: dict[str, object]) -> None:
    command, key = signed(tmp_path)
    barrier = daemon_barrier(replace(command, **changes), (key,), ROLES)
    assert barrier.startswith("Not allowed: ")


def test_the_signature_of_another_key_of_the_same_name_does_not_count(tmp_path: Path) -> None:
    command, _ = signed(tmp_path / "forger")
    _, key = signed(tmp_path / "console")
    assert "not that of the key" in signature_barrier(command, (key,))


def test_a_persons_key_signs_for_nobody_else(tmp_path: Path) -> None:
    command, key = signed(tmp_path, "laptop", person="Ann")
    assert signature_barrier(command, (key,)) == ""
    other = CommandSigner(tmp_path, "laptop").sign(replace(COMMAND, who="bob"))
    assert "signs for Ann only" in signature_barrier(other, (key,))


def test_the_daemon_checks_the_role_of_the_person(tmp_path: Path) -> None:
    command, key = signed(tmp_path)
    assert daemon_barrier(command, (key,), ROLES) == ""
    promote = CommandSigner(tmp_path, "console").sign(replace(COMMAND, action="promote"))
    assert "needs the role approver" in daemon_barrier(promote, (key,), ROLES)


def test_a_key_file_is_for_its_user_only(tmp_path: Path) -> None:
    create_key(tmp_path, "console")
    path = key_file(tmp_path, "console")
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(Conflict):
        create_key(tmp_path, "console")
    path.chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        CommandSigner(tmp_path, "console")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        CommandSigner(tmp_path, "missing")


def test_the_log_signs_commands_and_names_the_role(tmp_path: Path) -> None:
    public = create_key(tmp_path, "console")
    inner = MemoryLog()
    log = SigningLog(inner, lambda: CommandSigner(tmp_path, "console"), ROLES)
    log.append([COMMAND])
    (span,) = inner.spans("commands")
    (message,) = inner.read(span)
    assert message.value is not None
    written = decode(message.value)
    assert isinstance(written, Command)
    assert (written.role, written.key) == ("operator", "console")
    key = CommandKeySettings(name="console", public=public)
    assert signature_barrier(written, (key,)) == ""
