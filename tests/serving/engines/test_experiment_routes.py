"""An experiment on a running Envoy: users keep their arm, shares hold, testers choose a version."""

from __future__ import annotations

from collections import Counter
from math import sqrt

import grpc
import httpx
import pytest

from serving.engines.envoy.experiment_routes import CHOICE_HEADER, EXPERIMENT_ARM_HEADER
from serving.engines.envoy.names import ARM_HEADER
from serving.ports import ALL_STABLE, ArmShare, ExperimentSplit, TrafficSplit
from streaming.contracts.experiment_assignment import SHARES, user_hash
from tests.serving.engines.serving_stack import PREDICT_PATH, ROLES, ServingStack

pytestmark = pytest.mark.engine

ARMS = (
    ArmShare(name="champion", version=1, share=3000, arm="stable"),
    ArmShare(name="v2", version=2, share=2000, arm="canary"),
    ArmShare(name="v3", version=3, share=1000, arm="control"),
)
USERS = [f"user-{number}" for number in range(900)] + [
    f"someone.with.a.much.longer.name+{number}@example.org" for number in range(300)
]


@pytest.fixture(autouse=True)
def _healthy(serving_stack: ServingStack) -> None:
    for role in ROLES:
        if role not in serving_stack.running:
            serving_stack.start(role)
        serving_stack.fault(role)
    serving_stack.route(ALL_STABLE)
    serving_stack.wait_until_healthy()


def experiment(salt: str = "5a1f", arms: tuple[ArmShare, ...] = ARMS) -> TrafficSplit:
    return TrafficSplit(experiment=ExperimentSplit(salt=salt, header="x-user-id", arms=arms))


def assigned(salt: str, user: str) -> str:
    """The arm by the function that counts users."""
    position = user_hash(salt, user) % SHARES
    for arm in ARMS:
        if position < arm.share:
            return arm.name
        position -= arm.share
    return ""


def arms_met(stack: ServingStack, users: list[str]) -> dict[str, str]:
    url = f"http://127.0.0.1:{stack.layout.port}{PREDICT_PATH}"
    with httpx.Client() as client:
        return {
            user: client.post(url, json={}, headers={"x-user-id": user}).headers.get(
                EXPERIMENT_ARM_HEADER, ""
            )
            for user in users
        }


def test_each_user_always_meets_the_arm_that_the_counter_computes(
    serving_stack: ServingStack,
) -> None:
    serving_stack.route(experiment())
    first = arms_met(serving_stack, USERS)
    assert first == {user: assigned("5a1f", user) for user in USERS}
    assert arms_met(serving_stack, USERS[:200]) == {user: first[user] for user in USERS[:200]}
    users_by_arm = Counter(first.values())
    for arm in ARMS:
        share = arm.share / SHARES
        error = 4 * sqrt(share * (1 - share) * len(USERS))
        assert users_by_arm[arm.name] == pytest.approx(share * len(USERS), abs=error)


def test_users_whose_names_are_no_ascii_are_hashed_as_utf8(serving_stack: ServingStack) -> None:
    serving_stack.route(experiment())
    url = f"http://127.0.0.1:{serving_stack.layout.port}{PREDICT_PATH}"
    for user in ("josé", "Ωmega-7", "用户", "a b|c", "x" * 300):
        answer = httpx.post(url, json={}, headers={b"x-user-id": user.encode()})
        assert answer.headers.get(EXPERIMENT_ARM_HEADER, "") == assigned("5a1f", user)


def test_another_experiment_assigns_users_independently(serving_stack: ServingStack) -> None:
    serving_stack.route(experiment("b7"))
    users = USERS[:400]
    second = arms_met(serving_stack, users)
    assert second == {user: assigned("b7", user) for user in users}
    in_both = sum(second[user] == "v2" == assigned("5a1f", user) for user in users)
    assert in_both == pytest.approx(0.04 * len(users), abs=4 * sqrt(0.04 * len(users)))


def test_the_server_of_the_arm_answers_by_rest_and_grpc(serving_stack: ServingStack) -> None:
    serving_stack.route(experiment())
    server_of = {"champion": "stable", "v2": "canary", "v3": "control", "": "stable"}
    url = f"http://127.0.0.1:{serving_stack.layout.port}{PREDICT_PATH}"
    with grpc.insecure_channel(f"127.0.0.1:{serving_stack.layout.port}") as channel:
        predict = channel.unary_unary(
            "/tensorflow.serving.PredictionService/Predict",
            request_serializer=bytes,
            response_deserializer=bytes,
        )
        for user in USERS[:60]:
            server = server_of[assigned("5a1f", user)]
            answer = httpx.post(url, json={}, headers={"x-user-id": user})
            assert answer.json()["name"] == server
            assert predict(b"", metadata=(("x-user-id", user),)).decode() == server


def test_requests_without_a_user_go_to_the_champion_and_count_for_no_arm(
    serving_stack: ServingStack,
) -> None:
    serving_stack.route(experiment())
    url = f"http://127.0.0.1:{serving_stack.layout.port}{PREDICT_PATH}"
    counters = r"^cluster\.(stable|canary|control)fb_rest__fake\.upstream_rq_completed$"
    before = serving_stack.envoy_counters(counters)
    for headers in ({}, {"x-user-id": ""}):
        for _ in range(20):
            answer = httpx.post(url, json={}, headers=headers)
            assert answer.json()["name"] == "stable"
            assert answer.headers[ARM_HEADER] == "stable"
            assert EXPERIMENT_ARM_HEADER not in answer.headers
    assert serving_stack.envoy_counters(counters) == before
    # the alerts on errors and latency see them all the same
    seen = serving_stack.envoy_counters(r"^cluster\.outsidefb_rest__fake\.upstream_rq_completed$")
    assert sum(seen.values()) >= 40


def test_a_tester_gets_the_chosen_version_and_counts_for_no_arm(
    serving_stack: ServingStack,
) -> None:
    serving_stack.route(experiment())
    url = f"http://127.0.0.1:{serving_stack.layout.port}{PREDICT_PATH}"
    counters = r"^cluster\.(stable|canary|control)fb_rest__fake\.upstream_rq_completed$"
    before = serving_stack.envoy_counters(counters)
    for version, server in (("1", "stable"), ("2", "canary"), ("3", "control")):
        headers = {"x-user-id": USERS[0], CHOICE_HEADER: version}
        answer = httpx.post(url, json={}, headers=headers)
        assert (answer.json()["name"], answer.headers[ARM_HEADER]) == (server, "chosen")
    refused = httpx.post(url, json={}, headers={CHOICE_HEADER: "7"})
    assert refused.status_code == 404
    assert "must be one of 1, 2, 3" in refused.json()["error"]
    assert serving_stack.envoy_counters(counters) == before


def test_an_arm_that_dies_or_is_taken_out_costs_no_request(serving_stack: ServingStack) -> None:
    serving_stack.route(experiment())
    met = [user for user in USERS if assigned("5a1f", user) == "v2"][:40]
    url = f"http://127.0.0.1:{serving_stack.layout.port}{PREDICT_PATH}"
    serving_stack.kill("canary")
    answers = [httpx.post(url, json={}, headers={"x-user-id": user}) for user in met]
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.json()["name"] for answer in answers} == {"stable"}
    dropped = tuple(
        arm if arm.name != "v2" else ArmShare(name="v2", version=2, share=2000, arm=None)
        for arm in ARMS
    )
    serving_stack.route(experiment(arms=dropped))
    assert set(arms_met(serving_stack, met).values()) == {""}
    others = [user for user in USERS if assigned("5a1f", user) == "v3"][:20]
    assert set(arms_met(serving_stack, others).values()) == {"v3"}


def test_envoy_takes_the_routes_and_gives_them_back(serving_stack: ServingStack) -> None:
    serving_stack.route(experiment())
    serving_stack.route(ALL_STABLE)
    assert serving_stack.router.current_split() == ALL_STABLE
