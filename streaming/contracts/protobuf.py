"""Reads Protobuf payloads with the descriptors of the registry.

Fields have their names of the ``.proto`` file. A field with presence that is not set is missing,
any other has its default. A ``google.protobuf.Timestamp`` is a number of seconds since 1970, a
wrapper is its value, an enum is the name of its value, and a ``google.protobuf.Struct`` is the
object that it stands for.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from streaming.contracts.avro import SCHEMA_MISMATCH, WRONG_SCHEMA, InvalidSchema
from streaming.contracts.errors import DecodeError
from streaming.contracts.registered import RegisteredSchema
from streaming.contracts.wire_format import message_indexes

_WELL_KNOWN = "google/protobuf/"
_WRAPPED = ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
_WRAPPERS = frozenset(f"google.protobuf.{kind}Value" for kind in _WRAPPED)
Convert = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class ProtobufDecoder:
    """Reads the payloads of one schema."""

    schema_id: int
    pool: Any
    """The descriptors of the schema and of what it imports."""
    file: Any
    """The descriptor of the schema's own file."""
    _messages: dict[tuple[int, ...], tuple[Any, Convert]] = field(default_factory=dict)
    """Place in the file → class of the message, and its conversion."""

    def document(self, payload: bytes) -> dict[str, Any]:
        """The message in a payload; raises `DecodeError`."""
        from google.protobuf.message import DecodeError as ProtobufError

        indexes, start = message_indexes(payload)
        message_class, convert = self._messages.get(indexes) or self._message(indexes)
        try:
            document: dict[str, Any] = convert(message_class.FromString(payload[start:]))
        except (ProtobufError, UnicodeDecodeError, RecursionError) as error:
            raise DecodeError(
                f"The record does not fit {message_class.DESCRIPTOR.full_name} of its schema "
                f"{self.schema_id}: {str(error)[:200]}.",
                reason=SCHEMA_MISMATCH,
            ) from error
        return document

    def descriptor(self, indexes: tuple[int, ...]) -> Any:
        """The type of the message at a place of the file; raises `DecodeError`."""
        message_class, _ = self._messages.get(indexes) or self._message(indexes)
        return message_class.DESCRIPTOR

    def _message(self, indexes: tuple[int, ...]) -> tuple[Any, Convert]:
        from google.protobuf import message_factory

        descriptors = list(self.file.message_types_by_name.values())
        descriptor: Any = None
        for index in indexes:
            if not 0 <= index < len(descriptors):
                raise DecodeError(
                    f"Schema {self.schema_id} has no message at {list(indexes)}.",
                    reason=WRONG_SCHEMA,
                )
            descriptor = descriptors[index]
            descriptors = list(descriptor.nested_types)
        message_class = message_factory.GetMessageClass(descriptor)
        self._messages[indexes] = message_class, _converter(descriptor, {})
        return self._messages[indexes]


def protobuf_decoder(schema: RegisteredSchema) -> ProtobufDecoder:
    """The decoder of a schema; raises `InvalidSchema`."""
    from google.protobuf import descriptor_pool

    pool = descriptor_pool.DescriptorPool()
    name = f"schema-{schema.schema_id}.proto"
    try:
        for reference in schema.references:
            _add(pool, reference.name, reference.text)
        _add(pool, name, schema.text)
        file = pool.FindFileByName(name)
    except (TypeError, KeyError, ValueError, binascii.Error) as error:
        raise InvalidSchema(f"no Protobuf schema: {str(error)[:200]}") from error
    if not file.message_types_by_name:
        raise InvalidSchema("a Protobuf schema without a message")
    return ProtobufDecoder(schema.schema_id, pool, file)


def _add(pool: Any, name: str, text: str) -> None:
    from google.protobuf import descriptor_pb2
    from google.protobuf.message import DecodeError as ProtobufError

    file = descriptor_pb2.FileDescriptorProto()
    try:
        file.ParseFromString(base64.b64decode(text, validate=True))
    except ProtobufError as error:
        raise ValueError(str(error)) from error
    file.name = name
    for imported in file.dependency:
        if imported.startswith(_WELL_KNOWN):
            _add_well_known(pool, imported)
    pool.Add(file)


def _add_well_known(pool: Any, name: str) -> None:
    """Add one of Protobuf's own files and what it imports; others are left to the pool's error."""
    from google.protobuf import descriptor_pb2

    try:
        pool.FindFileByName(name)
    except KeyError:
        module = name.removesuffix(".proto").replace("/", ".") + "_pb2"
        try:
            own = import_module(module).DESCRIPTOR
        except ImportError:
            return
        for imported in own.dependencies:
            _add_well_known(pool, imported.name)
        file = descriptor_pb2.FileDescriptorProto()
        own.CopyToProto(file)
        pool.Add(file)


def _converter(descriptor: Any, known: dict[str, Convert]) -> Convert:
    """Turns a message into a document."""
    if descriptor.full_name in known:
        return known[descriptor.full_name]
    parts: list[tuple[str, bool, Convert | None]] = []

    def convert(message: Any) -> dict[str, Any]:
        document = {}
        for name, has_presence, convert_value in parts:
            if has_presence and not message.HasField(name):
                continue
            value = getattr(message, name)
            document[name] = value if convert_value is None else convert_value(value)
        return document

    known[descriptor.full_name] = convert
    for field_ in descriptor.fields:
        parts.append((field_.name, field_.has_presence, _of_field(field_, known)))
    return convert


def _of_field(field_: Any, known: dict[str, Convert]) -> Convert | None:
    if field_.message_type is not None and field_.message_type.GetOptions().map_entry:
        of_value = _of_value(field_.message_type.fields_by_name["value"], known)
        return lambda entries: {
            str(key): entry if of_value is None else of_value(entry)
            for key, entry in sorted(entries.items())
        }
    of_value = _of_value(field_, known)
    if not field_.is_repeated:
        return of_value
    return list if of_value is None else lambda values: [of_value(value) for value in values]


def _of_value(field_: Any, known: dict[str, Convert]) -> Convert | None:
    if field_.enum_type is not None:
        names = {number: value.name for number, value in field_.enum_type.values_by_number.items()}
        return lambda number: names.get(number, number)
    if field_.message_type is None:
        return None
    name = field_.message_type.full_name
    if name == "google.protobuf.Timestamp":
        return lambda time: time.seconds + time.nanos / 1e9
    if name in _WRAPPERS:
        return lambda wrapper: wrapper.value
    return _OF_JSON.get(name) or _converter(field_.message_type, known)


def _of_json_value(value: Any) -> Any:
    """The JSON value in a ``google.protobuf.Value``; one that is not set is null."""
    match value.WhichOneof("kind"):
        case "struct_value":
            return _of_struct(value.struct_value)
        case "list_value":
            return _of_list(value.list_value)
        case "number_value" | "string_value" | "bool_value" as kind:
            return getattr(value, kind)
    return None


def _of_struct(struct: Any) -> dict[str, Any]:
    return {name: _of_json_value(value) for name, value in sorted(struct.fields.items())}


def _of_list(values: Any) -> list[Any]:
    return [_of_json_value(value) for value in values.values]


_OF_JSON: dict[str, Convert] = {
    "google.protobuf.Value": _of_json_value,
    "google.protobuf.Struct": _of_struct,
    "google.protobuf.ListValue": _of_list,
}
