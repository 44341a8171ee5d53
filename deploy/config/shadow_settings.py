"""The settings of the paired comparison of answers, below `models.NAME.rollout.shadow`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from deploy.config.types import Percent, PositiveDuration, Section
from serving.shadow_rules import ShadowRules, Undecided

_SHADOW = ShadowRules()


class ShadowSettings(Section):
    """The paired comparison before the first weight: both versions answer recent requests."""

    enabled: bool = _SHADOW.enabled
    """Whether the answers are compared before clients reach a version."""
    rows: int = Field(default=_SHADOW.rows, ge=1)
    """Recent events that both versions answer."""
    min_rows: int = Field(default=_SHADOW.min_rows, ge=1)
    """With fewer answered rows the comparison cannot decide."""
    windows: int = Field(default=_SHADOW.windows, ge=1)
    """The events come from this many of the last windows, and from as long before them as
    `labels.mature_after`; for a version that a shift caused only from the shift on."""
    threshold: float = _SHADOW.threshold
    """An answer of at least this much counts as the decision yes."""
    rank_correlation: float = Field(default=_SHADOW.rank_correlation, ge=-1, lt=1)
    """Smallest Spearman rank correlation of both versions' answers. Below it, labels decide;
    without them a version fails, or, if it was trained because of drift or lost quality, is left
    to `undecided`."""
    auc_fall: float = Field(default=_SHADOW.auc_fall, ge=0)
    """A version whose AUC on recent labelled rows is proven to be lower than the champion's by more
    than this fails."""
    min_labels: int = Field(default=_SHADOW.min_labels, ge=2)
    """Labelled rows that the labels' check needs."""
    unanswered: Percent = _SHADOW.unanswered
    """Share of the rows that the version may fail to answer beyond those of the champion."""
    agreement: Percent | None = _SHADOW.agreement
    """Smallest share of equal decisions. null: shown only."""
    slice_agreement: Percent | None = _SHADOW.slice_agreement
    """Smallest share of equal decisions in any slice. null: shown only."""
    mean_difference: Annotated[float, Field(ge=0)] | None = _SHADOW.mean_difference
    """Largest mean difference of the answers. null: shown only."""
    ks: Annotated[float, Field(ge=0, le=1)] | None = _SHADOW.ks
    """Largest Kolmogorov-Smirnov distance of the answers. null: shown only."""
    slices: tuple[str, ...] | None = _SHADOW.slices
    """Features whose values form slices. null: those of the model's evaluation."""
    deadline: PositiveDuration = _SHADOW.deadline_seconds
    """After this long without a result that decides, `undecided` applies."""
    undecided: Undecided = _SHADOW.undecided
    """What follows a comparison with too few requests, a server that is away, or an order that
    nothing confirms: approve (an engineer decides), roll-back or continue."""

    def rules(self) -> ShadowRules:
        """The comparison's rules; raises `ConfigurationError`."""
        return ShadowRules(
            enabled=self.enabled,
            rows=self.rows,
            min_rows=self.min_rows,
            windows=self.windows,
            threshold=self.threshold,
            rank_correlation=self.rank_correlation,
            auc_fall=self.auc_fall,
            min_labels=self.min_labels,
            unanswered=self.unanswered,
            agreement=self.agreement,
            slice_agreement=self.slice_agreement,
            mean_difference=self.mean_difference,
            ks=self.ks,
            slices=self.slices,
            deadline_seconds=self.deadline,
            undecided=self.undecided,
        )
