"""The daemon's controller takes signed commands of people with a role, each once."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from deploy.access.command_signing import CommandSigner, create_key, daemon_barrier
from deploy.access.roles import Roles
from deploy.config.access_settings import CommandKeySettings, RoleSettings
from streaming.contracts.records import Command, CommandReply
from tests.integration.control_loop import ControlLoop

MODEL = "big_tipper"


def command(loop: ControlLoop, name: str, who: str = "ann") -> Command:
    return Command(
        record_id=name, model=MODEL, at=loop.clock.now(), action="pause", reason="x", who=who
    )


def guarded(folder: Path) -> tuple[ControlLoop, CommandSigner]:
    loop = ControlLoop(folder)
    key = CommandKeySettings(name="console", public=create_key(folder, "console"))
    roles = Roles((RoleSettings(person="ann", role="operator"),), {MODEL: ""})
    loop.controller.command_barrier = partial(daemon_barrier, keys=(key,), roles=roles)
    return loop, CommandSigner(folder, "console")


def replies(loop: ControlLoop, given: Command) -> list[CommandReply]:
    records = loop.controller.on_record(given, now=loop.clock.now())
    return [record for record in records if isinstance(record, CommandReply)]


def test_an_unsigned_command_is_refused_once_and_with_the_reason(tmp_path: Path) -> None:
    loop, _ = guarded(tmp_path)
    (reply,) = replies(loop, command(loop, "forged"))
    assert not reply.accepted
    assert reply.reason.startswith("Not allowed: the command is not signed")
    assert replies(loop, command(loop, "forged")) == []


def test_a_signed_command_is_taken_and_its_replay_is_not(tmp_path: Path) -> None:
    loop, signer = guarded(tmp_path)
    given = signer.sign(command(loop, "signed"))
    (reply,) = replies(loop, given)
    assert "Not allowed" not in reply.reason
    for number in range(300):  # more than the parts remember by themselves
        replies(loop, signer.sign(command(loop, f"other-{number}")))
    assert replies(loop, given) == []


def test_a_signed_command_of_a_person_without_a_role_is_refused(tmp_path: Path) -> None:
    loop, signer = guarded(tmp_path)
    (reply,) = replies(loop, signer.sign(command(loop, "eves", who="eve")))
    assert "eve has no role" in reply.reason
