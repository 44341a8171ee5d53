"""Two models behind one real Envoy, on real model servers: nothing of the one touches the other."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import grpc
import httpx
import pytest

from serving.engines.envoy.config import MODEL_HEADER, Endpoint, EnvoyLayout
from serving.engines.envoy.router import EnvoyRouter, write_bootstrap
from serving.engines.label_server import LabelServer
from serving.engines.modelserver.protos import PREDICTION, PredictRequest, PredictResponse
from serving.engines.prometheus.client import (
    PrometheusMetrics,
    serving_targets,
    shared_queries,
    write_config,
)
from serving.engines.tfserving import TfServing
from serving.ports import ALL_STABLE, ArmCounters, Role, Scrape, TrafficSplit
from streaming.contracts.errors import UnavailableError
from tests.serving.engines.serving_stack import answers, free_ports, program
from tests.serving.engines.small_models import write_adder
from tests.waiting import wait_for

pytestmark = pytest.mark.engine

MODELS = ("fares", "big.tipper")
ROLES: tuple[Role, ...] = ("stable", "control", "canary")
VERSION_OF: dict[Role, int] = {"stable": 1, "control": 1, "canary": 2}
CONSTANTS = {
    ("fares", 1): 11.0,
    ("fares", 2): 12.0,
    ("big.tipper", 1): 21.0,
    ("big.tipper", 2): 22.0,
}
SPLITS = {
    "fares": TrafficSplit(stable=50, control=25, canary=25),
    "big.tipper": TrafficSplit(stable=20, control=40, canary=40),
}


@dataclass
class Stack:
    """The processes, and one set of ports for each model."""

    folder: Path
    layouts: dict[str, EnvoyLayout]
    prometheus_url: str
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shared = shared_queries(self.prometheus_url)
        self.routers = {
            name: EnvoyRouter(self.folder / "envoy", layout)
            for name, layout in self.layouts.items()
        }
        self.servers = {
            name: TfServing(layout, base_path=str(self.folder / "models" / name))
            for name, layout in self.layouts.items()
        }
        self.metrics = {
            name: PrometheusMetrics(self.prometheus_url, model=name, shared=shared)
            for name in self.layouts
        }

    def spawn(self, name: str, *argv: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(argv, stdout=log, stderr=log)

    def start_server(self, model: str, role: str, end: Endpoint | None = None) -> None:
        end = end or self.layouts[model].endpoints[role]  # type: ignore[index]
        words = ("-m", "serving.engines.modelserver", "--role", role, "--model-name", model)
        ports = ("--grpc-port", str(end.grpc_port), "--rest-port", str(end.rest_port))
        base = ("--base-path", str(self.folder / "models" / model), "--versions", "none")
        self.spawn(f"{model} {role}", sys.executable, *words, *ports, *base)

    def kill(self, name: str) -> None:
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def close(self) -> None:
        for ports in (self.routers, self.servers, self.metrics):
            for port in ports.values():
                port.close()
        for name in list(self.processes):
            self.kill(name)

    def route(self, model: str, split: TrafficSplit) -> None:
        router = self.routers[model]
        router.apply(split)
        wait_for(lambda: router.current_split() == split)

    def load(self, model: str) -> None:
        for role, version in VERSION_OF.items():
            wait_for(partial(self.reachable, model, role), seconds=120.0)
            self.servers[model].load(role, version)
            wait_for(partial(self.has, model, role, version))

    def reachable(self, model: str, role: Role) -> bool:
        return self.servers[model].status(role).reachable

    def has(self, model: str, role: Role, *versions: int) -> bool:
        """Whether a server has these versions available, and no other."""
        entries = self.servers[model].status(role).versions
        available = [entry.version for entry in entries if entry.state == "available"]
        return available == list(versions)

    def counters(self, model: str) -> dict[str, ArmCounters]:
        """The model's counters once they do not change any more."""
        metrics, since = self.metrics[model], time.time()
        scrapes: tuple[Scrape, ...] = ()

        def settled() -> bool:
            nonlocal scrapes
            try:
                scrapes = metrics.scrapes(since=since, now=time.time())
            except UnavailableError:  # a busy machine
                return False
            return len(scrapes) > 1 and scrapes[-1].arms == scrapes[-2].arms

        wait_for(settled, seconds=60.0)
        return {arm.arm: arm for arm in scrapes[-1].arms}

    def traffic(
        self, seconds: float, *, rate: float = 80.0, midway: Callable[[], object] = lambda: None
    ) -> dict[str, Counter[str]]:
        """Requests for both models, REST and gRPC in turns; what their clients got."""
        return asyncio.run(self._traffic(seconds, rate, midway))

    async def _traffic(
        self, seconds: float, rate: float, midway: Callable[[], object]
    ) -> dict[str, Counter[str]]:
        results: dict[str, Counter[str]] = {model: Counter() for model in MODELS}
        address = f"127.0.0.1:{self.layouts[MODELS[0]].port}"
        async with (
            httpx.AsyncClient(base_url=f"http://{address}", timeout=15.0) as client,
            grpc.aio.insecure_channel(address) as channel,
        ):
            call = channel.unary_unary(
                f"/{PREDICTION}/Predict",
                request_serializer=lambda request: request.SerializeToString(),
                response_deserializer=PredictResponse.FromString,
            )

            async def rest(model: str) -> None:
                path = f"/v1/models/{model}:predict"
                response = await client.post(path, json={"instances": [0.0]})
                answer = response.json()
                results[model][str(answer.get("predictions", answer))] += 1

            async def over_grpc(model: str) -> None:
                metadata = ((MODEL_HEADER, model),)
                try:
                    response = await call(predict_request(model), timeout=15.0, metadata=metadata)
                    results[model][str(list(response.outputs["y"].float_val))] += 1
                except grpc.aio.AioRpcError as error:
                    results[model][f"{error.code()} {error.details()}"] += 1

            tasks, start, count = [], time.monotonic(), int(seconds * rate)
            for number in range(count):
                await asyncio.sleep(max(0.0, start + number / rate - time.monotonic()))
                send = rest if number % 4 < 2 else over_grpc
                tasks.append(asyncio.create_task(send(MODELS[number % 2])))
                if number == count // 2:
                    midway()
            await asyncio.gather(*tasks)
        return results


def predict_request(model: str) -> PredictRequest:
    request = PredictRequest()
    request.model_spec.name = model
    tensor = request.inputs["x"]
    tensor.dtype = 1
    tensor.tensor_shape.dim.add(size=1)
    tensor.float_val.append(0.0)
    return request


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    prometheus = program("prometheus")
    if prometheus is None:
        pytest.skip("Prometheus is not installed; run `make setup`.")
    folder = tmp_path_factory.mktemp("several-models")
    listener, admin, scraper, *ports = free_ports(3 + 2 * len(MODELS) * len(ROLES))
    layouts = {}
    for number, model in enumerate(MODELS):
        for version in (1, 2):
            write_adder(folder / "models" / model / str(version), CONSTANTS[model, version])
        endpoints = {role: Endpoint(grpc_port=ports.pop(), rest_port=ports.pop()) for role in ROLES}
        layouts[model] = EnvoyLayout(
            model=model,
            default=number == 0,
            port=listener,
            admin_port=admin,
            endpoints=endpoints,
            retry_after_seconds=3.0,  # no server hangs here, and this machine may be busy
        )
    with ExitStack() as cleanup:
        running = Stack(folder, layouts, f"http://127.0.0.1:{scraper}")
        cleanup.callback(running.close)
        for model in MODELS:
            for role in ROLES:
                running.start_server(model, role)
        bootstrap = write_bootstrap(folder / "envoy", tuple(layouts.values()))
        config = write_config(
            folder / "prometheus.yml", serving_targets(tuple(layouts.values()))[:1]
        )
        options = ("--base-id", str(admin % 30000), "--concurrency", "1", "-l", "warning")
        envoy = Path(sys.executable).with_name("envoy")
        running.spawn("envoy", str(envoy), "-c", str(bootstrap), *options)
        running.spawn(
            "prometheus",
            prometheus,
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{scraper}",
        )
        wait_for(lambda: answers(f"http://127.0.0.1:{admin}/ready"))
        wait_for(lambda: answers(f"{running.prometheus_url}/-/ready"))
        for model in MODELS:
            running.load(model)
            running.route(model, ALL_STABLE)
        wait_until_healthy(admin)
        yield running


def wait_until_healthy(admin: int) -> None:
    """Wait until Envoy considers every server healthy."""

    def healthy() -> bool:
        page = httpx.get(f"http://127.0.0.1:{admin}/clusters").text
        flags = [line for line in page.splitlines() if "::health_flags::" in line]
        return bool(flags) and all(line.endswith("::healthy") for line in flags)

    wait_for(healthy)


def test_each_model_is_split_and_counted_by_itself(stack: Stack) -> None:
    for model in MODELS:
        stack.route(model, SPLITS[model])
    before = {model: stack.counters(model) for model in MODELS}
    traffic = stack.traffic(8.0)
    for model in MODELS:
        own = {f"[{CONSTANTS[model, version]}]" for version in (1, 2)}
        assert set(traffic[model]) == own, traffic[model]
        after, split = stack.counters(model), SPLITS[model]
        total = sum(traffic[model].values())
        for arm in ROLES:
            requests = after[arm].requests - before[model][arm].requests
            assert abs(requests / total - getattr(split, arm) / 100) < 0.12, (model, arm)
            assert after[arm].errors == before[model][arm].errors
        counted = sum(after[arm].requests - before[model][arm].requests for arm in ROLES)
        assert counted == total


def test_a_canary_that_dies_costs_no_request_and_the_other_model_does_not_notice(
    stack: Stack,
) -> None:
    for model in MODELS:
        stack.route(model, SPLITS[model])
    before = {model: stack.counters(model) for model in MODELS}

    def midway() -> None:
        stack.kill("fares canary")
        stack.routers["big.tipper"].apply(TrafficSplit(stable=0, control=50, canary=50))

    traffic = stack.traffic(8.0, midway=midway)
    for model in MODELS:
        assert set(traffic[model]) == {f"[{CONSTANTS[model, version]}]" for version in (1, 2)}
    after = {model: stack.counters(model) for model in MODELS}
    lost = after["fares"]["canary"].errors - before["fares"]["canary"].errors
    assert lost > 5
    for arm in ROLES:
        assert after["big.tipper"][arm].errors == before["big.tipper"][arm].errors, arm
    assert stack.routers["fares"].current_split() == SPLITS["fares"]
    assert stack.routers["big.tipper"].current_split().canary == 50
    stack.start_server("fares", "canary")
    stack.load("fares")


def test_a_request_for_a_model_that_is_not_served_is_refused_with_the_names(stack: Stack) -> None:
    address = f"127.0.0.1:{stack.layouts['fares'].port}"
    response = httpx.post(f"http://{address}/v1/models/other:predict", json={"instances": [0.0]})
    assert response.status_code == 404
    assert "serves fares, big.tipper" in response.json()["error"]
    with grpc.insecure_channel(address) as channel:
        call = channel.unary_unary(f"/{PREDICTION}/Predict", bytes, bytes)
        with pytest.raises(grpc.RpcError, match=r"name one of fares, big\.tipper") as refusal:
            call(b"", timeout=5.0, metadata=((MODEL_HEADER, "other"),))
    assert refusal.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_grpc_client_that_names_no_model_reaches_the_first_one(stack: Stack) -> None:
    address = f"127.0.0.1:{stack.layouts['fares'].port}"
    with grpc.insecure_channel(address) as channel:
        call = channel.unary_unary(
            f"/{PREDICTION}/Predict",
            lambda request: request.SerializeToString(),
            PredictResponse.FromString,
        )
        answer = call(predict_request("fares"), timeout=5.0)
        assert answer.outputs["y"].float_val[0] in (11.0, 12.0)
        with pytest.raises(grpc.RpcError) as refusal:
            call(predict_request("big.tipper"), timeout=5.0)
    assert refusal.value.code() is grpc.StatusCode.NOT_FOUND


def test_a_model_that_is_added_to_a_running_envoy_disturbs_nobody(stack: Stack) -> None:
    first = stack.layouts["fares"]
    third = EnvoyLayout(
        model="third",
        default=False,
        port=first.port,
        admin_port=first.admin_port,
        endpoints=first.endpoints,
    )
    split = TrafficSplit(stable=80, control=10, canary=10)
    stack.route("fares", split)
    layouts = (*stack.layouts.values(), third)
    traffic = stack.traffic(4.0, midway=lambda: write_bootstrap(stack.folder / "envoy", layouts))
    for model in MODELS:
        assert set(traffic[model]) <= {f"[{CONSTANTS[model, version]}]" for version in (1, 2)}
    router = EnvoyRouter(stack.folder / "envoy", third)
    wait_for(lambda: router.current_split() == ALL_STABLE)
    assert stack.routers["fares"].current_split() == split
    router.close()


def test_a_server_that_unloads_is_empty_and_loads_again(stack: Stack) -> None:
    stack.route("fares", ALL_STABLE)
    servers = stack.servers["fares"]
    servers.unload("canary")
    wait_for(partial(stack.has, "fares", "canary"))
    assert servers.status("canary").reachable
    assert stack.has("big.tipper", "canary", 2)
    servers.load("canary", 2)
    wait_for(partial(stack.has, "fares", "canary", 2))


def test_a_label_moves_to_another_version_without_an_error(stack: Stack) -> None:
    """On a server of its own, while clients ask for the label and a rollout goes on."""
    first, ports = stack.layouts["fares"], free_ports(2)
    layout = replace(
        first,
        labels=("old",),
        label_endpoint=Endpoint(grpc_port=ports[0], rest_port=ports[1]),
    )
    stack.start_server("fares", "labelled", layout.label_endpoint)
    write_bootstrap(stack.folder / "envoy", (layout, stack.layouts["big.tipper"]))
    server = LabelServer(f"127.0.0.1:{ports[0]}", "fares", str(stack.folder / "models" / "fares"))
    wait_for(partial(bound, server, {"old": 1}), seconds=120.0)
    url = f"http://127.0.0.1:{layout.port}/v1/models/fares"
    body = {"instances": [0.0]}
    before = stack.counters("fares")
    with httpx.Client() as client:
        answers_of: list[float] = []

        def ask(label: str) -> float:
            response = client.post(f"{url}/labels/{label}:predict", json=body, timeout=10.0)
            assert response.status_code == 200, response.text
            return float(response.json()["predictions"][0])

        def moved() -> bool:
            answers_of.append(ask("old"))
            return bound(server, {"old": 2}) and server.held().available == {2}

        wait_for(lambda: client.post(f"{url}/labels/old:predict", json=body).status_code == 200)
        wait_for(moved)
        answers_of.append(ask("old"))
        assert sorted(set(answers_of)) == [11.0, 12.0] == sorted({answers_of[0], answers_of[-1]})
        assert (ask("stable"), ask("canary")) == (11.0, 12.0)
    assert stack.counters("fares") == before  # labels are counted for no arm
    server.close()
    stack.kill("fares labelled")


def bound(server: LabelServer, target: dict[str, int]) -> bool:
    """Do a step; whether every label has its version."""
    try:
        return server.step(target) == ()
    except UnavailableError:  # it is starting
        return False
