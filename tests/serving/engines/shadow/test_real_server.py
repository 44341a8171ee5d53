"""The paired comparison on the real model server, with SavedModels that TensorFlow wrote."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from serving.engines.shadow.questioner import RestAnswers
from serving.paired import RecentRequests
from serving.shadow_rules import ShadowRules
from streaming.contracts.answer_records import PairedComparison
from streaming.contracts.model import FeatureSpec
from streaming.contracts.requests import instance
from tests.serving.engines.modelserver.server_process import MODEL, Server, start, stop
from tests.serving.rollout_simulation import version

pytestmark = pytest.mark.engine

FEATURES = (
    FeatureSpec(name="fare", kind="number"),
    FeatureSpec(name="hour", kind="integer"),
    FeatureSpec(name="payment", kind="text", categorical=True),
)
ROWS = 600


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    base = tmp_path_factory.mktemp("paired")
    script = Path(__file__).with_name("make_paired_models.py")
    completed = subprocess.run(
        [sys.executable, str(script), str(base)], check=False, capture_output=True, timeout=300
    )
    assert completed.returncode == 0, completed.stderr.decode()
    running = start(base, "--versions", "1,2,3,4,5,6,7,8,9")
    yield running
    stop(running)


def recent_requests() -> RecentRequests:
    rng = np.random.default_rng(4)
    fares = rng.lognormal(2.3, 0.6, ROWS)
    payments = rng.choice(["Cash", "Credit Card", ""], ROWS, p=[0.5, 0.45, 0.05]).tolist()
    events = [
        {
            "fare": None if number % 50 == 0 else float(fares[number]),  # missing is NaN
            "hour": int(rng.integers(24)),
            "payment": payments[number] or None,
        }
        for number in range(ROWS)
    ]
    return RecentRequests(
        rows=[f"trip-{number}" for number in range(ROWS)],
        instances=[instance(FEATURES, event) for event in events],
        slices={"payment": payments},
    )


def compared(server: Server, canary: int) -> PairedComparison:
    """The comparison, once it is not for want of answers: a busy machine leaves some out."""
    address = f"http://127.0.0.1:{server.rest_port}"
    answers = RestAnswers(
        champion_url=address,
        canary_url=address,
        rules=ShadowRules(batches_per_second=200.0),
        requests=lambda given_up: recent_requests(),
    )
    for _ in range(5):
        comparison = answers.compare(replace(version(canary), model=MODEL), 1)
        if comparison.outcome != "insufficient":
            break
    return comparison


def failed(comparison: PairedComparison) -> set[str]:
    return {check.name for check in comparison.checks if check.outcome == "fail"}


@pytest.mark.parametrize("number", [1, 2])
def test_the_champion_and_a_retrain_of_it_pass(server: Server, number: int) -> None:
    comparison = compared(server, number)
    assert comparison.outcome == "pass", comparison.reason
    assert comparison.rows == ROWS
    assert {entry.value for entry in comparison.slices} == {"Cash", "Credit Card", ""}


@pytest.mark.parametrize(
    ("number", "check"),
    [
        (3, "order"),
        (4, "order"),
        (5, "constant"),
        (6, "finite"),
        (7, "outputs"),
        (8, "outputs"),
        (9, "scale"),
    ],
    ids=[
        "flipped head",
        "shuffled inputs",
        "constant",
        "not finite",
        "renamed output",
        "other shape",
        "logits",
    ],
)
def test_a_broken_version_fails(server: Server, number: int, check: str) -> None:
    comparison = compared(server, number)
    assert comparison.outcome == "fail"
    assert check in failed(comparison), comparison.reason


def test_a_version_that_is_not_loaded_is_an_error(server: Server) -> None:
    assert compared(server, 77).outcome == "error"
