"""Which server an arm uses, what the servers must have, and the split of the users.

The champion's arm is the stable server. The first other arm is the canary server, the second the
control server, which has the champion while there is no second one: so the stable server's fallback
has the same version. An experiment has at most three arms, one for each server.
"""

from __future__ import annotations

from serving.experiments.state import Experiment
from serving.ports import Arm, ArmShare, ExperimentSplit, Role, TrafficSplit
from streaming.contracts.experiment_records import ExperimentArm

_ARMS: tuple[Arm, ...] = ("stable", "canary", "control")
_ROLES: tuple[Role, ...] = ("stable", "canary", "control")
MAX_ARMS = len(_ARMS)


def arms_of(experiment: Experiment) -> tuple[tuple[Arm, ExperimentArm], ...]:
    """Envoy's arm and the experiment's, the champion first; also those that were taken out."""
    return tuple(zip(_ARMS, experiment.definition.arms, strict=False))


def versions_by_role(experiment: Experiment) -> dict[Role, int]:
    """The version that each server must have while the arms are prepared or in use."""
    versions = [arm.version for arm in experiment.definition.arms]
    loads = dict(zip(_ROLES, versions, strict=False))
    return {"stable": versions[0], "control": versions[0], **loads}


def user_split(experiment: Experiment) -> TrafficSplit:
    """The split while users meet their arms. Users of an arm that was taken out meet the champion;
    nobody else's arm changes by that."""
    definition = experiment.definition
    return TrafficSplit(
        experiment=ExperimentSplit(
            salt=definition.experiment_id,
            header=definition.user_header,
            arms=tuple(
                ArmShare(
                    name=arm.name,
                    version=arm.version,
                    share=arm.share,
                    arm=None if arm.name in experiment.dropped else where,
                )
                for where, arm in arms_of(experiment)
            ),
        )
    )
