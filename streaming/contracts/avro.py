"""Reads Avro payloads with fastavro.

Logical types are read as what they are stored as (a ``timestamp-millis`` is a number of
milliseconds), only decimals are numbers. Schemas whose payloads could need memory without bound are
refused: those that refer to themselves, and lists of values that take no bytes.
"""

from __future__ import annotations

import io
import json
import struct
from dataclasses import dataclass
from typing import Any

from streaming.contracts.errors import DecodeError
from streaming.contracts.registered import RegisteredSchema
from streaming.contracts.wire_format import TRUNCATED

SCHEMA_MISMATCH, WRONG_SCHEMA = "schema_mismatch", "wrong_schema"
_MAX_DEPTH = 64
"""Levels of records, lists and maps in a schema."""
_MAX_PARTS = 10_000
"""Parts of a schema when each named type is written out where it is used."""


class InvalidSchema(ValueError):
    """What the registry gave is no schema of the kind that it says."""


@dataclass(frozen=True, slots=True)
class AvroDecoder:
    """Reads the payloads of one schema."""

    schema_id: int
    parsed: Any
    """The schema with every named type written out where it is used."""
    fast: Any
    """The schema as fastavro takes it."""
    refusal: str
    """Why its payloads are not read; empty where they are."""

    def document(self, payload: bytes) -> dict[str, Any]:
        """The record in a payload; raises `DecodeError`."""
        import fastavro

        if self.refusal:
            raise DecodeError(f"Schema {self.schema_id} {self.refusal}.", reason=WRONG_SCHEMA)
        source = io.BytesIO(payload)
        try:
            document = fastavro.schemaless_reader(source, self.fast, None)
        except (
            ValueError,
            LookupError,
            TypeError,
            ArithmeticError,
            struct.error,
            StopIteration,
            EOFError,
            MemoryError,
        ) as error:
            # within a number the end of the payload is an IndexError
            if isinstance(error, EOFError) or str(error).startswith("string index"):
                raise DecodeError(
                    f"The record ends before its fields do, after {len(payload)} bytes of payload.",
                    reason=TRUNCATED,
                ) from error
            raise self._mismatch(f"{type(error).__name__}: {str(error)[:200]}") from error
        left = len(payload) - source.tell()
        if left:
            raise self._mismatch(f"{left} bytes are left over")
        if not isinstance(document, dict):
            raise self._mismatch("it is no record")
        return document

    def _mismatch(self, cause: str) -> DecodeError:
        return DecodeError(
            f"The record does not fit its schema {self.schema_id}: {cause}.", reason=SCHEMA_MISMATCH
        )


def avro_decoder(schema: RegisteredSchema) -> AvroDecoder:
    """The decoder of a schema; raises `InvalidSchema`."""
    import fastavro

    known: dict[str, Any] = {}
    try:
        for reference in schema.references:
            loaded = _plain(json.loads(reference.text))
            fastavro.parse_schema(loaded, named_schemas=known)
        loaded = _plain(json.loads(schema.text))
        fast = fastavro.parse_schema(loaded, named_schemas=known)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidSchema(
            f"no Avro schema: {type(error).__name__}: {str(error)[:200]}"
        ) from error
    except Exception as error:  # fastavro's own errors have no common base
        if type(error).__module__.split(".")[0] != "fastavro":
            raise
        raise InvalidSchema(f"no Avro schema: {str(error)[:200]}") from error
    try:
        parsed = _WrittenOut(known).part(fast, ())
    except _Unsupported as error:
        return AvroDecoder(schema.schema_id, None, fast, str(error))
    is_record = isinstance(parsed, dict) and parsed["type"] == "record"
    return AvroDecoder(schema.schema_id, parsed, fast, "" if is_record else "is no record")


class _Unsupported(Exception):
    """A schema that is not read, with the reason."""


def _plain(schema: Any) -> Any:
    """The schema without logical types but decimals."""
    if isinstance(schema, list):
        return [_plain(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {
        name: _plain(part) for name, part in schema.items() if name not in ("default", "symbols")
    }
    if "symbols" in schema:
        plain["symbols"] = schema["symbols"]
    if plain.get("logicalType") != "decimal":
        plain.pop("logicalType", None)
    return plain


@dataclass(slots=True)
class _WrittenOut:
    """Puts named types in the place of their names."""

    known: dict[str, Any]
    """Named types."""
    parts: int = 0
    """Number of parts so far."""

    def part(self, schema: Any, inside: tuple[str, ...]) -> Any:
        """A part of the schema, inside these named types; raises `_Unsupported`."""
        self.parts += 1
        if len(inside) > _MAX_DEPTH or self.parts > _MAX_PARTS:
            raise _Unsupported(f"has more than {_MAX_DEPTH} levels or {_MAX_PARTS} parts")
        if isinstance(schema, list):
            return [self.part(branch, (*inside, "")) for branch in schema]
        if isinstance(schema, str):
            if schema not in self.known:
                return schema
            if schema in inside:
                raise _Unsupported(f"refers to itself in {schema}")
            return self.part(self.known[schema], (*inside, schema))
        return self._complex(schema, inside)

    def _complex(self, schema: dict[str, Any], inside: tuple[str, ...]) -> Any:
        kind = schema["type"]
        if kind == "record":
            path = (*inside, schema["name"])
            fields = [
                {"name": field["name"], "type": self.part(field["type"], path)}
                for field in schema["fields"]
            ]
            return {"type": "record", "fields": fields}
        if kind == "array":
            items = self.part(schema["items"], (*inside, ""))
            if _fewest_bytes(items) == 0:
                raise _Unsupported("has a list whose elements take no bytes")
            return {"type": "array", "items": items}
        if kind == "map":
            return {"type": "map", "values": self.part(schema["values"], (*inside, ""))}
        if kind in ("enum", "fixed") or schema.get("logicalType"):
            return schema
        return self.part(kind, inside)


def _fewest_bytes(schema: Any) -> int:
    if schema == "null":
        return 0
    if isinstance(schema, dict) and schema["type"] == "record":
        return sum(_fewest_bytes(field["type"]) for field in schema["fields"])
    if isinstance(schema, dict) and schema["type"] == "fixed":
        return int(schema["size"])
    return 1
