"""Memory of the TaskManager, and the Java flags that follow from it.

Flink's shell scripts ask a helper program (BashJavaUtils) for these flags at every start, which
costs a second of a restart. Its rules are simple when each part is set, so they are repeated here
and a test compares them with the helper's output.
"""

from __future__ import annotations

from dataclasses import dataclass

FIRST_COMPILER_ONLY = "-XX:TieredStopAtLevel=1"
"""For processes that coordinate rather than compute: they start in half the processor time (2.8 s
instead of 5.1 s for the broker), and two cores need the rest for other processes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskMemory:
    """The parts, in megabytes; see Flink's "Set up TaskManager Memory"."""

    framework_heap: int = 128
    task_heap: int = 896
    framework_off_heap: int = 128
    task_off_heap: int = 128
    network: int = 128
    managed: int = 512
    """For batch operators and RocksDB only, and taken when they ask; our state is on the heap. The
    Transform of a retrain sorts in dozens of places, and a slot with 16 MB had too few pages."""
    metaspace: int = 256
    overhead: int = 192

    @property
    def heap(self) -> int:
        """Size of the Java heap.

        >>> TaskMemory().heap
        1024
        """
        return self.framework_heap + self.task_heap

    @property
    def direct(self) -> int:
        """Limit of direct buffers: network and off-heap."""
        return self.framework_off_heap + self.task_off_heap + self.network

    def java_flags(self) -> tuple[str, ...]:
        """Flags of the TaskManager's JVM."""
        return (
            f"-Xmx{self.heap << 20}",
            f"-Xms{self.heap << 20}",
            f"-XX:MaxDirectMemorySize={self.direct << 20}",
            f"-XX:MaxMetaspaceSize={self.metaspace << 20}",
        )

    def settings(self) -> dict[str, str]:
        """The same parts as Flink settings; equal bounds leave nothing for Flink to derive."""
        return {
            "taskmanager.memory.framework.heap.size": f"{self.framework_heap}m",
            "taskmanager.memory.task.heap.size": f"{self.task_heap}m",
            "taskmanager.memory.framework.off-heap.size": f"{self.framework_off_heap}m",
            "taskmanager.memory.task.off-heap.size": f"{self.task_off_heap}m",
            "taskmanager.memory.network.min": f"{self.network}m",
            "taskmanager.memory.network.max": f"{self.network}m",
            "taskmanager.memory.managed.size": f"{self.managed}m",
            "taskmanager.memory.jvm-metaspace.size": f"{self.metaspace}m",
            "taskmanager.memory.jvm-overhead.min": f"{self.overhead}m",
            "taskmanager.memory.jvm-overhead.max": f"{self.overhead}m",
        }
