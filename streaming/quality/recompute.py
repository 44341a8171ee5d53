"""Computes quality verdicts again from the counts that they carry, one after the other.

A verdict holds the scores and outcomes of its window, so what is remembered of a version follows
from its earlier verdicts. The counts themselves, how many labels were to be expected, the maturity
curve and the accounts come from every single prediction and label, and are taken as recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
from msgspec.structs import replace

from streaming.contracts.errors import ConfigurationError
from streaming.contracts.recomputed import (
    ChangedInputError,
    MissingInputError,
    Recomputed,
    equal_or_different,
    not_recomputed,
    rules_digest,
)
from streaming.contracts.records import DriftVerdict, QualityVerdict, RulesInForce
from streaming.quality.counts import counts_of
from streaming.quality.provisional import (
    assumption_of,
    estimated_quality,
    provisional,
    state_digest,
    worst_outcome,
)
from streaming.quality.scores import ScoreDriftState, judge_scores
from streaming.quality.settings import QualityRules
from streaming.quality.verdict import MatureWindow, judge_quality
from streaming.quality.version_baseline import VersionBaseline


class QualityReplay:
    """The verdicts of one model, judged again in the order of the log.

    Parameters
    ----------
    rules_of:
        Finds the record of rules by its digest.
    drift:
        The drift verdicts of the model, by id.
    """

    def __init__(
        self,
        rules_of: Callable[[str], RulesInForce | None],
        drift: Mapping[str, DriftVerdict],
    ) -> None:
        self._rules_of = rules_of
        self._drift = drift
        self._baselines: dict[int, VersionBaseline] = {}
        self._scores: dict[int, ScoreDriftState] = {}

    def add(self, recorded: QualityVerdict) -> Recomputed:
        """Judge the next verdict's counts again."""
        code = ""
        try:
            rules, code = self._rules(recorded)
            return self._judge(recorded, rules, code)
        except (MissingInputError, ChangedInputError) as error:
            return not_recomputed(recorded, error, code=code)

    def _rules(self, recorded: QualityVerdict) -> tuple[QualityRules, str]:
        name = recorded.rules_digest
        record = self._rules_of(name) if name else None
        if record is None:
            raise MissingInputError(
                f"The rules {name} are not on the log."
                if name
                else "It does not name the rules it was computed with: it was written before they "
                "were."
            )
        if rules_digest(record.subject, record.text, code=record.code) != name:
            raise ChangedInputError(
                f"The rules {name} were changed: their digest is not that of their text."
            )
        try:
            return msgspec.json.decode(record.text, type=QualityRules), record.code
        except (msgspec.MsgspecError, ConfigurationError) as error:
            raise MissingInputError(f"The rules {name} cannot be read: {error}") from error

    def _judge(self, recorded: QualityVerdict, rules: QualityRules, code: str) -> Recomputed:
        version = recorded.version
        baseline = self._baselines.get(version, VersionBaseline(version=version))
        scores = self._scores.get(version)
        known = state_digest(baseline, scores) == recorded.history_digest
        empty = VersionBaseline(version=version)
        if not known and state_digest(empty, None) == recorded.history_digest:
            baseline, scores, known = empty, None, True
        computed = self._computed(recorded, rules, baseline, scores)
        if not known:
            raise MissingInputError(
                f"The earlier verdicts on version {version} are not all on the log, or were "
                "changed: they give another history than it was judged with."
            )
        return equal_or_different(recorded, computed, code=code)

    def _computed(
        self,
        recorded: QualityVerdict,
        rules: QualityRules,
        baseline: VersionBaseline,
        scores: ScoreDriftState | None,
    ) -> QualityVerdict:
        """The verdict with every judged field computed; remembers the version's next state."""
        version, counts = recorded.version, counts_of(recorded.counts)
        start, end = recorded.window_start, recorded.window_end
        estimated = estimated_quality(baseline, counts, recorded.latest_inputs, rules)
        prediction_drift = None
        if recorded.stage == "estimated":
            if recorded.live:
                prediction_drift, self._scores[version] = judge_scores(
                    scores or ScoreDriftState(version=version), counts, (start, end), rules
                )
            age = recorded.at - end
            judgement = provisional(start, counts, estimated, recorded.live, age, rules)
            self._baselines[version] = baseline
        else:
            window = MatureWindow(
                version=version,
                live=recorded.live,
                start=start,
                end=end,
                counts=counts,
                expected=recorded.expected_share * counts.predictions,
                inputs=recorded.inputs,
            )
            judgement, self._baselines[version] = judge_quality(window, baseline, rules)
        return replace(
            recorded,
            since=judgement.since,
            outcome=judgement.outcome,
            cause=judgement.cause,
            reason=judgement.reason,
            metrics=judgement.metrics,
            shift_start=judgement.shift_start,
            predictions=counts.predictions,
            labelled=counts.labelled,
            estimated=estimated.metrics,
            assumption_holds=bool(estimated.metrics) and not estimated.violation,
            assumption=assumption_of(estimated),
            inputs=self._inputs(recorded),
            prediction_drift=prediction_drift,
        )

    def _inputs(self, recorded: QualityVerdict) -> str:
        """The worst outcome of the drift verdicts that it names, where they are on the log."""
        named = [self._drift[name] for name in recorded.caused_by if name in self._drift]
        complete = len(named) == len(recorded.caused_by)
        return worst_outcome(tuple(named)) if complete else recorded.inputs
