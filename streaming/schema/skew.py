"""Skew between training and serving: served values that never looked like the training data.

The yardstick of a version is the data it was trained on, so the drift judge already compares the
two. What tells skew from drift is when it began: a feature that is beyond its limit in the very
first windows of a version was served differently from how it was trained, and did not move since.
No test is added, so no false alarm either.
"""

from __future__ import annotations

import msgspec

from streaming.contracts.records import ALARMED, DriftVerdict, SchemaFinding

FIRST = 5
"""Windows of a version that count as its beginning."""


class SkewState(msgspec.Struct, frozen=True, kw_only=True):
    """What is remembered of the version that is live."""

    reference_id: str = ""
    seen: int = 0
    """Judged windows since it is live; counted to `FIRST`."""
    skewed: tuple[str, ...] = ()
    """Features beyond their limit since the beginning."""


def skew(
    state: SkewState, verdict: DriftVerdict, limit: float
) -> tuple[SkewState, tuple[SchemaFinding, ...]]:
    """The state after one more drift verdict, and the features that are skewed.

    Parameters
    ----------
    limit:
        Smallest effect that the drift judge reports, in standard deviations.
    """
    if not verdict.reference_id or verdict.outcome == "inconclusive":
        return state, ()
    if verdict.reference_id != state.reference_id:
        state = SkewState(reference_id=verdict.reference_id)
    beyond = {one.feature: one for one in verdict.features if one.outcome in ALARMED}
    seen = min(state.seen + 1, FIRST + 1)
    began = frozenset(beyond) if seen <= FIRST else frozenset[str]()
    skewed = tuple(sorted((began | frozenset(state.skewed)) & frozenset(beyond)))
    found = tuple(
        SchemaFinding(
            kind="skew",
            feature=name,
            outcome="suspected",
            reason=(
                f"Since version {verdict.reference_version} is live it is served "
                f"{beyond[name].effect:+.2f} sd from what the version was trained on."
            ),
            value=beyond[name].effect,
            limit=limit,
            n=beyond[name].n,
            hits=beyond[name].hits,
            of=beyond[name].of,
            since=verdict.window_start,
        )
        for name in skewed
    )
    kept = SkewState(reference_id=state.reference_id, seen=seen, skewed=skewed)
    return kept, found
