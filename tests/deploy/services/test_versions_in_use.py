"""Whatever a log says is in force, the clean-up never chooses it, under the hardest rules."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from deploy.app.deployment import Deployment
from deploy.services.retrain_files import retrain_files
from deploy.services.versions_in_use import versions_in_use
from retrain.clean_up import CleanUpRules, plan_clean_up
from streaming.contracts.log import MemoryLog
from streaming.contracts.records import ExperimentStatus, RetrainRequest
from streaming.contracts.topics import RECORD_TOPICS
from tests.deploy.cli.approval_records import request as approval_request
from tests.deploy.cli.builders import MODEL, status, version
from tests.deploy.cli.runner import DEMO
from tests.deploy.retrain_state import VERSIONS, RetrainState, retrain_state
from tests.retrain.builders import promotion, request
from tests.serving.experiments.experiment_world import arm, definition

NUMBERS = st.integers(1, 6)
HARDEST = CleanUpRules(keep_seconds=0.0, keep_versions=1, max_bytes=0, disk_full=True)
FAR = 1e12


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> RetrainState:
    return retrain_state(tmp_path_factory.mktemp("state"))


def experiment(number: int, phase: str) -> ExperimentStatus:
    arms = (arm("champion", 1, 2000), arm("other", number, 2000))
    return ExperimentStatus(
        record_id=f"experiment-{number}-{phase}",
        model=MODEL,
        at=50.0,
        definition=replace(definition(arms=arms), experiment_id=f"e{number}"),
        phase=phase,  # type: ignore[arg-type]
        outcome="",
        winner=0,
        reason="",
        started_at=20.0,
        stopped_at=None,
        ends_at=4_000.0,
    )


@settings(max_examples=60, deadline=None)
@given(
    promoted=st.lists(NUMBERS, max_size=4),
    rolled_out=st.none() | st.tuples(NUMBERS, NUMBERS),
    asked=st.none() | NUMBERS,
    compared=st.none() | NUMBERS,
    base=st.none() | NUMBERS,
)
def test_what_is_in_force_is_never_chosen(
    state: RetrainState,
    promoted: list[int],
    rolled_out: tuple[int, int] | None,
    asked: int | None,
    compared: int | None,
    base: int | None,
) -> None:
    log, needed = MemoryLog(), {max(VERSIONS)}
    log.ensure(RECORD_TOPICS)
    log.append([version(number, blessed=number < 5) for number in VERSIONS])
    live = 0
    for at, number in enumerate(promoted):
        log.append([replace(promotion(number, float(at), replaced=live), model=MODEL)])
        needed |= {number, live} if at == len(promoted) - 1 else set()
        live = number
    needed |= set(range(live + 1, 5))  # blessed, and may be rolled out yet
    if rolled_out is not None:
        log.append([status("canary", version=rolled_out[0], champion=rolled_out[1])])
        needed |= set(rolled_out)
    if asked is not None:
        log.append([approval_request(asked)])
        needed |= {asked, 1}
    if compared is not None:
        log.append([experiment(compared, "running")])
        needed |= {compared, 1}
    open_request: RetrainRequest | None = None
    if base is not None:
        open_request = replace(request("open", base_version=base), model=MODEL)
        log.append([open_request])
        needed.add(base)
    deployment = Deployment.load(DEMO, log_factory=lambda bootstrap: log)
    object.__setattr__(deployment, "base", state.home)
    plan = plan_clean_up(retrain_files(deployment, log), HARDEST, FAR)
    gone = {(removal.files.kind, removal.files.name) for removal in plan.removed}
    needed.discard(0)
    for number in needed:
        assert ("version", str(number)) not in gone
    held = versions_in_use(deployment, log, MODEL, [open_request] if open_request else []).reasons
    for number in held:
        assert ("run", f"request-{number}") not in gone
        assert ("logs", f"request-{number}/ModelRun") not in gone
    assert {("version", str(n)) for n in VERSIONS if n not in needed | set(held)} <= gone
