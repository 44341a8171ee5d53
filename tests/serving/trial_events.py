"""The events of a random trial: commands, faults, deletions, clocks and crashes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec.structs import replace

from serving.ports import Role
from serving.state import RolloutState
from streaming.contracts.records import Action, CanaryVerdict, Promotion, Record
from tests.serving.rollout_simulation import version

if TYPE_CHECKING:
    from tests.serving.random_trial import Trial

ACTIONS: tuple[Action, ...] = (
    "approve",
    "approve",
    "reject",
    "pause",
    "resume",
    "promote",
    "abort",
    "rollback",
    "retry",
)


def publish_version(trial: Trial) -> None:
    trial.publish_version()


def give_command(trial: Trial) -> None:
    action, rollout = trial.chance.choice(ACTIONS), trial.state.rollout
    number = rollout.candidate.version if rollout is not None else 0
    if action == "retry":
        number = trial.chance.randint(1, max(1, trial.newest))
    elif action not in ("approve", "promote"):
        number = trial.chance.choice([0, number])
    age = trial.chance.choice([0.0, 0.0, 0.0, 2.6e6])
    force = trial.chance.random() < 0.3
    trial.events[-1] += f" {action} {number}{' force' * force}"
    who = trial.chance.choice(["ann", "ben", "eve"])
    trial.command(action, number, age=age, force=force, who=who)


def several_people_approve(trial: Trial) -> None:
    rollout = trial.state.rollout
    for who in trial.chance.choices(["ann", "ben", "eve"], k=3):
        if rollout is not None:
            trial.command("approve", rollout.candidate.version, who=who)


def publish_it_again_with_other_bytes(trial: Trial) -> None:
    """A number that stands for two versions; nobody approved the second one."""
    again = version(trial.newest)
    artifact = replace(again.artifact, digest=f"other-{trial.newest}")
    trial.republished.append(replace(again, record_id=f"again-{trial.newest}", artifact=artifact))
    trial.deliver(trial.republished[-1])


def crash_before_sending(trial: Trial) -> None:
    trial.tick(crash="before sending")


def crash_after_sending(trial: Trial) -> None:
    trial.tick(crash="after sending")


def lose_the_table(trial: Trial) -> None:
    """State and offsets are gone: topics are read again, in any order of topics."""
    trial.state = RolloutState(model="m")
    records = trial.log.records
    by_topic: list[list[Record]] = [
        list(trial.versions),
        [entry for entry in records if isinstance(entry, Promotion)],
        [entry for entry in records if isinstance(entry, CanaryVerdict)],
    ]
    trial.unread = []
    while any(by_topic):
        topic = trial.chance.choice([topic for topic in by_topic if topic])
        trial.deliver(topic.pop(0))
        if trial.chance.random() < 0.3:
            trial.tick()


def change_the_clock(trial: Trial) -> None:
    jump = trial.chance.choice([40.0, 4000.0, 1e6, -4.0, -60.0, -4000.0])
    trial.events[-1] += f" {jump:.0f}"
    trial.now += jump
    if jump < 0:  # Prometheus takes no samples for times that it has passed; ours forgets
        taken = trial.serving.metrics.taken
        taken[:] = [scrape for scrape in taken if scrape.at <= trial.now - 1.0]
        trial.serving.started += jump
    else:
        trial.serving.started += jump


def kill_a_server(trial: Trial) -> None:
    trial.serving.servers.kill(trial.chance.choice(["stable", "control", "canary"]))


def restart_servers(trial: Trial) -> None:
    for role in list(trial.serving.servers.down):
        trial.serving.servers.revive(role)


def delete_a_version(trial: Trial) -> None:
    number = trial.chance.randint(1, max(1, trial.newest))
    trial.events[-1] += f" {number}"
    trial.serving.servers.store.discard(number)


def lose_everything_loaded(trial: Trial) -> None:
    for role in ("stable", "control", "canary"):
        if trial.chance.random() < 0.6:
            trial.serving.servers.kill(role)
            trial.serving.servers.revive(role)


def change_a_version(trial: Trial) -> None:
    number = max(1, trial.newest - trial.chance.randint(0, 1))
    share = trial.chance.choice([0.0, 0.02, 0.3, 0.45, 1.0])
    kind = trial.chance.choice(["errors", "slow"])
    trial.events[-1] += f" {number} {kind} {share}"
    setattr(trial.serving, kind, {number: share})


def make_a_server_sick(trial: Trial) -> None:
    """Whatever its version: until it is killed or replaced by a fresh one."""
    roles: list[Role] = ["control", "control", "canary", "stable"]
    role = trial.chance.choice(roles)
    share = trial.chance.choice([0.05, 0.3])
    trial.events[-1] += f" {role} {share}"
    trial.serving.servers.sick[role] = share


def change_the_traffic(trial: Trial) -> None:
    trial.serving.rate = trial.chance.choice([0.0, 5.0, 60.0])


def break_or_mend_an_engine(trial: Trial) -> None:
    serving = trial.serving
    part = trial.chance.choice([serving.metrics, serving.router, serving.references, trial.log])
    part.down = not part.down  # type: ignore[attr-defined]
    trial.events[-1] += f" {type(part).__name__} {part.down}"  # type: ignore[attr-defined]


def let_the_router_lag(trial: Trial) -> None:
    """Envoy holds some servers unhealthy, whatever they have, until this comes again."""
    roles: tuple[Role, ...] = ("stable", "control", "canary")
    unhealthy = {role for role in roles if trial.chance.random() < 0.3}
    trial.events[-1] += f" {sorted(unhealthy)}"
    trial.serving.router.unhealthy = unhealthy


def restart_the_router(trial: Trial) -> None:
    trial.serving.restart_router(trial.now)


def load_slowly_or_quickly(trial: Trial) -> None:
    trial.serving.servers.load_seconds = trial.chance.choice([0.2, 0.2, 6.0])


EVENTS: tuple[Callable[[Trial], None], ...] = (
    publish_version,
    publish_version,
    publish_version,
    give_command,
    give_command,
    give_command,
    several_people_approve,
    several_people_approve,
    publish_it_again_with_other_bytes,
    crash_before_sending,
    crash_after_sending,
    lose_the_table,
    change_the_clock,
    kill_a_server,
    restart_servers,
    restart_servers,
    delete_a_version,
    lose_everything_loaded,
    change_a_version,
    make_a_server_sick,
    make_a_server_sick,
    change_the_traffic,
    break_or_mend_an_engine,
    break_or_mend_an_engine,
    restart_the_router,
    let_the_router_lag,
    load_slowly_or_quickly,
)
