"""Schemas of a registry, as records in Confluent's wire format name them by number."""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

SchemaType = Literal["AVRO", "PROTOBUF", "JSON"]


class ReferencedSchema(msgspec.Struct, frozen=True, kw_only=True):
    """A schema that another one refers to."""

    name: str
    """Name by which it is referred to: a full name in Avro, an imported file in Protobuf."""
    text: str
    """Its text, as in `RegisteredSchema`."""


class RegisteredSchema(msgspec.Struct, frozen=True, kw_only=True):
    """A schema with everything that it refers to."""

    schema_id: int
    """Number of the schema in its registry."""
    schema_type: SchemaType
    """Language of the schema."""
    text: str
    """JSON for Avro and JSON Schema; a serialised FileDescriptorProto in base64 for Protobuf."""
    references: tuple[ReferencedSchema, ...] = ()
    """What it refers to, each after those that it refers to itself."""


class RegistryAddress(msgspec.Struct, frozen=True, kw_only=True):
    """Where a schema registry is."""

    url: str
    """Its address, ``http://host:port``."""
    user: str = ""
    """User name; empty for none."""
    password_file: str = ""
    """File with the user's password."""
    ca_file: str = ""
    """File with the certificate authority; empty for those of the system."""
    timeout_seconds: float = 5.0
    """Longest wait for an answer."""


class SchemaSource(Protocol):
    """The port to the registry."""

    def schema(self, schema_id: int) -> RegisteredSchema:
        """The schema of this number.

        Raises
        ------
        TemporaryError
            When it cannot be had now: the registry does not answer, does not know the number or
            answers with what is no schema. Records of the schema wait.
        """
