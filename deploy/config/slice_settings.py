"""The settings of slices, as they are written below `models.NAME.rollout.slices`."""

from __future__ import annotations

from pydantic import Field

from deploy.config.types import Percent, Section
from serving.evidence.rules import EvidenceSlices
from serving.slice_rules import MAX_SLICES, SliceRules
from streaming.contracts.prediction_slices import PredictionSlices

_SLICES = SliceRules()
_EVIDENCE = EvidenceSlices()


class SliceSettings(Section):
    """Requests that are judged apart, by a header."""

    header: str = _SLICES.header
    """Request header, or gRPC metadata key, in lower case, such as x-tenant. Empty: no slices. The
    name is matched exactly, and every client can send it: it decides which counters a request is
    counted in, and nothing else."""
    values: tuple[str, ...] = Field(default=_SLICES.values, max_length=MAX_SLICES)
    """Values of the header that are judged apart, at most 20. Each has counters of its own in Envoy
    and Prometheus, about 40 series per arm and protocol. A canary that fails in one of them is
    rolled back. Requests with another value, or without the header, are judged with all others."""
    harm: Percent = _SLICES.harm
    """Excess share of errors, and of slow responses, that must be disproven in each slice before
    the promotion. 25% needs about 12 requests of the slice per arm, 10% 34. A slice that gets too
    few does not hold the rollout; the plan and the verdicts name it with the smallest harm that is
    found."""

    field: str = ""
    """Field of the predictions' records that holds the header's value, such as tenant. With it the
    scores and the realised quality of the canary are judged in each slice too, by the modes of
    gates.predictions and gates.quality. Empty: over all predictions only. The scores of a slice are
    kept by bucket in the records prediction-scores, and its labels in quality-verdicts."""
    scores: Percent = _EVIDENCE.scores
    """Distance of the distributions (Kolmogorov-Smirnov) below which the scores of no slice fail,
    in addition to the largest distance that the evaluation of the version found in one of its
    slices. A flipped head has 50% and more."""
    quality: float = _EVIDENCE.quality
    """Loss of gates.quality.measure that must be disproven in each slice with enough labels."""

    def evidence(self) -> EvidenceSlices:
        """The slices of the gates on scores and quality; raises `ConfigurationError`."""
        return EvidenceSlices(
            values=self.values if self.field else (), scores=self.scores, quality=self.quality
        )

    def predictions(self) -> PredictionSlices:
        """How the label service tells the slices of predictions."""
        return PredictionSlices(field=self.field, values=self.values if self.field else ())

    def rules(self) -> SliceRules:
        """The slices' rules; raises `ConfigurationError`."""
        return SliceRules(header=self.header, values=self.values, harm=self.harm)
