"""The server of a model's labelled versions, over TF Serving's ModelService."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import grpc

from serving.engines.modelserver import protos
from serving.version_labels import LabelConfig, next_config
from streaming.contracts.errors import UnavailableError

_STATUS_SECONDS = 0.5
_RELOAD_SECONDS = 10.0
_LOADING, _AVAILABLE = (10, 20), 30


class Held(NamedTuple):
    """The versions of a server."""

    loading: frozenset[int]
    available: frozenset[int]


class LabelServer:
    """Takes one server to the labels that are wanted, a step at a time.

    Parameters
    ----------
    address:
        ``host:port`` of its gRPC API.
    model:
        The model's name.
    base_path:
        Folder of the version folders, as the server sees it.
    """

    def __init__(self, address: str, model: str, base_path: str) -> None:
        self._address, self._model, self._base_path = address, model, base_path
        self._channel = grpc.insecure_channel(address)
        self._labels: dict[str, int] = {}
        """Those that the server took last; it does not tell them."""

    def step(self, target: Mapping[str, int]) -> tuple[str, ...]:
        """Do the next step, if there is one; returns the labels that have no version yet.

        Raises
        ------
        UnavailableError
            When the server does not answer, or refuses the step.
        """
        held = self.held()
        labels = {name: entry for name, entry in self._labels.items() if entry in held.available}
        current = LabelConfig(versions=tuple(held.loading | held.available), labels=labels)
        config = next_config(current, held.available, target)
        if config is not None:
            self._configure(config)
            labels = config.labels
        self._labels = labels
        return tuple(name for name, version in target.items() if labels.get(name) != version)

    def held(self) -> Held:
        """The versions that the server has, or is loading."""
        request = protos.GetModelStatusRequest()
        request.model_spec.name = self._model
        try:
            response = self._call("GetModelStatus", request, _STATUS_SECONDS)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:  # it is empty
                return Held(frozenset(), frozenset())
            raise self._unavailable(error) from error
        entries = response.model_version_status
        return Held(
            frozenset(int(entry.version) for entry in entries if entry.state in _LOADING),
            frozenset(int(entry.version) for entry in entries if entry.state == _AVAILABLE),
        )

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()

    def _configure(self, config: LabelConfig) -> None:
        request = protos.ReloadConfigRequest()
        models = request.config.model_config_list
        models.SetInParent()
        if config.versions:
            entry = models.config.add()
            entry.name, entry.base_path = self._model, self._base_path
            entry.model_platform = "tensorflow"
            entry.model_version_policy.specific.versions.extend(config.versions)
            for label, version in config.labels.items():
                entry.version_labels[label] = version
        try:
            self._call("HandleReloadConfigRequest", request, _RELOAD_SECONDS)
        except grpc.RpcError as error:
            raise self._unavailable(error) from error

    def _call(self, method: str, request: object, seconds: float) -> Any:
        return protos.call(self._channel, method, request, timeout_seconds=seconds)

    def _unavailable(self, error: grpc.RpcError) -> UnavailableError:
        return UnavailableError(
            f"The server of labelled versions of {self._model} at {self._address}: "
            f"{error.details()}."
        )
