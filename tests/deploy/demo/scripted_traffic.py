"""The traffic of the scripted system: counts of events and requests, by the clock."""

from __future__ import annotations

from deploy.demo.control import ArmCount, Second, TrafficConfig, TrafficPhase, TrafficStatus
from streaming.contracts.clock import ManualClock
from streaming.contracts.errors import PermanentError
from streaming.contracts.log import MemoryLog
from streaming.contracts.model import ModelContract

WINDOW = 5.0
CONTRACT = ModelContract(
    model="big_tipper", module="", events_topic="taxi.trips", labels_topic="taxi.tips",
    key="trip_id", time="event_time", window_seconds=WINDOW, max_out_of_orderness_seconds=1.0,
)  # fmt: skip


class ScriptedTraffic:
    """Implements `TrafficControl`; `advance` sends what is due since the last call."""

    def __init__(self, clock: ManualClock, log: MemoryLog) -> None:
        self.clock = clock
        self.log = log
        self.client_errors = False
        self.dies = False
        self.weight = 0
        """Canary weight, set by the stack."""
        self.slow_canary = False
        self.phase: TrafficPhase = "ordinary"
        self.phase_since: dict[str, float] = {}
        self.new_column = self.sending = self.finished = False
        self.sent = self.broken = self.requests = self.errors = 0
        self.in_window = self.broken_in_window = 0
        self.client_seconds: list[Second] = []
        self.window_end = self._advanced_to = 0.0

    def start(self, config: TrafficConfig, phase: TrafficPhase = "ordinary") -> None:
        self.config = config
        started = self._advanced_to = self.clock.now()
        self.phase, self.finished = phase, False
        self.phase_since = {phase: started}
        self._send_events(config.history_rows)
        self.window_end = (started // WINDOW + 1) * WINDOW

    def switch(self, phase: TrafficPhase) -> None:
        self.phase = phase
        self.phase_since[phase] = self.clock.now()
        self.finished = phase == "stop"

    def predict(self) -> None:
        self.sending = True

    def add_column(self) -> None:
        self.new_column = True

    def seconds(self) -> list[Second]:
        return self.client_seconds

    def status(self) -> TrafficStatus:
        if self.dies:
            raise PermanentError("The traffic process has died.")
        return TrafficStatus(
            at=self.clock.now(), phase=self.phase, phase_since=dict(self.phase_since),
            sent=self.sent, failed=0, broken=self.broken, labels=self.sent, history_done=True,
            finished=self.finished, requests=self.requests, errors=self.errors,
            first_error="503: no" if self.errors else "",
        )  # fmt: skip

    def began(self, phase: TrafficPhase, end: float) -> bool:
        """Whether the phase began before a window that ends at `end`."""
        return phase in self.phase_since and end > self.phase_since[phase]

    def advance(self) -> None:
        """Send the events and requests that are due."""
        now = self.clock.now()
        seconds, self._advanced_to = now - self._advanced_to, now
        if self.finished:
            return
        self._send_events(round(seconds * self.config.events_per_second))
        if self.sending:
            self._send_requests(now, round(seconds * self.config.predictions_per_second))

    def pop_window(self) -> tuple[int, int]:
        """Events and broken events of the window; the next window begins."""
        counts = self.in_window, self.broken_in_window
        self.window_end = (self.clock.now() // WINDOW + 1) * WINDOW
        self.in_window = self.broken_in_window = 0
        return counts

    def _send_events(self, count: int) -> None:
        broken = round(count * 0.3) if self.phase == "broken" else 0
        self.log.append_raw(CONTRACT.events_topic, [(b"k", b"{}")] * count)
        self.sent += count
        self.broken += broken
        self.in_window += count
        self.broken_in_window += broken

    def _send_requests(self, now: float, count: int) -> None:
        on_canary = count * self.weight // 100
        on_control = min(on_canary, count - on_canary)
        errors = int(self.client_errors and self.weight > 0)
        on_stable = count - on_canary - on_control
        arms = {"stable": ArmCount(requests=on_stable, errors=errors, last_at=now)}
        if on_control:
            arms["control"] = ArmCount(requests=on_control, last_at=now)
        if on_canary:
            slow = on_canary if self.slow_canary else 0
            arms["canary"] = ArmCount(
                requests=on_canary, slow=slow, first_slow_at=now if slow else 0.0, last_at=now
            )
        self.requests += count
        self.errors += errors
        self.client_seconds.append(Second(at=int(now), arms=arms))
