"""Protobuf messages that REST and gRPC share: status, metadata, and reload requests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from serving.engines.modelserver.codes import Code, Refused, invalid
from serving.engines.modelserver.policy import EVERY_VERSION, Policy
from serving.engines.modelserver.protos import (
    GetModelMetadataResponse,
    GetModelStatusResponse,
    SignatureDefMap,
)
from serving.engines.modelserver.saved_model import DEFAULT_SIGNATURE, SavedModel
from serving.engines.modelserver.service import Address, Service


def address_of(spec: Any) -> Address:
    """The address in a ``ModelSpec``."""
    version = spec.version.value if spec.HasField("version") else None
    return Address(spec.name, version, spec.version_label)


def status_response(service: Service, address: Address) -> Any:
    """``GetModelStatusResponse`` of a model or of one version.

    Raises
    ------
    Refused
        NOT_FOUND with TF Serving's text.
    """
    if address.name != service.name:
        raise Refused(Code.NOT_FOUND, f"Could not find any versions of model {address.name}")
    response = GetModelStatusResponse()
    for entry in service.versions.status(address.version, address.label):
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


def predict_spec(spec: Any, request: Any, version: int) -> None:
    """Fill the ``model_spec`` of a predict response."""
    spec.name = request.model_spec.name
    spec.signature_name = request.model_spec.signature_name or DEFAULT_SIGNATURE
    spec.version.value = version


def read_reload(config: Any, service: Service) -> tuple[Policy, dict[str, int]]:
    """Read policy and labels of a ``ReloadConfigRequest``; an empty list unloads the model.

    Raises
    ------
    Refused
        INVALID_ARGUMENT for several models, another name or another path.
    """
    if config.WhichOneof("config") != "model_config_list":
        raise invalid(
            "ServerModelConfig type not supported by HandleReloadConfigRequest. "
            "Only ModelConfigList is currently supported"
        )
    models = config.model_config_list.config
    if not models:
        return Policy(), {}
    config_entry = models[0]
    if len(models) > 1 or config_entry.name != service.name:
        raise invalid(f"This embedded server serves only the model {service.name}.")
    base_path = service.versions.base_path
    if config_entry.base_path and Path(config_entry.base_path).resolve() != base_path.resolve():
        raise invalid(
            f"The base path is {base_path} and cannot change; found {config_entry.base_path}. "
            "Leave it out or start another server."
        )
    if config_entry.model_platform not in ("", "tensorflow"):
        raise invalid(f"The platform is tensorflow; found {config_entry.model_platform}.")
    return _policy(config_entry.model_version_policy), dict(config_entry.version_labels)


def _policy(policy: Any) -> Policy:
    choice = policy.WhichOneof("policy_choice")
    if choice == "specific":
        return Policy(specific=tuple(policy.specific.versions))
    if choice == "all":
        return Policy(latest=EVERY_VERSION)
    return Policy(latest=policy.latest.num_versions or 1)
