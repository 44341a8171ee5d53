"""A serving stack of real processes: Envoy and Prometheus in front of three fake model servers."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import grpc
import httpx

from serving.engines.envoy.config import Endpoint, EnvoyLayout
from serving.engines.envoy.names import ARM_HEADER
from serving.engines.envoy.router import EnvoyRouter, write_bootstrap
from serving.engines.prometheus.client import PrometheusMetrics, serving_targets, write_config
from serving.ports import Role, Scrape, TrafficSplit
from serving.slice_rules import SliceRules
from tests.serving.engines.fake_model_server import MODEL
from tests.waiting import wait_for

ROOT = Path(__file__).resolve().parents[3]
FAKE_SERVER = Path(__file__).with_name("fake_model_server.py")
ROLES: tuple[Role, ...] = ("stable", "control", "canary")
PREDICT_PATH = f"/v1/models/{MODEL}:predict"
SLICES = SliceRules(header="x-tenant", values=("acme", "big_corp.example"))


def free_ports(count: int) -> list[int]:
    """Ports on which no process listens now."""
    sockets = [socket.socket() for _ in range(count)]
    for free in sockets:
        free.bind(("127.0.0.1", 0))
    ports = [free.getsockname()[1] for free in sockets]
    for free in sockets:
        free.close()
    return ports


def answers(url: str) -> bool:
    """Whether a GET request returns 200."""
    try:
        return httpx.get(url, timeout=1.0).status_code == 200
    except httpx.HTTPError:
        return False


@dataclass
class ServingStack:
    """The processes, and the operations of the tests on them."""

    folder: Path
    layout: EnvoyLayout
    prometheus_url: str
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, role: Role) -> None:
        """Start a role's model server and wait until it answers."""
        end = self.layout.endpoints[role]
        arguments = (end.rest_port, end.grpc_port, role, self.folder / f"{role}.json")
        self.spawn(role, sys.executable, str(FAKE_SERVER), *map(str, arguments))
        wait_for(lambda: answers(f"http://127.0.0.1:{end.rest_port}/v1/models/{MODEL}"))

    def spawn(self, name: str, *argv: str) -> None:
        """Start a process; its output goes to a file."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(argv, stdout=log, stderr=log)

    def kill(self, name: str) -> None:
        """kill -9."""
        process = self.running.pop(name)
        process.kill()
        process.wait()

    def fault(self, role: Role, **fault: object) -> None:
        """Set the faults of a server; no arguments means none."""
        temporary = self.folder / f"{role}.new"
        temporary.write_text(json.dumps(fault))
        temporary.rename(self.folder / f"{role}.json")

    def route(self, split: TrafficSplit) -> None:
        """Apply a split and wait until Envoy confirms it."""
        self.router.apply(split)
        wait_for(lambda: self.router.current_split() == split)

    @cached_property
    def router(self) -> EnvoyRouter:
        """The port on this Envoy."""
        return EnvoyRouter(self.folder / "envoy", self.layout)

    @cached_property
    def metrics(self) -> PrometheusMetrics:
        """The port on this Prometheus."""
        return PrometheusMetrics(self.prometheus_url, model=self.layout.model)

    def envoy_counters(self, pattern: str) -> dict[str, int]:
        """Envoy's counters whose names match the regular expression."""
        page = self._admin("/stats", filter=pattern)
        counters = (line.rpartition(": ") for line in page.splitlines())
        return {name: int(value) for name, _, value in counters}

    def upstream_requests(self) -> int:
        """Requests that Envoy has sent to the REST servers so far, including retries."""
        pattern = r"^cluster\.(spare)?(stable|control|canary)_rest__[^.]+\.upstream_rq_total$"
        return sum(self.envoy_counters(pattern).values())

    def wait_until_healthy(self) -> None:
        """Wait until Envoy considers every server healthy and none ejected."""

        def healthy() -> bool:
            lines = self._admin("/clusters").splitlines()
            flags = [line for line in lines if "::health_flags::" in line]
            return bool(flags) and all(line.endswith("::healthy") for line in flags)

        wait_for(healthy)

    def settled_scrape(self) -> Scrape:
        """The first scrape from now on whose counters equal those of the scrape before it.

        Without traffic, all counters of earlier requests have then reached Prometheus.
        """
        since = time.time()
        scrapes: tuple[Scrape, ...] = ()

        def settled() -> bool:
            nonlocal scrapes
            scrapes = self.metrics.scrapes(since=since, now=time.time())
            return len(scrapes) > 1 and scrapes[-1].arms == scrapes[-2].arms

        wait_for(settled)
        return scrapes[-1]

    def traffic(
        self,
        seconds: float,
        rate: float = 120.0,
        proto: str = "rest",
        *,
        midway: Callable[[], None] = lambda: None,
        until: Callable[[], bool] = lambda: False,
        tenants: Sequence[str] = ("",),
    ) -> Traffic:
        """Send requests at a steady rate and record the clients' view.

        `midway` is called after half of the requests; the traffic ends early once `until` holds.
        `tenants` are the values of x-tenant, in turn; empty for no header.
        """
        return asyncio.run(self._traffic(seconds, rate, proto, midway, until, tenants))

    async def _traffic(
        self,
        seconds: float,
        rate: float,
        proto: str,
        midway: Callable[[], None],
        until: Callable[[], bool],
        tenants: Sequence[str],
    ) -> Traffic:
        traffic = Traffic()
        address = f"127.0.0.1:{self.layout.port}"
        async with (
            httpx.AsyncClient(base_url=f"http://{address}", timeout=15.0) as client,
            grpc.aio.insecure_channel(address) as channel,
        ):
            predict = channel.unary_unary(
                "/tensorflow.serving.PredictionService/Predict",
                request_serializer=bytes,
                response_deserializer=bytes,
            )

            async def send_rest(headers: dict[str, str]) -> None:
                response = await client.post(PREDICT_PATH, json={}, headers=headers)
                server = response.json()["name"] if response.status_code == 200 else ""
                traffic.add(str(response.status_code), response.headers[ARM_HEADER], server)

            async def send_grpc(headers: dict[str, str]) -> None:
                metadata = tuple(headers.items())
                try:
                    response = await predict(b"", timeout=15.0, metadata=metadata)
                    traffic.add("200", "", response.decode())
                except grpc.aio.AioRpcError as error:
                    traffic.add(error.code().name, "", "")

            send = send_rest if proto == "rest" else send_grpc

            async def timed(headers: dict[str, str]) -> None:
                began = time.monotonic()
                await send(headers)
                traffic.seconds += time.monotonic() - began

            tasks = []
            start, count = time.monotonic(), int(seconds * rate)
            for number in range(count):
                await asyncio.sleep(max(0.0, start + number / rate - time.monotonic()))
                tenant = tenants[number % len(tenants)]
                headers = {SLICES.header: tenant} if tenant else {}
                tasks.append(asyncio.create_task(timed(headers)))
                if number == count // 2:
                    midway()
                if until():
                    break
            await asyncio.gather(*tasks)
        return traffic

    def _admin(self, path: str, **params: str) -> str:
        return httpx.get(f"http://127.0.0.1:{self.layout.admin_port}{path}", params=params).text


@dataclass
class Traffic:
    """The responses that clients received."""

    responses: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Counts by (status, arm, answering server)."""
    seconds: float = 0.0
    """Sum of the time that each client waited."""

    def add(self, status: str, arm: str, server: str) -> None:
        """Count one response."""
        self.responses[status, arm, server] += 1

    @property
    def total(self) -> int:
        """Number of requests."""
        return sum(self.responses.values())

    @property
    def failed(self) -> int:
        """Number of requests that were not answered with 200."""
        return sum(count for (status, _, _), count in self.responses.items() if status != "200")

    def by_arm(self, arm: str) -> int:
        """Number of requests routed to an arm."""
        return sum(count for (_, name, _), count in self.responses.items() if name == arm)


Stack = TypeVar("Stack", bound=ServingStack)


def program(name: str) -> str | None:
    """The path of the embedded stack's program, or of the one on PATH."""
    embedded = ROOT / ".driftline" / "opt" / "prometheus" / "bin" / name
    return str(embedded) if embedded.exists() else shutil.which(name)


@contextmanager
def open_serving_stack(
    folder: Path, prometheus: str, *, stack_type: type[Stack]
) -> Iterator[Stack]:
    """Run all processes for the duration of a `with` block."""
    ports = free_ports(9)
    endpoints = {
        role: Endpoint(grpc_port=ports[2 * index], rest_port=ports[2 * index + 1])
        for index, role in enumerate(ROLES)
    }
    layout = EnvoyLayout(
        model=MODEL, port=ports[6], admin_port=ports[7], endpoints=endpoints, slices=SLICES
    )
    stack = stack_type(folder=folder, layout=layout, prometheus_url=f"http://127.0.0.1:{ports[8]}")
    config = write_config(folder / "prometheus.yml", serving_targets([layout])[:1])
    bootstrap = write_bootstrap(folder / "envoy", [layout])
    try:
        for role in ROLES:
            stack.start(role)
        envoy = Path(sys.executable).with_name("envoy")
        options = ("--base-id", str(ports[7] % 30000), "--concurrency", "1", "-l", "warning")
        stack.spawn("envoy", str(envoy), "-c", str(bootstrap), *options)
        stack.spawn(
            "prometheus",
            prometheus,
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{ports[8]}",
        )
        wait_for(lambda: answers(f"http://127.0.0.1:{layout.admin_port}/ready"))
        wait_for(lambda: answers(f"{stack.prometheus_url}/-/ready"))
        wait_for(lambda: len(stack.metrics.scrapes(since=0.0, now=time.time())) > 1)
        yield stack
    finally:
        stack.router.close()
        stack.metrics.close()
        for name in list(stack.running):
            stack.kill(name)
