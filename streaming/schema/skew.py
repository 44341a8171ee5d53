"""Skew between training and serving: served values that never resembled the training data.

The reference of a version is the data it was trained on, so the drift verdict already compares the
two. Skew differs from drift in when it began: a feature that is beyond its limit in the very first
windows of a version, and in every window since, was served differently from how it was trained.
There is no additional test, so there is no additional false alarm either.
"""

from __future__ import annotations

import msgspec

from streaming.contracts.records import ALARMED, DriftVerdict, SchemaFinding

FIRST_WINDOWS = 5
"""Number of windows that count as the beginning of a version."""


class SkewState(msgspec.Struct, frozen=True, kw_only=True):
    """State of skew detection for the live version."""

    reference_id: str = ""
    judged_windows: int = 0
    """Judged windows since the version is live, counted up to `FIRST_WINDOWS` + 1."""
    skewed: tuple[str, ...] = ()
    """Features that have been beyond their limit since the beginning."""


def find_skew(
    state: SkewState, verdict: DriftVerdict, limit: float
) -> tuple[SkewState, tuple[SchemaFinding, ...]]:
    """The state after a drift verdict, and a finding for each skewed feature.

    Parameters
    ----------
    limit:
        Smallest effect that is reported as drift, in standard deviations.
    """
    if not verdict.reference_id or verdict.outcome == "inconclusive":
        return state, ()
    if verdict.reference_id != state.reference_id:
        state = SkewState(reference_id=verdict.reference_id)
    beyond = {
        feature.feature: feature for feature in verdict.features if feature.outcome in ALARMED
    }
    judged_windows = min(state.judged_windows + 1, FIRST_WINDOWS + 1)
    new = frozenset(beyond) if judged_windows <= FIRST_WINDOWS else frozenset[str]()
    skewed = tuple(sorted((new | frozenset(state.skewed)) & frozenset(beyond)))
    findings = tuple(
        SchemaFinding(
            kind="skew",
            feature=name,
            outcome="suspected",
            reason=(
                f"Since version {verdict.reference_version} went live, served values differ by "
                f"{beyond[name].effect:+.2f} sd from its training data."
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
    new_state = SkewState(
        reference_id=state.reference_id, judged_windows=judged_windows, skewed=skewed
    )
    return new_state, findings
