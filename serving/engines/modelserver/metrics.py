"""TF Serving's metrics under TF Serving's names, without a client library.

Names keep their leading colon (slashes become colons), durations are in microseconds, and bucket
edges are 10·1.8^i, i = 0…32, so that rules and dashboards for the official server also work here.
A client library would append ``_total`` to the names of the counters.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterator

BUCKETS = tuple(10 * 1.8**step for step in range(33))
_PREFIX = ":tensorflow:serving:"
_LOADS = ":tensorflow:cc:saved_model:"

Labels = tuple[str, ...]


class Counter:
    """A counter for each combination of labels."""

    kind = "counter"

    def __init__(self, name: str, labels: Labels) -> None:
        self.name, self.labels = name, labels
        self._values: dict[Labels, float] = {}
        self._lock = threading.Lock()

    def add(self, labels: Labels, amount: float = 1) -> None:
        """Increase the counter by `amount`."""
        with self._lock:
            self._values[labels] = self._values.get(labels, 0) + amount

    def lines(self) -> Iterator[str]:
        """The lines of Prometheus' text format."""
        with self._lock:
            values = dict(self._values)
        for labels, value in values.items():
            yield f"{self.name}{_labels(self.labels, labels)} {value:.17g}"


class Histogram:
    """A histogram for each combination of labels."""

    kind = "histogram"

    def __init__(self, name: str, labels: Labels, buckets: tuple[float, ...] = BUCKETS) -> None:
        self.name, self.labels, self._buckets = name, labels, buckets
        self._cells: dict[Labels, list[float]] = {}
        self._lock = threading.Lock()

    def observe(self, labels: Labels, value: float) -> None:
        """Add one value."""
        bucket = bisect_left(self._buckets, value)
        with self._lock:
            cell = self._cells.get(labels)
            if cell is None:
                cell = self._cells[labels] = [0.0] * (len(self._buckets) + 2)
            cell[bucket] += 1
            cell[-1] += value

    def lines(self) -> Iterator[str]:
        """The lines of Prometheus' text format; buckets are cumulative."""
        with self._lock:
            cells = {labels: list(cell) for labels, cell in self._cells.items()}
        for labels, cell in cells.items():
            total = 0.0
            for edge, count in zip((*self._buckets, None), cell[:-1], strict=True):
                total += count
                bound = "+Inf" if edge is None else f"{edge:.6g}"
                labels_text = _labels((*self.labels, "le"), (*labels, bound))
                yield f"{self.name}_bucket{labels_text} {total:.17g}"
            yield f"{self.name}_sum{_labels(self.labels, labels)} {cell[-1]:.17g}"
            yield f"{self.name}_count{_labels(self.labels, labels)} {total:.17g}"


class Metrics:
    """All metrics of the server."""

    def __init__(self) -> None:
        self.request_latency = Histogram(
            f"{_PREFIX}request_latency", ("model_name", "API", "entrypoint")
        )
        self.runtime_latency = Histogram(
            f"{_PREFIX}runtime_latency", ("model_name", "API", "runtime")
        )
        self.warmup_latency = Histogram(f"{_PREFIX}model_warmup_latency", ("model_path", "status"))
        self.request_count = Counter(f"{_PREFIX}request_count", ("model_name", "status"))
        self.example_counts = Histogram(
            f"{_PREFIX}request_example_counts", ("model",), tuple(2.0**step for step in range(15))
        )
        self.example_count = Counter(f"{_PREFIX}request_example_count_total", ("model",))
        self.load_latency = Counter(f"{_LOADS}load_latency", ("model_path",))
        self.load_attempts = Counter(f"{_LOADS}load_attempt_count", ("model_path", "status"))

    def count_examples(self, name: str, examples: int) -> None:
        """Count the examples of one request (``RecordRequestExampleCount``)."""
        self.example_counts.observe((name,), examples)
        self.example_count.add((name,), examples)

    def render(self) -> bytes:
        """The metrics page in text format 0.0.4."""
        lines: list[str] = []
        for metric in vars(self).values():
            lines.append(f"# TYPE {metric.name} {metric.kind}")
            lines.extend(metric.lines())
        return ("\n".join(lines) + "\n").encode()


def _labels(names: Labels, values: Labels) -> str:
    pairs = (f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True))
    return "{" + ",".join(pairs) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
