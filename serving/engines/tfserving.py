"""The port `ModelServers` on TF Serving's ModelService: the official server or the embedded one.

One process per role; a gRPC request sets the version that it serves. Labels are not needed: a role
serves one version, except for the moment in which the old one still answers.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import grpc

from serving.engines.envoy.config import EnvoyLayout
from serving.engines.modelserver import protos
from serving.ports import LoadState, Role, ServerStatus, VersionStatus
from streaming.contracts.errors import NotFoundError, UnavailableError

_CALL_SECONDS = 0.5
_RELOAD_SECONDS = 10.0
_WAIT_SECONDS = 1.0
_POLL_SECONDS = 0.02
_OPTIONS = (
    # Reconnect at once to a server that was restarted.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
)
_STATES: dict[int, LoadState] = {
    10: "loading",
    20: "loading",
    30: "available",
    40: "unloading",
    50: "ended",
}


class TfServing:
    """The model servers of a layout.

    Parameters
    ----------
    layout:
        Addresses and the model's name.
    base_path:
        Folder of the version folders as the *server* sees it. The official server needs it; the
        embedded server has its own and accepts an empty one.
    restart:
        Ends the process of a role's server, which something else starts again; returns at once.
        None where no process can be ended from here.
    """

    def __init__(
        self,
        layout: EnvoyLayout,
        *,
        base_path: str = "",
        restart: Callable[[Role], None] | None = None,
    ) -> None:
        self._restart = restart
        self._model = layout.model
        self._base_path = base_path
        self._channels = {
            role: grpc.insecure_channel(f"{end.host}:{end.grpc_port}", options=_OPTIONS)
            for role, end in layout.endpoints.items()
        }
        self._requested_at: dict[tuple[Role, int], float] = {}
        self._load_seconds: dict[tuple[Role, int], float] = {}

    def status(self, role: Role) -> ServerStatus:
        request = protos.GetModelStatusRequest()
        request.model_spec.name = self._model
        try:
            response = self._call(role, "GetModelStatus", request, _CALL_SECONDS)
        except grpc.RpcError as error:
            # A server without any version answers NOT_FOUND.
            return ServerStatus(role=role, reachable=_code(error) is grpc.StatusCode.NOT_FOUND)
        versions = tuple(self._version(role, entry) for entry in response.model_version_status)
        return ServerStatus(role=role, reachable=True, versions=versions)

    def load(self, role: Role, version: int) -> None:
        """Load the version; waits up to a second for it, so that its load time is exact."""
        request = protos.ReloadConfigRequest()
        config = request.config.model_config_list.config.add()
        config.name = self._model
        config.base_path = self._base_path
        config.model_platform = "tensorflow"
        config.model_version_policy.specific.versions.append(version)
        self._load_seconds.pop((role, version), None)
        self._requested_at[role, version] = time.monotonic()
        self._reload(role, request, f"version {version}")
        self._wait(role, version)

    def unload(self, role: Role) -> None:
        """Give the server a list of models without any."""
        request = protos.ReloadConfigRequest()
        request.config.model_config_list.SetInParent()
        self._reload(role, request, "an empty list of models")

    def replace(self, role: Role) -> None:
        """Have the process restarted, or else unload the versions."""
        if self._restart is None:
            self.unload(role)
        else:
            self._restart(role)

    def _reload(self, role: Role, request: Any, what: str) -> None:
        try:
            self._call(role, "HandleReloadConfigRequest", request, _RELOAD_SECONDS)
        except grpc.RpcError as error:
            if _code(error) is grpc.StatusCode.UNAVAILABLE:
                raise UnavailableError(f"The {role} model server does not answer.") from error
            if _code(error) is not grpc.StatusCode.DEADLINE_EXCEEDED:
                raise NotFoundError(
                    f"The {role} model server did not take {what}: {error.details()}."
                ) from error

    def close(self) -> None:
        """Close every channel."""
        for channel in self._channels.values():
            channel.close()

    def _wait(self, role: Role, version: int) -> None:
        deadline = time.monotonic() + _WAIT_SECONDS
        while time.monotonic() < deadline:
            states = {entry.version: entry.state for entry in self.status(role).versions}
            if states.get(version) == "available":
                return
            time.sleep(_POLL_SECONDS)

    def _version(self, role: Role, entry: Any) -> VersionStatus:
        state = _STATES.get(entry.state, "ended")
        version = int(entry.version)
        requested_at = self._requested_at.get((role, version))
        if state == "available" and requested_at is not None:
            self._load_seconds.setdefault((role, version), time.monotonic() - requested_at)
        return VersionStatus(
            version=version,
            state=state,
            load_seconds=self._load_seconds.get((role, version)),
            error=str(entry.status.error_message) if state == "ended" else "",
        )

    def _call(self, role: Role, method: str, request: Any, seconds: float) -> Any:
        return protos.call(self._channels[role], method, request, timeout_seconds=seconds)


def _code(error: grpc.RpcError) -> grpc.StatusCode:
    code = error.code()
    assert isinstance(code, grpc.StatusCode)
    return code
