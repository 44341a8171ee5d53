"""Envoy's route file for several models: each model's split is its own."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from serving.engines.envoy import router as router_module
from serving.engines.envoy.config import EnvoyLayout, Json, split_text
from serving.engines.envoy.names import PROTOS, cluster_name
from serving.engines.envoy.router import EnvoyRouter, shared_reads, write_bootstrap
from serving.ports import ALL_STABLE, TrafficSplit
from streaming.contracts.errors import ConfigurationError, UnavailableError
from tests.serving.engines.hung_http import hung_server

LAYOUTS = tuple(
    EnvoyLayout(model=name, default=number == 0)
    for number, name in enumerate(("fares", "big.tipper", "support"))
)
HALF = TrafficSplit(stable=0, control=50, canary=50)


def splits(folder: Path) -> dict[str, str]:
    """The splits in the route file, by model."""
    version = json.loads((folder / "rds.json").read_text())["version_info"]
    result: dict[str, str] = json.loads(version)
    return result


def routes(folder: Path) -> list[Json]:
    (config,) = json.loads((folder / "rds.json").read_text())["resources"]
    result: list[Json] = config["virtual_hosts"][0]["routes"]
    return result


def apply(folder: Path, layout: EnvoyLayout, split: TrafficSplit) -> None:
    router = EnvoyRouter(folder, layout)
    router.apply(split)
    router.close()


def test_rollouts_side_by_side_never_undo_each_others_splits(tmp_path: Path) -> None:
    write_bootstrap(tmp_path, LAYOUTS)
    assert list(splits(tmp_path)) == [layout.model for layout in LAYOUTS]

    def roll_out(number: int) -> TrafficSplit:
        for weight in range(1, 20):
            split = TrafficSplit(stable=100 - 2 * weight, control=weight, canary=weight)
            apply(tmp_path, LAYOUTS[number], split)
        last = TrafficSplit(stable=80 + number, control=20 - number)
        apply(tmp_path, LAYOUTS[number], last)
        return last

    with ThreadPoolExecutor(len(LAYOUTS)) as pool:
        last = list(pool.map(roll_out, range(len(LAYOUTS))))
    assert splits(tmp_path) == {
        layout.model: split_text(split) for layout, split in zip(LAYOUTS, last, strict=True)
    }


def test_a_restart_of_envoy_keeps_every_split_and_a_new_model_changes_none(tmp_path: Path) -> None:
    write_bootstrap(tmp_path, LAYOUTS[:2])
    apply(tmp_path, LAYOUTS[1], HALF)
    write_bootstrap(tmp_path, LAYOUTS)
    assert list(splits(tmp_path).values()) == [
        split_text(ALL_STABLE),
        split_text(HALF),
        split_text(ALL_STABLE),
    ]


def test_a_model_that_is_no_longer_served_leaves_no_route(tmp_path: Path) -> None:
    write_bootstrap(tmp_path, LAYOUTS)
    write_bootstrap(tmp_path, LAYOUTS[:1])
    assert list(splits(tmp_path)) == ["fares"]
    assert "support" not in json.dumps(routes(tmp_path))
    # requests for it are refused, and none is sent to another model's servers
    assert [route["direct_response"]["status"] for route in routes(tmp_path)[-2:]] == [404, 404]


def test_the_order_of_the_models_is_that_of_the_settings(tmp_path: Path) -> None:
    write_bootstrap(tmp_path, LAYOUTS)
    apply(tmp_path, LAYOUTS[2], HALF)
    write_bootstrap(tmp_path, LAYOUTS[::-1])
    assert list(splits(tmp_path)) == ["support", "big.tipper", "fares"]
    assert splits(tmp_path)["support"] == split_text(HALF)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"model": "fares"}'])
def test_a_file_that_somebody_broke_is_named(tmp_path: Path, content: str) -> None:
    write_bootstrap(tmp_path, LAYOUTS)
    (tmp_path / "models" / "fares.json").write_text(content)
    with pytest.raises(ConfigurationError, match=r"fares\.json is not what Driftline wrote"):
        apply(tmp_path, LAYOUTS[1], HALF)
    write_bootstrap(tmp_path, LAYOUTS)
    apply(tmp_path, LAYOUTS[1], HALF)
    assert splits(tmp_path)["big.tipper"] == split_text(HALF)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Routers that wait for the server of a test, however busy the machine is."""
    monkeypatch.setattr(router_module, "ADMIN_SECONDS", 60.0)


@pytest.mark.usefixtures("patient")
def test_models_that_ask_at_once_share_one_read_of_envoy(tmp_path: Path) -> None:
    with hung_server() as server:
        address = urlsplit(server.url)
        layouts = [replace(layout, admin_port=address.port or 0) for layout in LAYOUTS]
        version = json.dumps({layout.model: split_text(HALF) for layout in layouts[:2]})
        server.body = json.dumps({"configs": [{"version_info": version}]}).encode()
        shared = shared_reads(layouts[0])
        routers = [EnvoyRouter(tmp_path, layout, shared=shared) for layout in layouts]
        assert [router.current_split() for router in routers[:2]] == [HALF, HALF]
        with pytest.raises(UnavailableError, match="no routes of support yet"):
            routers[2].current_split()
        assert server.requests == 1
        for router in routers:
            router.close()


def test_a_change_of_a_split_touches_no_file_of_the_clusters(tmp_path: Path) -> None:
    """Envoy would read all of them again."""
    write_bootstrap(tmp_path, LAYOUTS)
    files = {file: file.stat().st_ino for file in (tmp_path / "clusters").iterdir()}
    apply(tmp_path, LAYOUTS[0], HALF)
    assert {file: file.stat().st_ino for file in (tmp_path / "clusters").iterdir()} == files
    assert {file.name for file in tmp_path.glob("*.json")} == {"rds.json", "bootstrap.json"}


@pytest.mark.usefixtures("patient")
def test_the_health_of_several_models_is_one_read_and_each_knows_its_own(tmp_path: Path) -> None:
    def lines(model: str, **hosts: int) -> list[str]:
        return [
            f"cluster.{cluster_name(role, proto, model)}.membership_healthy: {count}"
            for role, count in hosts.items()
            for proto in PROTOS
        ]

    with hung_server() as server:
        address = urlsplit(server.url)
        layouts = [replace(layout, admin_port=address.port or 0) for layout in LAYOUTS]
        first, second, third = (layout.model for layout in layouts)
        text = [*lines(first, stable=1, control=0, canary=1), *lines(second, stable=0, canary=1)]
        server.body = "\n".join(text).encode()
        shared = shared_reads(layouts[0])
        routers = [EnvoyRouter(tmp_path, layout, shared=shared) for layout in layouts]
        assert routers[0].healthy_servers() == ("stable", "canary")
        assert routers[1].healthy_servers() == ("canary",)
        with pytest.raises(UnavailableError, match=f"nothing about the health .* of {third}"):
            routers[2].healthy_servers()
        assert server.requests == 1
        for router in routers:
            router.close()
