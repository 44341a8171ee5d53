"""TF Serving's metrics under TF Serving's names, written by hand.

Names keep their leading colon (slashes become colons), times are microseconds and buckets are
10·1.8^i, i = 0…32: rules and dashboards written for the official server read this one. Clients'
libraries would append ``_total`` to the counters, hence no library.
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
    """A number that only grows, for each combination of labels."""

    kind = "counter"

    def __init__(self, name: str, labels: Labels) -> None:
        self.name, self.labels = name, labels
        self._values: dict[Labels, float] = {}
        self._lock = threading.Lock()

    def add(self, labels: Labels, amount: float = 1) -> None:
        """Grow by `amount`."""
        with self._lock:
            self._values[labels] = self._values.get(labels, 0) + amount

    def lines(self) -> Iterator[str]:
        """Prometheus' text form."""
        with self._lock:
            values = dict(self._values)
        for labels, value in values.items():
            yield f"{self.name}{_labels(self.labels, labels)} {value:.17g}"


class Histogram:
    """Counts by bucket, with sum and count, for each combination of labels."""

    kind = "histogram"

    def __init__(self, name: str, labels: Labels) -> None:
        self.name, self.labels = name, labels
        self._cells: dict[Labels, list[float]] = {}
        self._lock = threading.Lock()

    def observe(self, labels: Labels, value: float) -> None:
        """Count one value, in microseconds."""
        bucket = bisect_left(BUCKETS, value)
        with self._lock:
            cell = self._cells.get(labels)
            if cell is None:
                cell = self._cells[labels] = [0.0] * (len(BUCKETS) + 2)
            cell[bucket] += 1
            cell[-1] += value

    def lines(self) -> Iterator[str]:
        """Prometheus' text form; buckets are cumulative."""
        with self._lock:
            cells = {labels: list(cell) for labels, cell in self._cells.items()}
        for labels, cell in cells.items():
            total = 0.0
            for edge, count in zip((*BUCKETS, None), cell[:-1], strict=True):
                total += count
                bound = "+Inf" if edge is None else f"{edge:.6g}"
                shown = _labels((*self.labels, "le"), (*labels, bound))
                yield f"{self.name}_bucket{shown} {total:.17g}"
            yield f"{self.name}_sum{_labels(self.labels, labels)} {cell[-1]:.17g}"
            yield f"{self.name}_count{_labels(self.labels, labels)} {total:.17g}"


class Metrics:
    """Every metric of the server."""

    def __init__(self) -> None:
        self.request_latency = Histogram(
            f"{_PREFIX}request_latency", ("model_name", "API", "entrypoint")
        )
        self.runtime_latency = Histogram(
            f"{_PREFIX}runtime_latency", ("model_name", "API", "runtime")
        )
        self.warmup_latency = Histogram(f"{_PREFIX}model_warmup_latency", ("model_path", "status"))
        self.request_count = Counter(f"{_PREFIX}request_count", ("model_name", "status"))
        self.example_count = Counter(f"{_PREFIX}request_example_count_total", ("model",))
        self.load_latency = Counter(f"{_LOADS}load_latency", ("model_path",))
        self.load_attempts = Counter(f"{_LOADS}load_attempt_count", ("model_path", "status"))

    def render(self) -> bytes:
        """The whole exposition, text format 0.0.4."""
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
