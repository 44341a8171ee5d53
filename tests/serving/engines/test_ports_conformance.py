"""The same promises for the doubles and for the engines."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from serving.engines.envoy.config import Endpoint, EnvoyLayout
from serving.engines.memory import MemoryServers, MemorySplitter, MemoryWorld
from serving.engines.modelserver import protos
from serving.engines.tfserving import TfServing
from serving.ports import ALL_STABLE, Metrics, ModelServers, Split, Splitter
from streaming.contracts.errors import DriftlineError
from tests.serving.engines.serving_stack import free_ports, open_street, program


class ToyModelService:
    """TF Serving's ModelService without a model: versions 1 to 4 can be loaded, slowly."""

    def __init__(self) -> None:
        self.version = 0
        self.loading = 0

    def status(self, request: Any, context: grpc.ServicerContext) -> Any:
        answer = protos.GetModelStatusResponse()
        for version, state in ((self.version, 30), (self.loading, 20)):
            if version:
                answer.model_version_status.add(version=version, state=state)
        if not answer.model_version_status:
            context.abort(grpc.StatusCode.NOT_FOUND, "no versions")
        return answer

    def reload(self, request: Any, context: grpc.ServicerContext) -> Any:
        (config,) = request.config.model_config_list.config
        (version,) = config.model_version_policy.specific.versions
        if version > 4:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no such version")
        self.loading = version if version != self.version else 0
        threading.Timer(0.1, self._done, (version,)).start()
        return protos.ReloadConfigResponse()

    def _done(self, version: int) -> None:
        self.version, self.loading = version, 0

    def serve(self, port: int) -> grpc.Server:
        """Listen."""
        server = grpc.server(ThreadPoolExecutor(2))
        methods = {
            "GetModelStatus": (self.status, protos.GetModelStatusRequest),
            "HandleReloadConfigRequest": (self.reload, protos.ReloadConfigRequest),
        }
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(
                call,
                request_deserializer=request.FromString,
                response_serializer=lambda answer: answer.SerializeToString(),
            )
            for name, (call, request) in methods.items()
        }
        service = grpc.method_handlers_generic_handler(protos.MODEL, handlers)
        server.add_generic_rpc_handlers((service,))
        server.add_insecure_port(f"127.0.0.1:{port}")
        server.start()
        return server


@pytest.fixture(params=["memory", pytest.param("tfserving", marks=pytest.mark.engine)])
def servers(request: pytest.FixtureRequest) -> Iterator[ModelServers]:
    if request.param == "memory":
        yield MemoryServers(store={1, 2, 3, 4}, down={"shadow"})
        return
    port, nobody = free_ports(2)
    toy = ToyModelService().serve(port)
    layout = EnvoyLayout(
        model="toy",
        endpoints={
            "canary": Endpoint(grpc_port=port, rest_port=1),
            "shadow": Endpoint(grpc_port=nobody, rest_port=1),
        },
    )
    engine = TfServing(layout)
    yield engine
    engine.close()
    toy.stop(None).wait()


def test_an_empty_server_is_reachable_and_has_nothing(servers: ModelServers) -> None:
    status = servers.status("canary")
    assert status.reachable
    assert status.versions == ()


def test_a_loaded_version_is_there_alone_with_its_time(servers: ModelServers) -> None:
    for version in (2, 1):
        servers.load("canary", version)
        (found,) = servers.status("canary").versions
        assert (found.version, found.state) == (version, "available")
        assert found.load_seconds is not None
        assert 0 < found.load_seconds < 1


def test_loading_twice_is_loading_once(servers: ModelServers) -> None:
    servers.load("canary", 3)
    servers.load("canary", 3)
    assert [one.version for one in servers.status("canary").versions] == [3]


def test_a_silent_server_is_a_status_and_a_load_error(servers: ModelServers) -> None:
    assert not servers.status("shadow").reachable
    with pytest.raises(DriftlineError):
        servers.load("shadow", 1)


def test_a_version_that_is_not_there_is_refused(servers: ModelServers) -> None:
    with pytest.raises(DriftlineError):
        servers.load("canary", 9)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    prometheus = program("prometheus")
    if prometheus is None:
        pytest.skip("Prometheus is not installed; run `make setup`.")
    with open_street(tmp_path_factory.mktemp("town"), prometheus) as street:
        yield street


@pytest.fixture(params=["memory", pytest.param("envoy", marks=pytest.mark.engine)])
def splitter(request: pytest.FixtureRequest) -> Splitter:
    if request.param == "memory":
        return MemorySplitter()
    found: Splitter = request.getfixturevalue("town").splitter
    found.apply(ALL_STABLE)
    time.sleep(0.2)
    return found


@pytest.mark.parametrize(
    "split",
    [Split(stable=90, control=5, canary=5), Split(stable=0, canary=100), Split(mirror=25)],
)
def test_a_split_is_live_soon_after_it_was_applied(splitter: Splitter, split: Split) -> None:
    splitter.apply(split)
    splitter.apply(split)
    until = time.monotonic() + 5
    while splitter.live() != split:
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.fixture(params=["memory", pytest.param("prometheus", marks=pytest.mark.engine)])
def counted(request: pytest.FixtureRequest) -> tuple[Metrics, float, int]:
    """Metrics, the time before the traffic, and how many requests there were."""
    if request.param == "memory":
        world = MemoryWorld(rate=50)
        world.servers.loaded["stable"] = 1
        for second in range(1, 6):
            world.flow(float(second))
        return world.metrics, 0.0, 250
    street = request.getfixturevalue("town")
    street.splitter.apply(ALL_STABLE)
    time.sleep(2)
    before = time.time()
    seen = street.traffic(3, rate=50)
    time.sleep(2.5)
    return street.metrics, before, seen.total


def test_scrapes_come_in_order_and_only_new_ones(counted: tuple[Metrics, float, int]) -> None:
    metrics, before, _ = counted
    now = before + 30
    found = metrics.scrapes(since=before, now=now)
    times = [scrape.at for scrape in found]
    assert times == sorted(set(times))
    assert all(before < at <= now for at in times)
    assert metrics.scrapes(since=times[2], now=now) == found[3:]


def test_counters_only_grow_and_hold_every_request(counted: tuple[Metrics, float, int]) -> None:
    metrics, before, total = counted
    found = metrics.scrapes(since=before - 1.5, now=before + 30)
    stable = [scrape.arms[0].requests for scrape in found]
    assert stable == sorted(stable)
    held = stable[-1] - (0 if before == 0.0 else stable[0])
    assert held == total
