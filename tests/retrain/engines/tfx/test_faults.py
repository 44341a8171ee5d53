"""Each fault with the real trainer in its process: an early end that names cause and next step.

Nothing is published, no value of a row is told, and the same worker serves the next request.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from retrain.engines.memory import InMemoryRequestQueue, InMemoryRequests
from retrain.engines.model_store import FolderStore
from retrain.engines.trainer_process import TrainerProcess
from retrain.worker import Worker
from streaming.contracts.clock import SystemClock
from streaming.contracts.codec import decode
from streaming.contracts.log import MemoryLog
from streaming.contracts.records import Record, RetrainFailure, RetrainProgress
from streaming.contracts.topics import RECORD_TOPICS, RETRAIN_FAILURES, RETRAIN_PROGRESS, Topic
from tests.retrain.builders import model_version, request, servable
from tests.retrain.engines.taxi_trips import CONTRACT
from tests.retrain.engines.tfx.faulty_examples import SECRET, faulty_examples, real_trainer

pytestmark = pytest.mark.engine

HANGING = """
from dataclasses import replace
from retrain.models.big_tipper.contract import CODE as BIG_TIPPER
CODE = replace(BIG_TIPPER, preprocessing_fn="hanging_model.slow.preprocessing_fn")
"""
SLOW = """
import time
def preprocessing_fn(inputs):
    time.sleep(900)
"""

FULL = """
import errno
def preprocessing_fn(inputs):
    raise OSError(errno.ENOSPC, "No space left on device")
"""

FAULTS = (
    # base version, component, part of the reason, part of the advice
    ("full-disk", 0, "Examples", "No space is left on the worker's disk", "driftline prune"),
    (
        "full-disk-in-a-node",
        0,
        "Transform",
        "No space is left on the worker's disk",
        "driftline prune",
    ),
    ("one-class", 0, "Examples", "all 600 labels are 0; two classes", "rows of every class"),
    (
        "a-dozen-rows",
        0,
        "Examples",
        "there are 12 labels; at least 50",
        "request the retrain again",
    ),
    ("missing-champion", 7, "Champion", "Version 7 of big_tipper is not in the store", "roll back"),
    ("damaged-champion", 3, "Champion", "", "roll back"),
    (
        "syntax-error",
        0,
        "Trainer",
        "was never closed (contract.py, line 2)",
        "driftline model check",
    ),
    ("nan-inputs", 0, "Trainer", "fare", ""),
    ("hanging-node", 0, "Transform", "when the request's deadline passed", "retrain.deadline"),
)


class Faults:
    """A worker with the real trainer, for models of which two have unusable code."""

    def __init__(self, home: Path) -> None:
        self.log = MemoryLog()
        self.log.ensure(RECORD_TOPICS)
        self.requests = InMemoryRequests()
        self.store = FolderStore(home / "models")
        damaged = servable(home / "damaged")
        self.store.publish(replace(model_version(3, "earlier"), model="big_tipper"), damaged)
        self.trainer = TrainerProcess(
            partial(real_trainer, home), examples=faulty_examples, now=self.now
        )
        modules = {
            "syntax-error": "broken_model",
            "hanging-node": "hanging_model",
            "full-disk-in-a-node": "full_model",
        }
        contracts = {name: replace(CONTRACT, model=name, module=modules[name]) for name in modules}
        self.worker = Worker(
            requests=InMemoryRequestQueue(self.requests), log=self.log, trainer=self.trainer,
            store=self.store, examples=self.trainer, contracts={"big_tipper": CONTRACT} | contracts,
            clock=SystemClock(), name="w1", scratch=home / "scratch",
        )  # fmt: skip

    def failures(self) -> list[RetrainFailure]:
        return [r for r in self._records(RETRAIN_FAILURES) if isinstance(r, RetrainFailure)]

    def now(self) -> float:
        """The time against which the trainer's process holds deadlines; late once Transform hangs
        in the model that makes it."""
        hangs = any(
            isinstance(record, RetrainProgress)
            and (record.request_id, record.component) == ("hanging-node", "Transform")
            for record in self._records(RETRAIN_PROGRESS)
        )
        return time.time() + (3_600.0 if hangs else 0.0)

    def _records(self, topic: Topic) -> list[Record]:
        return [
            decode(message.value or b"")
            for span in self.log.spans(topic.name)
            for message in self.log.read(span)
        ]


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faults]:
    home = tmp_path_factory.mktemp("faults")
    for package, sources in {
        "broken_model": {"contract.py": "CODE = ModelCode(\n  features=[\n"},
        "hanging_model": {"contract.py": HANGING, "slow.py": SLOW},
        "full_model": {"contract.py": HANGING.replace("hanging", "full"), "slow.py": FULL},
    }.items():
        (home / package).mkdir()
        (home / package / "__init__.py").write_text("")
        for name, text in sources.items():
            (home / package / name).write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(home)  # the trainer's process gets it too
        of_module = Faults(home)
        of_module.trainer.warm()  # the imports are under no deadline
        yield of_module
        of_module.trainer.close()


@pytest.mark.parametrize(("fault", "base", "component", "reason", "advice"), FAULTS)
def test_a_fault_ends_early_with_its_cause_and_next_step(
    faults: Faults, fault: str, base: int, component: str, reason: str, advice: str
) -> None:
    now = time.time()
    model = fault if fault in faults.worker.contracts else "big_tipper"
    retrain_request = request(fault, at=now, deadline=now + 1_800.0, base_version=base)
    faults.requests.put(replace(retrain_request, model=model))
    assert faults.worker.run_once(0.0) == "failed"
    failure = faults.failures()[-1]
    assert (failure.request_id, failure.component, failure.attempt) == (fault, component, 1)
    assert reason in failure.reason
    assert advice in failure.advice
    assert len(failure.advice) > 20
    assert SECRET not in failure.reason + failure.advice
    assert faults.store.versions("big_tipper") == (3,)
    assert faults.store.versions(fault) == ()
    assert list((faults.worker.scratch).glob("*")) == []
