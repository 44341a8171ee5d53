"""One conformance suite for the in-memory ports and for the engines."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from serving.engines.envoy.config import Endpoint, EnvoyLayout
from serving.engines.memory import (
    InMemoryModelServers,
    InMemoryReferences,
    InMemoryRouter,
    InMemoryServing,
)
from serving.engines.modelserver import protos
from serving.engines.tfserving import TfServing
from serving.ports import (
    ALL_STABLE,
    ArmShare,
    ExperimentSplit,
    ModelServers,
    PublishedReference,
    TrafficMetrics,
    TrafficRouter,
    TrafficSplit,
)
from streaming.contracts.errors import DriftlineError
from tests.serving import rollout_simulation
from tests.serving.engines.serving_stack import ServingStack, free_ports
from tests.waiting import wait_for


class FakeModelService:
    """TF Serving's ModelService without a model; versions 1 to 4 load in 0.1 s."""

    def __init__(self) -> None:
        self.version = 0
        self.loading = 0

    def status(self, request: Any, context: grpc.ServicerContext) -> Any:
        response = protos.GetModelStatusResponse()
        for version, state in ((self.version, 30), (self.loading, 20)):
            if version:
                response.model_version_status.add(version=version, state=state)
        if not response.model_version_status:
            context.abort(grpc.StatusCode.NOT_FOUND, "no versions")
        return response

    def reload(self, request: Any, context: grpc.ServicerContext) -> Any:
        if not request.config.model_config_list.config:
            self.version = self.loading = 0
            return protos.ReloadConfigResponse()
        (config,) = request.config.model_config_list.config
        (version,) = config.model_version_policy.specific.versions
        if version > 4:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no such version")
        self.loading = version if version != self.version else 0
        threading.Timer(0.1, self._finish_load, (version,)).start()
        return protos.ReloadConfigResponse()

    def _finish_load(self, version: int) -> None:
        self.version, self.loading = version, 0

    def serve(self, port: int) -> grpc.Server:
        """Listen on a port."""
        server = grpc.server(ThreadPoolExecutor(2))
        methods = {
            "GetModelStatus": (self.status, protos.GetModelStatusRequest),
            "HandleReloadConfigRequest": (self.reload, protos.ReloadConfigRequest),
        }
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(
                call,
                request_deserializer=request.FromString,
                response_serializer=lambda response: response.SerializeToString(),
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
        yield InMemoryModelServers(store={1, 2, 3, 4}, down={"shadow"})
        return
    port, unused_port = free_ports(2)
    server = FakeModelService().serve(port)
    layout = EnvoyLayout(
        model="fake",
        endpoints={
            "canary": Endpoint(grpc_port=port, rest_port=1),
            "shadow": Endpoint(grpc_port=unused_port, rest_port=1),
        },
    )
    engine = TfServing(layout)
    yield engine
    engine.close()
    server.stop(None).wait()


def test_an_empty_server_is_reachable_and_has_no_version(servers: ModelServers) -> None:
    status = servers.status("canary")
    assert status.reachable
    assert status.versions == ()


def test_a_loaded_version_is_the_only_one_and_has_a_load_time(servers: ModelServers) -> None:
    for version in (2, 1):
        servers.load("canary", version)
        (status,) = servers.status("canary").versions
        assert (status.version, status.state) == (version, "available")
        assert status.load_seconds is not None
        assert 0 < status.load_seconds < 10  # in seconds


def test_a_repeated_load_has_no_effect(servers: ModelServers) -> None:
    servers.load("canary", 3)
    servers.load("canary", 3)
    assert [status.version for status in servers.status("canary").versions] == [3]


def test_a_replaced_server_is_empty_and_loads_again(servers: ModelServers) -> None:
    servers.load("canary", 2)
    servers.replace("canary")
    assert servers.status("canary").versions == ()
    servers.load("canary", 2)
    assert [status.version for status in servers.status("canary").versions] == [2]


def test_a_server_whose_process_can_be_restarted_is_not_unloaded() -> None:
    restarted: list[str] = []
    servers = TfServing(EnvoyLayout(model="fake"), restart=restarted.append)
    servers.replace("control")  # no server answers there, and none is asked
    assert restarted == ["control"]
    servers.close()


def test_an_unreachable_server_gives_a_status_and_refuses_a_load(servers: ModelServers) -> None:
    assert not servers.status("shadow").reachable
    with pytest.raises(DriftlineError):
        servers.load("shadow", 1)


def test_an_unknown_version_is_refused(servers: ModelServers) -> None:
    with pytest.raises(DriftlineError):
        servers.load("canary", 9)


@pytest.fixture(params=["memory", pytest.param("envoy", marks=pytest.mark.engine)])
def router(request: pytest.FixtureRequest) -> TrafficRouter:
    if request.param == "memory":
        return InMemoryRouter()
    stack: ServingStack = request.getfixturevalue("serving_stack")
    stack.route(ALL_STABLE)
    return stack.router


@pytest.mark.parametrize(
    "split",
    [
        TrafficSplit(stable=90, control=5, canary=5),
        TrafficSplit(stable=0, canary=100),
        TrafficSplit(mirror=25),
        TrafficSplit(
            experiment=ExperimentSplit(
                salt="5a1f",
                header="x-user-id",
                arms=(
                    ArmShare(name="champion", version=1, share=500, arm="stable"),
                    ArmShare(name="v2", version=2, share=500, arm=None),
                ),
            )
        ),
    ],
)
def test_a_split_is_active_soon_after_it_was_applied(
    router: TrafficRouter, split: TrafficSplit
) -> None:
    router.apply(split)
    router.apply(split)
    wait_for(lambda: router.current_split() == split, seconds=5)


@pytest.fixture(params=["memory", pytest.param("prometheus", marks=pytest.mark.engine)])
def measured(request: pytest.FixtureRequest) -> tuple[TrafficMetrics, float, float, int]:
    """Metrics, times shortly before and after the traffic, and the number of requests."""
    if request.param == "memory":
        serving = InMemoryServing(rate=50)
        serving.servers.loaded["stable"] = 1
        for second in range(1, 6):
            serving.advance_traffic(float(second))
        return serving.metrics, 0.0, 30.0, 250
    stack: ServingStack = request.getfixturevalue("serving_stack")
    stack.route(ALL_STABLE)
    before = stack.settled_scrape().at - 0.5
    traffic = stack.traffic(3, rate=50)
    stack.settled_scrape()
    return stack.metrics, before, time.time(), traffic.total


def test_scrapes_come_in_order_and_only_new_ones(
    measured: tuple[TrafficMetrics, float, float, int],
) -> None:
    metrics, before, now, _ = measured
    scrapes = metrics.scrapes(since=before, now=now)
    times = [scrape.at for scrape in scrapes]
    assert times == sorted(set(times))
    assert all(before < at <= now for at in times)
    assert metrics.scrapes(since=times[2], now=now) == scrapes[3:]


def test_counters_are_cumulative_and_contain_every_request(
    measured: tuple[TrafficMetrics, float, float, int],
) -> None:
    metrics, before, now, total = measured
    scrapes = metrics.scrapes(since=before, now=now)
    stable = [scrape.arms[0].requests for scrape in scrapes]
    assert stable == sorted(stable)
    counted = stable[-1] - (0 if before == 0.0 else stable[0])
    assert counted == total


def test_a_published_reference_is_known_afterwards() -> None:
    references = InMemoryReferences(without_windows={2})
    for number, has_windows in ((1, True), (2, False)):
        version = rollout_simulation.version(number)
        assert references.published(version) is None
        artifact = references.publish(version)
        assert (artifact is not None) == has_windows
        assert references.publish(version) == artifact
        expected = PublishedReference(version=number, artifact=artifact)
        assert references.published(version) == expected
