"""Labels of several models are bound side by side; what is missing is counted and logged once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

import pytest
from structlog.testing import capture_logs

from deploy.daemon.labelled_versions import LabelledVersions, LabelTicks
from deploy.metrics.exporter import MetricsExporter
from serving.engines.label_server import LabelServer
from streaming.contracts.errors import UnavailableError


@dataclass
class Server:
    """Binds every label at the second step."""

    down: bool = False
    targets: list[dict[str, int]] = field(default_factory=list)

    def step(self, target: Mapping[str, int]) -> tuple[str, ...]:
        if self.down:
            raise UnavailableError("The server of labelled versions does not answer.")
        self.targets.append(dict(target))
        return tuple(target) if len(self.targets) == 1 else ()


def labelled(server: Server, model: str = "fares", **labels: int) -> LabelledVersions:
    return LabelledVersions(model, cast(LabelServer, server), labels, {1, 2}.__contains__)


def test_a_version_that_the_store_lacks_holds_no_other_label_up() -> None:
    server = Server()
    versions = labelled(server, old=1, gone=9)
    with capture_logs() as logs:
        assert [versions.step() for _ in range(3)] == [2, 1, 1]
    assert server.targets[-1] == {"old": 1}
    assert [entry["problem"] for entry in logs] == ["The store has no version for gone (9)."]


def test_a_server_that_does_not_answer_leaves_every_label_waiting() -> None:
    server = Server(down=True)
    versions = labelled(server, old=1, best=2)
    assert versions.step() == 2
    server.down = False
    assert [versions.step(), versions.step()] == [2, 0]


@pytest.mark.parametrize("down", [True, False])
def test_one_models_server_holds_up_no_other_model(down: bool) -> None:
    exporter = MetricsExporter()
    first, second = Server(down=down), Server()
    ticks = LabelTicks(
        (labelled(first, "fares", old=1), labelled(second, "support", old=2)), exporter
    )

    async def steps() -> None:
        for _ in range(2):
            await ticks.begin()
            await ticks.done()

    asyncio.run(steps())

    def waiting(model: str) -> float | None:
        return exporter.registry.get_sample_value("driftline_labels_waiting", {"model": model})

    assert (waiting("fares"), waiting("support")) == (1.0 if down else 0.0, 0.0)
