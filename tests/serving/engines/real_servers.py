"""The serving stack with real model servers, clients that use it, and a rollout on it."""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import dataclass, field
from typing import Any, Literal

import grpc
import httpx
import numpy as np
from numpy.typing import NDArray

from serving import handlers
from serving.engines.envoy.names import ARM_HEADER
from serving.engines.memory import InMemoryAnswers, InMemoryReferences
from serving.engines.modelserver import protos
from serving.engines.modelserver.tensor_proto import encode
from serving.engines.tfserving import TfServing
from serving.phase import Phase
from serving.ports import Role, ServingPorts
from serving.rules import RolloutRules
from serving.state import RolloutState
from tests.background import Background
from tests.serving.engines.serving_stack import ServingStack, answers
from tests.serving.rollout_simulation import version
from tests.waiting import wait_for

TICK_SECONDS = 0.5
"""As the daemon ticks while a candidate has clients."""
RATE = 60.0
"""Requests per second of each protocol."""

Moment = Literal["50 %", "bake"]


class RealServers(ServingStack):
    """The stack with the embedded model server in place of the fake one."""

    def start(self, role: Role) -> None:
        end = self.layout.endpoints[role]
        flags = {
            "--role": role,
            "--grpc-port": end.grpc_port,
            "--rest-port": end.rest_port,
            "--model-name": self.layout.model,
            "--base-path": self.folder / "models",
            "--versions": "1",
            "--fault-file": self.folder / f"{role}.json",
        }
        words = [str(word) for pair in flags.items() for word in pair]
        self.spawn(role, sys.executable, "-m", "serving.engines.modelserver", *words)
        url = f"http://127.0.0.1:{end.rest_port}/v1/models/{self.layout.model}"
        wait_for(lambda: answers(url), seconds=60.0)

    def candidate_role(self, moment: Moment) -> Role:
        """The server that serves the candidate."""
        return "canary" if moment == "50 %" else "stable"


def predict_request(model: str) -> Any:
    """The prediction that the clients send by gRPC."""
    message = protos.PredictRequest()
    message.model_spec.name = model
    columns: dict[str, NDArray[Any]] = {
        "fare": np.array([[12.5]], np.float32),
        "hour": np.array([[3]], np.int64),
        "payment": np.array([[b"Cash"]], object),
    }
    for name, column in columns.items():
        message.inputs[name].CopyFrom(encode(column))
    return message


@dataclass
class Clients(Background):
    """Sends REST and gRPC predictions from a thread of its own."""

    stack: ServingStack
    total: int = 0
    failed: list[str] = field(default_factory=list)
    arms: list[tuple[float, str]] = field(default_factory=list)
    """When each REST request was answered, and by which arm."""

    def work(self) -> None:
        asyncio.run(self._send())

    async def _send(self) -> None:
        address, model = f"127.0.0.1:{self.stack.layout.port}", self.stack.layout.model
        body = {"instances": [{"fare": [12.5], "hour": [3], "payment": ["Cash"]}]}
        message = predict_request(model)
        async with (
            httpx.AsyncClient(base_url=f"http://{address}", timeout=15.0) as client,
            grpc.aio.insecure_channel(address) as channel,
        ):
            predict = channel.unary_unary(
                "/tensorflow.serving.PredictionService/Predict",
                request_serializer=lambda request: request.SerializeToString(),
                response_deserializer=bytes,
            )

            async def rest() -> None:
                response = await client.post(f"/v1/models/{model}:predict", json=body)
                self.arms.append((time.time(), response.headers.get(ARM_HEADER, "")))
                if response.status_code != 200:
                    self.failed.append(f"REST {response.status_code} {response.text[:80]}")

            async def grpc_call() -> None:
                try:
                    await predict(message, timeout=15.0)
                except grpc.aio.AioRpcError as error:
                    self.failed.append(f"gRPC {error.code().name} {str(error.details())[:80]}")

            began, tasks = time.monotonic(), []
            while not self.stopped:
                tasks += [asyncio.create_task(rest()), asyncio.create_task(grpc_call())]
                self.total += 2
                await asyncio.sleep(max(0.0, began + self.total / 2 / RATE - time.monotonic()))
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(result, Exception):
                    self.failed.append(repr(result)[:80])


@dataclass
class Controller(Background):
    """The rollout controller on a thread, on the real servers, ticking as the daemon does."""

    stack: RealServers
    rules: RolloutRules
    state: RolloutState = field(default_factory=lambda: RolloutState(model="m"))

    def work(self) -> None:
        servers = TfServing(self.stack.layout, base_path=str(self.stack.folder / "models"))
        ports = ServingPorts(
            router=self.stack.router,
            servers=servers,
            metrics=self.stack.metrics,
            references=InMemoryReferences(),
            answers=InMemoryAnswers(),
        )
        published = 0
        while not self._stop.wait(TICK_SECONDS):
            now = time.time()
            if published < 2 and self.live == published:
                published += 1
                record = version(published)
                self.state = handlers.handle(self.state, record, rules=self.rules, now=now).state
            observed = handlers.observe(ports, self.state, now=now)
            transition = handlers.tick(self.state, observed, rules=self.rules, now=now)
            self.state = transition.state
            handlers.perform(transition.actions, ports)
        servers.close()

    @property
    def live(self) -> int:
        return self.state.live.version if self.state.live is not None else 0

    def wait_for_the(self, moment: Moment) -> None:
        """Wait until the canary has 50 %, or the candidate bakes."""
        wait_for(lambda: self.reached(moment), seconds=120.0)

    def reached(self, moment: Moment) -> bool:
        if moment == "bake":
            return self.state.phase is Phase.BAKING
        return self.state.phase is Phase.STEPPING and self.stack.router.current_split().canary == 50
