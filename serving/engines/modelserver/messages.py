"""Protobuf messages that REST and gRPC share: status, metadata, and reload requests."""

from __future__ import annotations

from typing import Any

import orjson
from google.protobuf.json_format import MessageToDict

from serving.engines.modelserver.codes import Code, Refused
from serving.engines.modelserver.protos import (
    GetModelMetadataResponse,
    GetModelStatusResponse,
    SignatureDefMap,
)
from serving.engines.modelserver.saved_model import SavedModel
from serving.engines.modelserver.service import Address, Service


def address_of(spec: Any) -> Address:
    """The address in a ``ModelSpec``."""
    version = spec.version.value if spec.HasField("version") else None
    return Address(spec.name, version, spec.version_label)


def status_response(service: Service, address: Address) -> Any:
    """``GetModelStatusResponse`` of a model or of one version; a label is passed over, as in
    ``get_model_status_impl.cc``.

    Raises
    ------
    Refused
        NOT_FOUND with TF Serving's text.
    """
    versions = service.models.find(address.name)
    if versions is None:
        which = "any versions" if address.version is None else f"version {address.version}"
        raise Refused(Code.NOT_FOUND, f"Could not find {which} of model {address.name}")
    response = GetModelStatusResponse()
    for entry in versions.status(address.version):
        item = response.model_version_status.add(version=entry.version, state=entry.state)
        item.status.error_code = entry.code
        item.status.error_message = entry.message
    return response


def metadata_response(name: str, version: int, model: SavedModel) -> Any:
    """``GetModelMetadataResponse`` with every signature."""
    response = GetModelMetadataResponse()
    response.model_spec.name = name
    response.model_spec.version.value = version
    signatures = SignatureDefMap()
    for key, definition in model.definitions.items():
        signatures.signature_def[key].CopyFrom(definition)
    response.metadata["signature_def"].Pack(signatures)
    return response


def status_json(service: Service, address: Address) -> bytes:
    """The status as the REST API writes it (``ToJsonString`` of ``http_rest_api_util.cc``)."""
    return orjson.dumps(_plain(status_response(service, address)), option=orjson.OPT_INDENT_2)


def metadata_json(name: str, version: int, model: SavedModel) -> bytes:
    """The metadata as the REST API writes it: without the ``@type`` of the packed message."""
    response = metadata_response(name, version, model)
    signatures = SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    body = {
        "model_spec": _plain(response.model_spec),
        "metadata": {"signature_def": _plain(signatures)},
    }
    return orjson.dumps(body, option=orjson.OPT_INDENT_2)


def _plain(message: Any) -> Any:
    return MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
