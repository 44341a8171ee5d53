"""In-memory implementations of the queue and the model store, for tests and one-process runs.

They pass the same suites as `claimed_requests` and `model_store`.
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
class InMemoryRequests:
    """The requests in the queue, shared by all workers."""

    waiting: deque[RetrainRequest] = field(default_factory=deque)
    """Requests that no worker holds, oldest first."""
    holder: dict[str, object] = field(default_factory=dict)
    """Model of a held request → the queue end that holds it."""

    def put(self, request: RetrainRequest) -> None:
        """Add a request at the end of the queue."""
        self.waiting.append(request)


@dataclass(slots=True)
class InMemoryRequestQueue:
    """`RequestQueue` of one worker on shared `InMemoryRequests`."""

    requests: InMemoryRequests
    _held: RetrainRequest | None = None

    def take(self, timeout_seconds: float) -> RetrainRequest | None:
        """See `RequestQueue.take`; it never waits."""
        held = self._held
        if held is not None and self.holds(held):
            return held
        self._held = None
        for request in self.requests.waiting:
            if request.model not in self.requests.holder:
                self._held = request
                self.requests.waiting.remove(request)
                self.requests.holder[request.model] = self
                break
        return self._held

    def holds(self, request: RetrainRequest) -> bool:
        """See `RequestQueue.holds`."""
        return self._held == request and self.requests.holder.get(request.model) is self

    def done(self, request: RetrainRequest) -> bool:
        """See `RequestQueue.done`."""
        held = self.holds(request)
        self._held = None
        if held:
            del self.requests.holder[request.model]
        return held

    def simulate_crash(self) -> None:
        """Do what the death of this worker's process does: its request goes to the next worker."""
        if self._held is not None:
            self.requests.holder.pop(self._held.model, None)
            self.requests.waiting.appendleft(self._held)
            self._held = None

    def close(self) -> None:
        """See `RequestQueue.close`."""
        self.simulate_crash()


@dataclass(slots=True)
class InMemoryModelStore:
    """`ModelStore` that keeps records only; the model's files stay where they were built."""

    _records: dict[tuple[str, int], ModelVersion] = field(default_factory=dict)
    _paths: dict[tuple[str, int], Path] = field(default_factory=dict)

    def versions(self, model: str) -> tuple[int, ...]:
        """See `ModelStore.versions`."""
        return tuple(sorted(version for name, version in self._records if name == model))

    def publish(self, record: ModelVersion, servable: Path) -> ModelVersion:
        """See `ModelStore.publish`."""
        published = self.of_request(record.model, record.request_id)
        if published is not None:
            return published
        key = (record.model, record.version)
        if key in self._records:
            raise Conflict(
                f"Version {record.version} of {record.model} belongs to request "
                f"{self._records[key].request_id}; use the next number."
            )
        artifact = Artifact(uri=servable.as_uri(), digest=digest(str(servable).encode()))
        self._records[key] = replace(record, artifact=artifact)
        self._paths[key] = servable
        return self._records[key]

    def of_request(self, model: str, request_id: str) -> ModelVersion | None:
        """See `ModelStore.of_request`."""
        for (name, _), record in self._records.items():
            if name == model and record.request_id == request_id:
                return record
        return None

    def path(self, model: str, version: int) -> Path:
        """See `ModelStore.path`."""
        try:
            return self._paths[model, version]
        except KeyError:
            raise NotFoundError(f"{model} has no version {version}.") from None
