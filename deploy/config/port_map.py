"""Every port of the embedded stack, on 127.0.0.1, with one offset for all.

The model that is listed first among the served ones has the ports 8510 to 8551. Each further one
has ten of its own, from 11000 on, by its place in the list: a model that is added at the end moves
no other.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

HOST = "127.0.0.1"

MAX_SERVED = 50
"""Models that one deployment serves: 49 blocks of ports beside those of the first model. With the
highest offset they end below 32768, where Linux begins to give ports away."""
_BLOCK = 10
MODEL_SERVERS = ("stable", "control", "canary", "shadow", "labelled")
"""The servers of a model: its roles, and the one of its labelled versions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PortMap:
    """Where each process listens.

    >>> PortMap().shifted(100).kafka
    9192
    """

    kafka: int = 9092
    kafka_controller: int = 9093
    flink_rest: int = 8081
    flink_rpc: int = 6123
    flink_blob: int = 6124
    flink_worker_rpc: int = 6125
    flink_worker_data: int = 6126
    jobserver: int = 8099
    jobserver_artifacts: int = 8098
    jobserver_expansion: int = 8097
    workers: int = 8096
    envoy: int = 8500
    console: int = 8580
    envoy_admin: int = 9901
    stable_grpc: int = 8510
    stable_rest: int = 8511
    control_grpc: int = 8520
    control_rest: int = 8521
    canary_grpc: int = 8530
    canary_rest: int = 8531
    shadow_grpc: int = 8540
    shadow_rest: int = 8541
    labelled_grpc: int = 8550
    labelled_rest: int = 8551
    prometheus: int = 9090
    alertmanager: int = 9094
    daemon_metrics: int = 9101
    worker_metrics: int = 9102
    watchdog_metrics: int = 9103
    demo_metrics: int = 9104
    labels_metrics: int = 9105
    notifier: int = 9106
    flink_job_metrics: int = 9249
    flink_worker_metrics: int = 9250
    further_models: int = 11000
    """The first port of the servers of the second model and those after it."""

    def shifted(self, offset: int) -> PortMap:
        """All ports moved by the same amount.

        Raises
        ------
        ValueError
            When a port would leave the range 1-65535.
        """
        moved = {name: port + offset for name, port in self.named().items()}
        high = max(moved.values())
        if high > 65535 or min(moved.values()) < 1:
            raise ValueError(
                f"port_offset {offset} moves a port to {high}; it may be at most "
                f"{65535 - max(self.named().values())}."
            )
        return replace(self, **moved)

    def named(self) -> dict[str, int]:
        """Name and number of each port."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def model(self, role: str, place: int = 0) -> tuple[int, int]:
        """gRPC and REST port of a role's server, for the model at this place among the served ones.

        >>> PortMap().model("canary"), PortMap().model("canary", 2)
        ((8530, 8531), (11014, 11015))
        """
        named = self.named()
        if place == 0:
            return named[f"{role}_grpc"], named[f"{role}_rest"]
        first = self.further_models + _BLOCK * (place - 1) + 2 * MODEL_SERVERS.index(role)
        return first, first + 1

    def all_named(self, served: int) -> dict[str, int]:
        """Every port with those of `served` models, by name; that of a model's has its place."""
        ports = self.named()
        del ports["further_models"]
        for place in range(1, served):
            for role in MODEL_SERVERS:
                grpc_port, rest_port = self.model(role, place)
                ports |= {f"{role}_grpc_{place}": grpc_port, f"{role}_rest_{place}": rest_port}
        return ports
