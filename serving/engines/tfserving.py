"""The port `ModelServers` on TF Serving's ModelService: the official server or the embedded one.

One process per role, told over gRPC which version to hold. A label is not needed: a role serves
one version, except for the moment in which the old one still answers.
"""

from __future__ import annotations

import time
from typing import Any

import grpc

from serving.engines.envoy.config import EnvoyLayout
from serving.engines.modelserver import protos
from serving.ports import LoadState, Role, ServerStatus, VersionStatus
from streaming.contracts.errors import NotFoundError, UnavailableError

_CALL_SECONDS = 1.0
_RELOAD_SECONDS = 10.0
_WAIT_SECONDS = 1.0
_POLL_SECONDS = 0.02
_OPTIONS = (
    # A server that was restarted must be found again at once.
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
        Folder of the version folders as the *server* sees it. The embedded server knows its own
        and takes an empty one; the official server needs it.
    """

    def __init__(self, layout: EnvoyLayout, *, base_path: str = "") -> None:
        self._model = layout.model
        self._base_path = base_path
        self._channels = {
            role: grpc.insecure_channel(f"{end.host}:{end.grpc_port}", options=_OPTIONS)
            for role, end in layout.endpoints.items()
        }
        self._asked: dict[tuple[Role, int], float] = {}
        self._took: dict[tuple[Role, int], float] = {}

    def status(self, role: Role) -> ServerStatus:
        request = protos.GetModelStatusRequest()
        request.model_spec.name = self._model
        try:
            answer = self._call(role, "GetModelStatus", request, _CALL_SECONDS)
        except grpc.RpcError as error:
            # A server without any version says NOT_FOUND.
            return ServerStatus(role=role, reachable=_code(error) is grpc.StatusCode.NOT_FOUND)
        found = tuple(self._version(role, one) for one in answer.model_version_status)
        return ServerStatus(role=role, reachable=True, versions=found)

    def load(self, role: Role, version: int) -> None:
        """As the port says; waits up to a second for the version, so that its time is exact."""
        request = protos.ReloadConfigRequest()
        config = request.config.model_config_list.config.add()
        config.name = self._model
        config.base_path = self._base_path
        config.model_platform = "tensorflow"
        config.model_version_policy.specific.versions.append(version)
        self._took.pop((role, version), None)
        self._asked[role, version] = time.monotonic()
        try:
            self._call(role, "HandleReloadConfigRequest", request, _RELOAD_SECONDS)
        except grpc.RpcError as error:
            if _code(error) is grpc.StatusCode.UNAVAILABLE:
                raise UnavailableError(f"The {role} model server does not answer.") from error
            if _code(error) is not grpc.StatusCode.DEADLINE_EXCEEDED:
                raise NotFoundError(
                    f"The {role} model server did not take version {version}: {error.details()}."
                ) from error
        self._wait(role, version)

    def close(self) -> None:
        """Close every channel."""
        for channel in self._channels.values():
            channel.close()

    def _wait(self, role: Role, version: int) -> None:
        until = time.monotonic() + _WAIT_SECONDS
        while time.monotonic() < until:
            states = {one.version: one.state for one in self.status(role).versions}
            if states.get(version) == "available":
                return
            time.sleep(_POLL_SECONDS)

    def _version(self, role: Role, one: Any) -> VersionStatus:
        state = _STATES.get(one.state, "ended")
        version = int(one.version)
        asked = self._asked.get((role, version))
        if state == "available" and asked is not None:
            self._took.setdefault((role, version), time.monotonic() - asked)
        return VersionStatus(
            version=version,
            state=state,
            load_seconds=self._took.get((role, version)),
            error=str(one.status.error_message) if state == "ended" else "",
        )

    def _call(self, role: Role, method: str, request: Any, seconds: float) -> Any:
        return protos.call(self._channels[role], method, request, timeout_seconds=seconds)


def _code(error: grpc.RpcError) -> grpc.StatusCode:
    code = error.code()
    assert isinstance(code, grpc.StatusCode)
    return code
