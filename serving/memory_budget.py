"""Which rollouts may load versions, where the memory of the model servers is limited.

A version takes what its files take, times a factor. A model at rest has its live version, and the
one that its control server keeps as a stand-in. A rollout needs the champion on two servers, and
the candidate on the canary and, during the change-over, on the stable server beside the champion.
It gets all of that at once or nothing, so rollouts never wait for each other in a circle. Those
that wait are served in the order in which they came, so a large one is not passed over for ever.
"""

from __future__ import annotations

from collections.abc import Mapping

from serving.phase import Phase
from serving.ports import MemoryAnswer, MemoryDemand
from serving.rules import RolloutRules
from serving.state import Rollout, RolloutState
from streaming.contracts.base import Value

FILE_FACTOR = 1.2
"""Memory of a loaded version by the size of its files; TF Serving estimates with the same factor
(``kResourceEstimateRAMMultiplier`` in its ``bundle_factory_util.cc``)."""


class Claim(Value, frozen=True, kw_only=True):
    """What one model takes, in bytes."""

    at_rest: int
    rollout: int = 0
    """What its rollout needs in all; 0 without one."""
    granted: bool = False
    """Whether the rollout has its memory."""
    since: float = 0.0
    """When the rollout first asked, seconds since 1970."""

    @property
    def waits(self) -> bool:
        """Whether a rollout waits for memory."""
        return self.rollout > 0 and not self.granted

    @property
    def held(self) -> int:
        """What the model may take now."""
        return self.rollout if self.granted else self.at_rest


def demand(state: RolloutState) -> MemoryDemand:
    """The versions that a model has loaded at rest, and those of its rollout, once per server."""
    live = state.live.version if state.live is not None else 0
    previous = state.previous.version if state.previous is not None else live
    at_rest = (live, previous) if live else ()
    rollout = state.rollout
    if rollout is None:
        return MemoryDemand(at_rest=at_rest)
    version, champion = rollout.candidate.version, rollout.champion
    needed = (champion, champion, version, version) if champion else (version,)
    return MemoryDemand(at_rest=at_rest, rollout=needed, granted=rollout.memory_granted)


def awaits_memory(rollout: Rollout | None, rules: RolloutRules) -> bool:
    """Whether a rollout must not load its versions yet."""
    if rollout is None or not rules.memory_limited or not rules.served or rollout.memory_granted:
        return False
    first = rollout.phase is Phase.PROMOTING and not rollout.champion
    return rollout.phase is Phase.PREPARING or first


def decide(model: str, claims: Mapping[str, Claim], budget: int) -> MemoryAnswer:
    """Whether the rollout of a model gets its memory.

    Parameters
    ----------
    model:
        The model that asks.
    claims:
        Those of every model, the asking one included.
    budget:
        Bytes for all of them.
    """
    mine = claims[model]
    others = {name: claim for name, claim in claims.items() if name != model}
    need = _size(mine.rollout)
    at_rest = sum(claim.at_rest for claim in others.values())
    if at_rest + mine.rollout > budget:
        return MemoryAnswer(
            outcome="impossible",
            reason=f"The rollout needs {need} of memory, the versions of other models at rest take "
            f"{_size(at_rest)}, and the limit is {_size(budget)} (local.model_memory).",
        )
    earlier = [
        name
        for name, claim in others.items()
        if claim.waits
        and (claim.since, name) < (mine.since, model)
        and _possible(name, claims, budget)
    ]
    held = sum(claim.held for claim in others.values())
    if not earlier and held + mine.rollout <= budget:
        return MemoryAnswer(
            outcome="granted",
            reason=f"The rollout has its memory: {need} beside {_size(held)} of other models, "
            f"of {_size(budget)}.",
        )
    busy = sorted(name for name, claim in others.items() if claim.rollout and claim.granted)
    holders = f"the rollout of {', '.join(busy)}" if busy else "other models"
    cause = f"the rollout of {', '.join(sorted(earlier))} waits longer" if earlier else holders
    return MemoryAnswer(
        outcome="waits",
        reason=f"It waits for {need} of memory: other models hold {_size(held)} of "
        f"{_size(budget)} ({cause}).",
    )


def _possible(model: str, claims: Mapping[str, Claim], budget: int) -> bool:
    others = sum(claim.at_rest for name, claim in claims.items() if name != model)
    return others + claims[model].rollout <= budget


def _size(value: float) -> str:
    """A size for people.

    >>> _size(2_500_000_000), _size(1_200_000)
    ('2.5 GB', '1.2 MB')
    """
    unit, factor = ("GB", 1e9) if value >= 1e9 else ("MB", 1e6)
    return f"{value / factor:.3g} {unit}"
