"""Schemas from a registry that speaks Confluent's API, with everything that they refer to.

A schema never changes under its number, so it is kept once it was read. Whatever else the registry
answers is a temporary error: it may be down, may not know the number yet, or may answer with what
is no schema.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

from streaming.contracts.avro import InvalidSchema
from streaming.contracts.documents import compiled
from streaming.contracts.errors import ConfigurationError, UnavailableError
from streaming.contracts.registered import (
    ReferencedSchema,
    RegisteredSchema,
    RegistryAddress,
    SchemaSource,
    SchemaType,
)
from streaming.engines.registry.limits import AnswerLimits, TooLong, TooSlow

RETRY_SECONDS = 1.0
"""A number that could not be resolved is asked for again after this long."""
_PAUSE = 4.0
"""While the registry does not answer, nothing is asked for this many times as long as it took to
learn that: a reader has other partitions to read."""
MAX_REFERENCES = 100
"""Schemas that one may refer to, directly or not."""
MAX_BYTES = 4 * 1024 * 1024
"""Longest text of a schema with its references."""
_ANSWER_BYTES = 3 * MAX_BYTES
"""Longest answer: the text in JSON, where each quotation mark has a backslash."""
_ANSWERS = 3.0
"""All answers for one schema may take this many times as long as one."""
_KINDS: tuple[SchemaType, ...] = ("AVRO", "PROTOBUF", "JSON")


@lru_cache(maxsize=16)
def schema_source(address: RegistryAddress | None) -> SchemaSource | None:
    """This process's registry at an address; None for no address."""
    return None if address is None else Registry(address)


def register_schema(address: RegistryAddress, subject: str, text: str) -> int:
    """See `Registry.register`."""
    return Registry(address).register(subject, text)


class Registry:
    """A `SchemaSource` on a registry.

    Raises
    ------
    ConfigurationError
        When the password's file cannot be read, or the address is none.
    """

    def __init__(self, address: RegistryAddress) -> None:
        self._address = address
        self._client: Any = None
        self._limits = AnswerLimits(_ANSWER_BYTES, address.timeout_seconds)
        self._schemas: dict[int, RegisteredSchema] = {}
        self._failed: dict[int, tuple[float, str]] = {}
        """Number → when it could not be had, and why."""
        self._silent = (-1e9, "")
        """Until when the registry is not asked, and why."""
        self._lock = Lock()

    def schema(self, schema_id: int) -> RegisteredSchema:
        """See `SchemaSource.schema`."""
        known = self._schemas.get(schema_id)
        if known is not None:
            return known
        with self._lock:
            began = time.monotonic()
            failed_at, cause = self._failed.get(schema_id, (-1e9, ""))
            if began - failed_at < RETRY_SECONDS:
                raise self._unavailable(schema_id, cause)
            if began < self._silent[0]:
                raise self._unavailable(schema_id, self._silent[1])
            try:
                schema = self._read(schema_id)
                compiled(schema)
            except (ConfigurationError, UnavailableError):
                raise
            except InvalidSchema as error:
                raise self._failure(schema_id, f"it is {error}") from error
            except Exception as error:  # the client has no common base for what it raises
                cause, now = _described(error), time.monotonic()
                if _is_silence(error):
                    self._silent = now + _PAUSE * (now - began), cause
                raise self._failure(schema_id, cause) from error
            self._schemas[schema_id] = schema
            self._failed.pop(schema_id, None)
            return schema

    def _failure(self, schema_id: int, cause: str) -> UnavailableError:
        self._failed = {} if len(self._failed) > 1000 else self._failed
        self._failed[schema_id] = time.monotonic(), cause
        if self._client is not None:
            self._client.clear_caches()  # what was no schema must not be remembered
        return self._unavailable(schema_id, cause)

    def _unavailable(self, schema_id: int, cause: str) -> UnavailableError:
        return UnavailableError(
            f"Schema {schema_id} cannot be had from {self._address.url}: {cause}. Records of it "
            "wait until it can.",
            delay_seconds=RETRY_SECONDS,
        )

    def _read(self, schema_id: int) -> RegisteredSchema:
        client = self._connected()
        self._limits.begin(_ANSWERS * self._address.timeout_seconds)
        given = client.get_schema(schema_id)
        kind: SchemaType = given.schema_type or "AVRO"
        if kind not in _KINDS:
            raise InvalidSchema(f"of the unknown type {kind!r}")
        is_protobuf = kind == "PROTOBUF"
        if is_protobuf:
            client.clear_caches()  # they do not tell the formats apart
            given = client.get_schema(schema_id, fmt="serialized")
        references: dict[str, ReferencedSchema] = {}
        for reference in self._referenced(given, references, is_protobuf=is_protobuf):
            references.setdefault(reference.name, reference)
        text = _text(given)
        if len(text) + sum(len(r.text) for r in references.values()) > MAX_BYTES:
            raise InvalidSchema(f"longer than {MAX_BYTES} bytes")
        return RegisteredSchema(
            schema_id=schema_id,
            schema_type=kind,
            text=text,
            references=tuple(references.values()),
        )

    def _referenced(
        self,
        schema: Any,
        known: dict[str, ReferencedSchema],
        *,
        is_protobuf: bool,
        inside: tuple[tuple[str, int], ...] = (),
    ) -> Iterator[ReferencedSchema]:
        """What a schema refers to, each after those that it refers to itself."""
        for reference in schema.references or ():
            if reference.name in known:
                continue
            place = reference.subject, reference.version
            if place in inside:
                raise InvalidSchema("in a circle of references")
            if len(known) + len(inside) >= MAX_REFERENCES:
                raise InvalidSchema(f"with more than {MAX_REFERENCES} references")
            version = self._connected().get_version(
                reference.subject,
                reference.version,
                **({"fmt": "serialized"} if is_protobuf else {}),
            )
            yield from self._referenced(
                version.schema, known, is_protobuf=is_protobuf, inside=(*inside, place)
            )
            yield ReferencedSchema(name=reference.name, text=_text(version.schema))

    def register(self, subject: str, text: str) -> int:
        """The number of an Avro schema, a new one where the registry does not have it.

        Raises
        ------
        UnavailableError
            When the registry does not answer, or refuses the schema.
        """
        from confluent_kafka.schema_registry import Schema

        self._limits.begin(_ANSWERS * self._address.timeout_seconds)
        try:
            return int(self._connected().register_schema(subject, Schema(text, "AVRO")))
        except (ConfigurationError, UnavailableError):
            raise
        except Exception as error:  # the client has no common base for what it raises
            raise UnavailableError(
                f"{self._address.url} does not register a schema for {subject}: "
                f"{_described(error)}.",
                delay_seconds=RETRY_SECONDS,
            ) from error

    def _connected(self) -> Any:
        if self._client is None:
            from confluent_kafka.schema_registry import SchemaRegistryClient

            client = SchemaRegistryClient(self._settings())
            self._limits.attach(client._rest_client.session)  # it has no setting
            self._client = client
        return self._client

    def _settings(self) -> dict[str, Any]:
        address = self._address
        settings: dict[str, Any] = {
            "url": address.url,
            "timeout": address.timeout_seconds,
            "max.retries": 0,  # the reader tries again, and says so meanwhile
        }
        if address.ca_file:
            settings["ssl.ca.location"] = address.ca_file
        if address.user:
            try:
                password = Path(address.password_file).read_text().strip()
            except OSError as error:
                raise ConfigurationError(
                    f"registry.password_file {address.password_file} cannot be read: {error}."
                ) from error
            settings["basic.auth.user.info"] = f"{address.user}:{password}"
        return settings


def _text(schema: Any) -> str:
    text = schema.schema_str
    if not isinstance(text, str) or not text:
        raise InvalidSchema("without a text")
    return text


def _described(error: Exception) -> str:
    """The cause of a failure in a few words."""
    code = getattr(error, "http_status_code", None)
    if code == 404:
        return "the registry does not know it"
    if isinstance(error, TooLong):
        return f"the registry sends {error}"
    if isinstance(code, int):
        return f"the registry answers with status {code}"
    if _is_silence(error):
        return f"the registry does not answer ({type(error).__name__}: {str(error)[:200]})"
    return f"the registry answers with what is no schema ({type(error).__name__})"


def _is_silence(error: Exception) -> bool:
    """Whether no answer came. The client uses one of two HTTP libraries with the same names."""
    return isinstance(error, TooSlow) or any(
        kind.__name__ == "TransportError" for kind in type(error).__mro__
    )
