"""CloudEvents 1.0 in Kafka records, in binary and in structured mode.

The document of a CloudEvent is its JSON data, with the attributes beside it under the names that
they have as headers (``ce_id``, ``ce_time``, …). Source: the CloudEvents specification 1.0.2, JSON
event format and Kafka protocol binding.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from streaming.contracts import json_text
from streaming.contracts.errors import DecodeError
from streaming.contracts.mapper import ATTRIBUTE
from streaming.contracts.raw_record import RawRecord, header
from streaming.contracts.values import kind_of, shortened

NOT_A_CLOUDEVENT = "not_a_cloudevent"
_STRUCTURED, _BATCH = "application/cloudevents+json", "application/cloudevents-batch"
_REQUIRED = ("id", "source", "specversion", "type")


def cloudevent(record: RawRecord) -> dict[str, Any]:
    """The document of a CloudEvent; raises `DecodeError`.

    >>> from streaming.contracts.raw_record import KafkaRecord
    >>> attributes = {"id": b"7", "source": b"/pos", "specversion": b"1.0", "type": b"sale"}
    >>> headers = tuple(("ce_" + name, value) for name, value in attributes.items())
    >>> event = cloudevent(KafkaRecord(value=b'{"fare":2.5}', headers=headers))
    >>> event["fare"], event["ce_id"]
    (2.5, '7')
    """
    media = _media_type(record)
    if media.startswith(_BATCH):
        raise _refused("a batch of events; one event a record is read")
    if media == _STRUCTURED:
        return _structured(record)
    if media.startswith("application/cloudevents"):
        raise _refused(f"of the media type {shortened(media)}; {_STRUCTURED} is read")
    if header(record, ATTRIBUTE + "specversion") is None:
        raise _refused(
            f"without the header ce_specversion and without the media type {_STRUCTURED}"
        )
    return _binary(record, media)


def _media_type(record: RawRecord) -> str:
    content = header(record, "content-type") or b""
    return content.decode("utf-8", "replace").split(";")[0].strip().lower()


def _structured(record: RawRecord) -> dict[str, Any]:
    event = _object(json_text.parse_json(record.value or b""))
    _check(event)
    attributes = {ATTRIBUTE + name: event[name] for name in event if name not in _DATA}
    if "data_base64" in event:
        return _document(_decoded(event["data_base64"]), event, attributes)
    return {**_object(event.get("data")), **attributes}


_DATA = ("data", "data_base64")


def _binary(record: RawRecord, media: str) -> dict[str, Any]:
    attributes: dict[str, Any] = {}
    for name, value in record.headers:
        if name.startswith(ATTRIBUTE) and value is not None:
            attributes[name] = value.decode("utf-8", "replace")
    event = {name.removeprefix(ATTRIBUTE): value for name, value in attributes.items()}
    _check(event)
    return _document(record.value or b"", {"datacontenttype": media}, attributes)


def _document(data: bytes, event: Mapping[str, Any], attributes: dict[str, Any]) -> dict[str, Any]:
    media = str(event.get("datacontenttype") or "application/json").split(";")[0].strip().lower()
    if media not in ("application/json", "text/json") and not media.endswith("+json"):
        raise _refused(f"with data of the media type {shortened(media)}; JSON is read")
    return {**_object(json_text.parse_json(data)), **attributes}


def _decoded(text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (TypeError, ValueError, binascii.Error) as error:
        raise _refused("whose data_base64 is no base64") from error


def _check(event: Mapping[str, Any]) -> None:
    for name in _REQUIRED:
        if not isinstance(event.get(name), str) or not event[name]:
            raise _refused(f"without the attribute {name}")
    if event["specversion"] != "1.0":
        raise _refused(f"of version {shortened(event['specversion'])}; 1.0 is read")


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _refused(f"whose data is {kind_of(value) or 'null'}, not an object")
    return value


def _refused(what: str) -> DecodeError:
    return DecodeError(f"The record is a CloudEvent {what}.", reason=NOT_A_CLOUDEVENT)
