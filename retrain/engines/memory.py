"""The worker's outside in memory: complete doubles for tests and for the loop in one process.

They pass the same suites as the engines: `MemoryQueue` that of `engines.kafka_requests`,
`MemoryStore` that of `engines.model_store`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from msgspec.structs import replace

from streaming.contracts.errors import Conflict, NotFoundError
from streaming.contracts.ids import digest
from streaming.contracts.records import Artifact, ModelVersion, RetrainRequest


@dataclass(slots=True)
class Requests:
    """What lies in the queue, shared by its workers."""

    waiting: deque[RetrainRequest] = field(default_factory=deque)
    holder: dict[str, object] = field(default_factory=dict)

    def put(self, request: RetrainRequest) -> None:
        self.waiting.append(request)


@dataclass(slots=True)
class MemoryQueue:
    """One worker's end of `Requests`."""

    requests: Requests
    _held: RetrainRequest | None = None

    def take(self, timeout_seconds: float) -> RetrainRequest | None:
        held = self._held
        if held is not None and self.requests.holder.get(held.record_id) is self:
            return held
        self._held = self.requests.waiting.popleft() if self.requests.waiting else None
        if self._held is not None:
            self.requests.holder[self._held.record_id] = self
        return self._held

    def done(self, request: RetrainRequest) -> bool:
        self._held = None
        if self.requests.holder.get(request.record_id) is not self:
            return False
        del self.requests.holder[request.record_id]
        return True

    def lose(self) -> None:
        """What the death of this worker's process does: its request waits for the next one."""
        if self._held is not None:
            self.requests.holder.pop(self._held.record_id, None)
            self.requests.waiting.appendleft(self._held)
            self._held = None

    def close(self) -> None:
        self.lose()


@dataclass(slots=True)
class MemoryStore:
    """Published versions; the bytes stay where they were built."""

    _records: dict[tuple[str, int], ModelVersion] = field(default_factory=dict)
    _paths: dict[tuple[str, int], Path] = field(default_factory=dict)

    def versions(self, model: str) -> tuple[int, ...]:
        return tuple(sorted(version for name, version in self._records if name == model))

    def publish(self, record: ModelVersion, built: Path) -> ModelVersion:
        known = self.of_request(record.model, record.request_id)
        if known is not None:
            return known
        place = (record.model, record.version)
        if place in self._records:
            raise Conflict(
                f"Version {record.version} of {record.model} belongs to request "
                f"{self._records[place].request_id}; take the next number."
            )
        artifact = Artifact(uri=built.as_uri(), digest=digest(str(built).encode()))
        self._records[place] = replace(record, artifact=artifact)
        self._paths[place] = built
        return self._records[place]

    def of_request(self, model: str, request_id: str) -> ModelVersion | None:
        for (name, _), record in self._records.items():
            if name == model and record.request_id == request_id:
                return record
        return None

    def path(self, model: str, version: int) -> Path:
        try:
            return self._paths[model, version]
        except KeyError:
            raise NotFoundError(f"{model} has no version {version}.") from None
