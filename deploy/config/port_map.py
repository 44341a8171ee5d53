"""Every port of the embedded stack, on 127.0.0.1, with one offset for all."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

HOST = "127.0.0.1"


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
    envoy_admin: int = 9901
    stable_grpc: int = 8510
    stable_rest: int = 8511
    control_grpc: int = 8520
    control_rest: int = 8521
    canary_grpc: int = 8530
    canary_rest: int = 8531
    shadow_grpc: int = 8540
    shadow_rest: int = 8541
    prometheus: int = 9090
    alertmanager: int = 9094
    daemon_metrics: int = 9101
    worker_metrics: int = 9102
    stream_metrics: int = 9103
    demo_metrics: int = 9104
    labels_metrics: int = 9105
    flink_job_metrics: int = 9249
    flink_worker_metrics: int = 9250

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

    def model(self, role: str) -> tuple[int, int]:
        """gRPC and REST port of a model server's role."""
        named = self.named()
        return named[f"{role}_grpc"], named[f"{role}_rest"]
