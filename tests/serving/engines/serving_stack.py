"""A street of real processes: Envoy and Prometheus in front of three toy model servers."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import grpc
import httpx

from serving.engines.envoy.config import Endpoint, EnvoyLayout
from serving.engines.envoy.router import EnvoySplitter, write_bootstrap
from serving.engines.prometheus.client import PrometheusMetrics, serving_targets, write_config
from serving.ports import Role
from tests.waiting import wait_for

ROOT = Path(__file__).resolve().parents[3]
TOY = Path(__file__).with_name("serving_toy.py")
ROLES: tuple[Role, ...] = ("stable", "control", "canary")


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def answers(url: str) -> bool:
    """Somebody answers 200 there."""
    try:
        return httpx.get(url, timeout=1.0).status_code == 200
    except httpx.HTTPError:
        return False


@dataclass
class Street:
    """The processes, and what a test may do to them."""

    folder: Path
    layout: EnvoyLayout
    prometheus_url: str
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, role: Role) -> None:
        """Start a role's server and wait for it."""
        end = self.layout.endpoints[role]
        words = (end.rest_port, end.grpc_port, role, self.folder / f"{role}.json")
        self.spawn(role, sys.executable, str(TOY), *map(str, words))
        wait_for(lambda: answers(f"http://127.0.0.1:{end.rest_port}/v1/models/toy"))

    def spawn(self, name: str, *argv: str) -> None:
        """Start a process; its words go to a file."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(argv, stdout=log, stderr=log)

    def kill(self, name: str) -> None:
        """kill -9."""
        process = self.running.pop(name)
        process.kill()
        process.wait()

    def fault(self, role: Role, **wrong: object) -> None:
        """Set a server's faults; nothing = well."""
        beside = self.folder / f"{role}.new"
        beside.write_text(json.dumps(wrong))
        beside.rename(self.folder / f"{role}.json")

    @cached_property
    def splitter(self) -> EnvoySplitter:
        """The port on this Envoy."""
        return EnvoySplitter(self.folder / "envoy", self.layout)

    @cached_property
    def metrics(self) -> PrometheusMetrics:
        """The port on this Prometheus."""
        return PrometheusMetrics(self.prometheus_url)

    def asked(self) -> int:
        """Requests that Envoy has sent to REST servers so far, second tries and all."""
        found = httpx.get(
            f"http://127.0.0.1:{self.layout.admin_port}/stats",
            params={
                "filter": r"^cluster\.(spare)?(stable|control|canary)_rest\.upstream_rq_total$"
            },
        )
        return sum(int(line.rpartition(" ")[2]) for line in found.text.splitlines())

    def traffic(
        self,
        seconds: float,
        rate: float = 120.0,
        proto: str = "rest",
        midway: Callable[[], None] = lambda: None,
    ) -> Traffic:
        """Requests at a steady rate, as clients see them; `midway` is called after half of them."""
        return asyncio.run(self._traffic(seconds, rate, proto, midway))

    async def _traffic(
        self, seconds: float, rate: float, proto: str, midway: Callable[[], None]
    ) -> Traffic:
        seen = Traffic()
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

            async def rest() -> None:
                answer = await client.post("/v1/models/toy:predict", json={})
                who = answer.json()["name"] if answer.status_code == 200 else "nobody"
                seen.add(str(answer.status_code), answer.headers["x-driftline-arm"], who)

            async def remote() -> None:
                try:
                    seen.add("200", "", (await predict(b"", timeout=15.0)).decode())
                except grpc.aio.AioRpcError as error:
                    seen.add(error.code().name, "", "nobody")

            tasks = []
            start = time.monotonic()
            for number in range(int(seconds * rate)):
                await asyncio.sleep(max(0.0, start + number / rate - time.monotonic()))
                tasks.append(asyncio.create_task(rest() if proto == "rest" else remote()))
                if number == int(seconds * rate / 2):
                    midway()
            await asyncio.gather(*tasks)
        return seen


@dataclass
class Traffic:
    """What clients saw."""

    answers: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """(status, arm, who answered) → count."""

    def add(self, status: str, arm: str, who: str) -> None:
        """Count one."""
        self.answers[status, arm, who] += 1

    @property
    def total(self) -> int:
        """Requests."""
        return sum(self.answers.values())

    @property
    def failed(self) -> int:
        """Requests that were not answered with 200."""
        return sum(count for (status, _, _), count in self.answers.items() if status != "200")

    def by_arm(self, arm: str) -> int:
        """Requests routed to an arm."""
        return sum(count for (_, name, _), count in self.answers.items() if name == arm)


def program(name: str) -> str | None:
    """The embedded stack's program, else the one on PATH."""
    ours = ROOT / ".driftline" / "opt" / "prometheus" / "bin" / name
    return str(ours) if ours.exists() else shutil.which(name)


@contextmanager
def open_street(folder: Path, prometheus: str) -> Iterator[Street]:
    """Everything up for the length of a `with`."""
    ports = free_ports(9)
    endpoints = {
        role: Endpoint(grpc_port=ports[2 * place], rest_port=ports[2 * place + 1])
        for place, role in enumerate(ROLES)
    }
    layout = EnvoyLayout(model="toy", port=ports[6], admin_port=ports[7], endpoints=endpoints)
    town = Street(folder=folder, layout=layout, prometheus_url=f"http://127.0.0.1:{ports[8]}")
    config = write_config(folder / "prometheus.yml", serving_targets(layout)[:1])
    boot = write_bootstrap(folder / "envoy", layout)
    try:
        for role in ROLES:
            town.start(role)
        envoy = Path(sys.executable).with_name("envoy")
        base = ("--base-id", str(ports[7] % 30000), "--concurrency", "1", "-l", "warning")
        town.spawn("envoy", str(envoy), "-c", str(boot), *base)
        town.spawn(
            "prometheus",
            prometheus,
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{ports[8]}",
        )
        wait_for(lambda: answers(f"http://127.0.0.1:{layout.admin_port}/ready"))
        wait_for(lambda: answers(f"{town.prometheus_url}/-/ready"))
        wait_for(lambda: len(town.metrics.scrapes(since=0.0, now=time.time())) > 1)
        yield town
    finally:
        town.splitter.close()
        town.metrics.close()
        for name in list(town.running):
            town.kill(name)
