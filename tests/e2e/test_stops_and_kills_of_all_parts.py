"""Parts of the running stack are killed together, then stopped for a minute; nothing is lost.

It goes on with the stack and the traffic that a demonstration has left. A stopped process still
accepts connections, so health, metrics and alerts must notice by what it no longer answers.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import httpx
import pytest
import yaml

from streaming.contracts import topics
from streaming.contracts.codec import decode
from streaming.contracts.records import DriftVerdict, RetrainRequest
from streaming.engines.kafka.log import KafkaLog
from tests.e2e.conftest import PROJECT, Machine

pytestmark = pytest.mark.e2e

VERDICT_SECONDS = 90.0
STOPPED_SECONDS = 60.0
MONITORS = ("stream-watchdog", "prometheus")
"""Tell of the others, so they are stopped by themselves."""
SERVICE_OF = {"stream-watchdog": "stream-job"}
"""Name of a process in docker-compose.yml, where it is another one."""


@dataclass
class Disturbances:
    """What was seen while the parts were killed and stopped."""

    recovered: dict[str, float] = field(default_factory=dict)
    """Seconds from each disturbance to a verdict on a window that began after it."""
    unresponsive: set[str] = field(default_factory=set)
    """According to `driftline status`."""
    alerted: set[str] = field(default_factory=set)
    unhealthy: set[str] = field(default_factory=set)
    """According to the health checks of docker-compose.yml."""
    healthy: set[str] = field(default_factory=set)
    retrains_before: int = 0
    resubmitted: int = 0


@pytest.fixture(scope="module")
def seen(kept: Machine) -> Disturbances:
    seen = Disturbances(retrains_before=len(records(topics.RETRAIN_REQUESTS.name, RetrainRequest)))
    seen.healthy = {name for name in compose_checks() if compose_check(name)}
    for what, disturb in KILLS.items():
        recover(seen, what, partial(disturb, kept))
    everything = [process["name"] for process in kept.run("status", expect=None)["processes"]]
    stop(seen, kept, [name for name in everything if name not in MONITORS])
    stop(seen, kept, list(MONITORS), until_noticed=True)
    (job,) = kept.run("job", "list")
    seen.resubmitted = job["watchdog"]["keeping"]["resubmits"]
    return seen


def recover(seen: Disturbances, what: str, disturb: Callable[[], object]) -> None:
    """Disturb, and wait for the verdict on a window that began afterwards.

    The TaskManager works on for seconds without its JobManager, so the window that was open at the
    kill may still be judged by the lost job.
    """
    disturb()
    began = time.time()
    while not any(verdict.window_start > began for verdict in verdicts()):
        assert time.time() < began + 2 * VERDICT_SECONDS, f"no verdict after {what}"
        time.sleep(1.0)
    seen.recovered[what] = time.time() - began


def kill(machine: Machine, names: Sequence[str]) -> None:
    for name in names:
        machine.kill(name)


def kill_beam(machine: Machine) -> None:
    """The Python workers, their pool and the job server at the same moment."""
    machine.kill_python_worker()
    kill(machine, ("beam-workers", "beam-jobserver"))


KILLS: dict[str, Callable[[Machine], None]] = {
    "JobManager and job server": partial(kill, names=("flink-jobmanager", "beam-jobserver")),
    "broker": partial(kill, names=("kafka",)),
    "all of Beam": kill_beam,
}


def stop(
    seen: Disturbances, machine: Machine, names: list[str], *, until_noticed: bool = False
) -> None:
    """Stop processes for a minute, watch who notices, and let those that are left go on.

    A minute is longer than any part waits for another one. No part waits for a monitor, so these
    go on as soon as all are shown as unresponsive.
    """
    pids = {name: machine.pid(name) for name in names}
    for pid in pids.values():
        os.kill(pid, signal.SIGSTOP)
    until = time.time() + STOPPED_SECONDS
    with ThreadPoolExecutor() as pool:
        checked = [name for name in compose_checks() if name in names]
        for name, healthy in zip(checked, pool.map(compose_check, checked), strict=True):
            seen.unhealthy |= set() if healthy else {name}
    while time.time() < until:
        for process in machine.run("status", expect=None)["processes"]:
            if process["health"] == "unresponsive":
                seen.unresponsive.add(process["name"])
        seen.alerted |= alerts()
        if until_noticed and seen.unresponsive >= set(names):
            break
        time.sleep(2.0)
    for pid in pids.values():
        with contextlib.suppress(ProcessLookupError):  # the supervisor has restarted it
            os.kill(pid, signal.SIGCONT)
    recover(seen, f"the stop of {', '.join(names)}", lambda: None)


def alerts() -> set[str]:
    """Processes that a firing alert names."""
    try:
        answer = httpx.get("http://127.0.0.1:9090/api/v1/alerts", timeout=2.0).json()
    except (httpx.HTTPError, ValueError):
        return set()
    return {
        alert["labels"]["process"]
        for alert in answer["data"]["alerts"]
        if alert["state"] == "firing" and "process" in alert["labels"]
    }


def compose_checks() -> dict[str, str]:
    """By process, the health check of its container: a line of bash, on the same ports."""
    services = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())["services"]
    process_of = {service: process for process, service in SERVICE_OF.items()}
    checks = {}
    for service, content in services.items():
        test = content.get("healthcheck", {}).get("test", ())
        if list(test[1:3]) == ["bash", "-c"]:
            checks[process_of.get(service, service)] = test[3].replace("$$", "$")
    return checks


def compose_check(process: str) -> bool:
    """Whether the health check of the process's container passes now, within compose's timeout."""
    line = ["bash", "-c", compose_checks()[process]]
    try:
        return subprocess.run(line, capture_output=True, timeout=3, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def records(topic: str, kind: type[Any]) -> list[Any]:
    """The distinct records of a kind, in the order of the log."""
    return list({record.record_id: record for record in _read(topic, kind)}.values())


def _read(topic: str, kind: type[Any]) -> Iterator[Any]:
    with contextlib.closing(KafkaLog("127.0.0.1:9092")) as log:
        for span in log.spans(topic):
            for message in log.read(span):
                record = decode(message.value) if message.value else None
                if isinstance(record, kind):
                    yield record


def verdicts() -> list[DriftVerdict]:
    """The distinct verdicts so far; none while the broker is away."""
    try:
        return records(topics.DRIFT_VERDICTS.name, DriftVerdict)
    except Exception:  # noqa: BLE001 - it is being killed
        return []


@pytest.mark.parametrize("what", KILLS)
def test_verdicts_come_again_soon_after_a_kill(seen: Disturbances, what: str) -> None:
    assert seen.recovered[what] <= VERDICT_SECONDS, seen.recovered


def test_verdicts_come_again_soon_after_a_stop(seen: Disturbances) -> None:
    stops = {what: seconds for what, seconds in seen.recovered.items() if "stop" in what}
    assert len(stops) == 2
    assert max(stops.values()) <= VERDICT_SECONDS, stops


def test_every_stopped_process_is_shown_as_unresponsive(kept: Machine, seen: Disturbances) -> None:
    names = {process["name"] for process in kept.run("status", expect=None)["processes"]}
    assert names - seen.unresponsive == set()


def test_an_alert_names_every_stopped_process(kept: Machine, seen: Disturbances) -> None:
    names = {process["name"] for process in kept.run("status", expect=None)["processes"]}
    assert names - set(MONITORS) - seen.alerted == set()


def test_the_health_checks_of_the_containers_tell_the_same(seen: Disturbances) -> None:
    assert seen.healthy == set(compose_checks())
    assert seen.unhealthy == set(compose_checks())


def test_the_watchdog_brought_the_job_back(kept: Machine, seen: Disturbances) -> None:
    assert seen.resubmitted >= 2
    assert kept.run("job", "status", "big_tipper")["state"] == "RUNNING"


def test_no_event_is_lost_or_doubled(kept: Machine, seen: Disturbances) -> None:
    kept.traffic_ends()

    def all_counted() -> int:
        with contextlib.closing(KafkaLog("127.0.0.1:9092")) as log:
            end = sum(span.stop for span in log.spans("taxi.trips"))
        counted = sum(verdict.offsets_read for verdict in verdicts())
        assert not judged_twice()
        assert counted <= end, "events were counted twice"
        return counted if counted == end else 0

    counted = kept.wait(all_counted, seconds=150)
    assert sum(v.accepted + v.dead_letters + v.late for v in verdicts()) == counted


def judged_twice() -> list[dict[str, list[Any]]]:
    """What differs between the verdicts of a window that must be equal.

    A window that is judged again after a kill has the same id and the same reference. The same rows
    and history give the same verdict; an event that came to an idle partition may be late in one
    run and in its window in the other.
    """
    by_window: dict[tuple[str, float], list[DriftVerdict]] = defaultdict(list)
    for verdict in _read(topics.DRIFT_VERDICTS.name, DriftVerdict):
        by_window[verdict.model, verdict.window_start].append(verdict)
    return [
        differences(of_one_window)
        for of_one_window in by_window.values()
        if len({(verdict.record_id, verdict.reference_id) for verdict in of_one_window}) > 1
        or not equal_where_rows_are(of_one_window)
    ]


def equal_where_rows_are(of_one_window: list[DriftVerdict]) -> bool:
    """Whether verdicts on the same rows and history are equal."""
    by_rows: dict[tuple[object, ...], DriftVerdict] = {}
    return all(
        by_rows.setdefault((verdict.offsets, verdict.late, verdict.history_digest), verdict)
        == verdict
        for verdict in of_one_window
    )


def differences(of_one_window: list[DriftVerdict]) -> dict[str, list[Any]]:
    """The fields with several values, and these, with the window and the records' ids."""
    by_field = {
        name: [getattr(verdict, name) for verdict in of_one_window]
        for name in DriftVerdict.__struct_fields__
    }
    always = ("record_id", "window_start", "caused_by", "offsets_read")
    return {
        name: values
        for name, values in by_field.items()
        if name in always or any(value != values[0] for value in values)
    }


def test_no_retrain_came_of_it(seen: Disturbances) -> None:
    assert len(records(topics.RETRAIN_REQUESTS.name, RetrainRequest)) == seen.retrains_before
