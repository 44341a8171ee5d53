"""Signs commands with Ed25519 (RFC 8032), so that write access to Kafka alone gives no command.

The signature covers the whole record, its id, time and sender included. A replay has the same id,
which the daemon carries out once; an older one is out of date.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec.structs import replace

from deploy.access.private_files import read_secret, write_secret
from deploy.access.roles import Roles, command_barrier, same_person
from deploy.config.access_settings import CommandKeySettings
from streaming.contracts.codec import encode
from streaming.contracts.errors import ConfigurationError
from streaming.contracts.log import Message, RecordLog
from streaming.contracts.raw_record import Headers
from streaming.contracts.records import Command, OffsetRange, Record
from streaming.contracts.topics import Topic, TopicDifference


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def key_file(home: Path, name: str) -> Path:
    """The file of a private key."""
    return home / "access" / f"{name}.key"


def create_key(home: Path, name: str) -> str:
    """Write a new private key; returns the public one. Raises `Conflict` when it exists."""
    private = Ed25519PrivateKey.generate()
    write_secret(key_file(home, name), _text(private.private_bytes_raw()), "a signing key")
    return _text(private.public_key().public_bytes_raw())


class CommandSigner:
    """Signs commands with the key of a file.

    Raises
    ------
    ConfigurationError
        When the file cannot be used.
    """

    def __init__(self, home: Path, name: str) -> None:
        self.name, path = name, key_file(home, name)
        secret = read_secret(path, "a signing key")
        try:
            self._key = Ed25519PrivateKey.from_private_bytes(_bytes(secret))
        except (ValueError, binascii.Error) as error:
            raise ConfigurationError(
                f"{path} holds no signing key; `driftline access key create {name}` makes one."
            ) from error

    def sign(self, command: Command) -> Command:
        """The command with the name of the key and its signature."""
        named = replace(command, key=self.name, signature="")
        return replace(named, signature=_text(self._key.sign(encode(named))))


def signature_barrier(command: Command, keys: Sequence[CommandKeySettings]) -> str:
    """Why a command's signature does not count; empty if it does, or none is asked for.

    Parameters
    ----------
    keys:
        The keys that count; empty where commands need no signature.
    """
    if not keys:
        return ""
    if not command.signature:
        return "the command is not signed, and access.command_keys asks for it."
    key = next((entry for entry in keys if entry.name == command.key), None)
    if key is None:
        return f"access.command_keys has no key {command.key!r}."
    try:
        public = Ed25519PublicKey.from_public_bytes(_bytes(key.public))
        public.verify(_bytes(command.signature), encode(replace(command, signature="")))
    except (InvalidSignature, ValueError, binascii.Error):
        return f"the signature is not that of the key {key.name} over this command."
    if key.person and same_person(key.person) != same_person(command.who):
        return f"the key {key.name} signs for {key.person} only, not for {command.who}."
    return ""


def daemon_barrier(command: Command, keys: Sequence[CommandKeySettings], roles: Roles) -> str:
    """Why the daemon refuses a command for who sent it; empty if it does not."""
    barrier = signature_barrier(command, keys)
    if not barrier and roles.entries:
        barrier = command_barrier(
            roles, command.who, command.model, command.action, force=command.force
        )
    return f"Not allowed: {barrier}" if barrier else ""


class SigningLog:
    """A log that signs each command before it is appended, and names the sender's role.

    Parameters
    ----------
    signer:
        Reads the key, once a command is appended; None where commands are not signed.
    """

    def __init__(
        self, log: RecordLog, signer: Callable[[], CommandSigner] | None, roles: Roles
    ) -> None:
        self._log, self._signer, self._roles = log, signer, roles

    def append(self, records: Sequence[Record], *, topic: Topic | None = None) -> None:
        self._log.append(list(self._signed(records)), topic=topic)

    def _signed(self, records: Iterable[Record]) -> Iterator[Record]:
        for record in records:
            if not isinstance(record, Command):
                yield record
                continue
            role = record.role or self._roles.role(record.who, record.model) or ""
            command = replace(record, role=role)
            yield command if self._signer is None else self._signer().sign(command)

    def ensure(self, topics: Sequence[Topic]) -> None:
        self._log.ensure(topics)

    def differences(self, topics: Sequence[Topic]) -> tuple[TopicDifference, ...]:
        return self._log.differences(topics)

    def append_raw(
        self,
        topic: str,
        messages: Sequence[tuple[bytes | None, bytes]],
        headers: Sequence[Headers] = (),
    ) -> None:
        self._log.append_raw(topic, messages, headers)

    def read(self, span: OffsetRange) -> Iterator[Message]:
        return self._log.read(span)

    def spans(self, topic: str, *, since: float | None = None) -> tuple[OffsetRange, ...]:
        return self._log.spans(topic, since=since)

    def follow(
        self, topics: Sequence[str], *, from_start: bool, poll_seconds: float = 0.2
    ) -> Iterator[Message | None]:
        return self._log.follow(topics, from_start=from_start, poll_seconds=poll_seconds)

    def close(self) -> None:
        self._log.close()
