"""Computes the decision on an evaluation again: its metrics under the recorded rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from retrain.blessing import Blessing, BlessingRules, bless
from retrain.learning_curve import enough_rows
from retrain.margins import rows_needed
from retrain.ports import AFTER_SHIFT_SLICE
from streaming.contracts.recomputed import (
    ChangedInputError,
    MissingInputError,
    Recomputed,
    equal_or_different,
    not_recomputed,
    rules_digest,
)
from streaming.contracts.records import (
    Metric,
    ModelVersion,
    RetrainFailure,
    RetrainRequest,
    RowSelection,
    RulesInForce,
    TrainingRows,
)

Evaluated = TypeVar("Evaluated", ModelVersion, RetrainFailure)

_SERVING_CHECK = ("Not blessed: it took ", "Not blessed: a warm prediction took ")


def recompute_blessing(
    recorded: ModelVersion,
    request: RetrainRequest | None,
    rules_of: Callable[[str], RulesInForce | None],
) -> Recomputed:
    """Whether the version was blessed, and why, from its metrics.

    Parameters
    ----------
    recorded:
        The version on the log.
    request:
        The request that it answers; None when it is not on the log.
    rules_of:
        Finds the rules by their digest.
    """
    # An insufficient evaluation publishes no version, so a version's is never "insufficient".
    return _recomputed(
        recorded,
        request,
        rules_of,
        compared=_was_compared(recorded),
        decided=lambda blessing: replace(
            recorded, blessed=blessing.blessed, reason=blessing.reason
        ),
    )


def recompute_insufficient(
    recorded: RetrainFailure,
    request: RetrainRequest | None,
    rules_of: Callable[[str], RulesInForce | None],
) -> Recomputed:
    """Whether an evaluation was insufficient, why, and how many rows it asked for.

    Parameters
    ----------
    recorded:
        The record of an insufficient evaluation on the log.
    request, rules_of:
        As for `recompute_blessing`.
    """
    return _recomputed(
        recorded,
        request,
        rules_of,
        compared=_has_champion(recorded.evaluation),
        decided=lambda blessing: replace(
            recorded,
            outcome="insufficient" if blessing.outcome == "insufficient" else "failed",
            reason=blessing.reason,
            rows_needed=rows_needed(recorded.rows, blessing.growth),
        ),
    )


def recompute_rows(recorded: TrainingRows, selection: RowSelection) -> Recomputed:
    """Whether the same rows were chosen, and whether the learning curve asked for more of them.

    Parameters
    ----------
    recorded:
        A record of chosen rows.
    selection:
        The choice that was made again among the rows.
    """
    probe = recorded.probe
    if probe is not None:
        decision = enough_rows(
            probe.fits,
            rows=probe.rows,
            smallest_gain=probe.smallest_gain,
            factor=probe.factor,
            seed=probe.seed,
        )
        probe = replace(
            probe,
            outcome=decision.outcome,
            reason=decision.reason,
            gain=decision.gain,
            low=decision.low,
            high=decision.high,
        )
    computed = replace(recorded, selection=selection, probe=probe)
    return equal_or_different(recorded, computed, code="")


def _recomputed(
    recorded: Evaluated,
    request: RetrainRequest | None,
    rules_of: Callable[[str], RulesInForce | None],
    *,
    compared: bool,
    decided: Callable[[Blessing], Evaluated],
) -> Recomputed:
    """The result of blessing the recorded metrics again; `decided` makes the record of it."""
    record = rules_of(recorded.rules_digest) if recorded.rules_digest else None
    code = record.code if record is not None else ""
    try:
        blessing = bless(
            recorded.evaluation,
            _rules(recorded, record),
            has_champion=compared,
            must_win=AFTER_SHIFT_SLICE if _after_shift(recorded, request) else None,
        )
    except (MissingInputError, ChangedInputError) as error:
        return not_recomputed(recorded, error, code=code)
    return equal_or_different(recorded, decided(blessing), code=code)


def _rules(recorded: ModelVersion | RetrainFailure, record: RulesInForce | None) -> BlessingRules:
    if not recorded.rules_digest:
        raise MissingInputError(
            "It does not name the rules it was judged by: it was written before they were recorded."
        )
    if record is None:
        raise MissingInputError(f"The rules {recorded.rules_digest} are not on the log.")
    if rules_digest(record.subject, record.text, code=record.code) != recorded.rules_digest:
        raise ChangedInputError(
            f"The rules {record.digest} were changed: their digest is not that of their text."
        )
    if recorded.reason.startswith(_SERVING_CHECK):
        raise MissingInputError(
            "The check in a real server refused it; the load of the machine, which its reason "
            "gives, is not recorded."
        )
    if '"smallest_gain"' not in record.text:
        raise MissingInputError(
            "It was judged by an older release, for which an estimate decided after a shift and "
            "not the lower end of its interval; that rule is no longer there to be applied."
        )
    try:
        return msgspec.json.decode(record.text, type=BlessingRules)
    except msgspec.MsgspecError as error:
        raise MissingInputError(f"The rules {record.digest} cannot be read: {error}") from error


def _was_compared(recorded: ModelVersion) -> bool:
    """Whether it was compared: its metrics say so, and without any the request does."""
    metrics = recorded.evaluation
    return _has_champion(metrics) or (not metrics and recorded.base_version > 0)


def _has_champion(metrics: Sequence[Metric]) -> bool:
    return any(m.champion is not None or m.name.endswith("_diff") for m in metrics)


def _after_shift(recorded: ModelVersion | RetrainFailure, request: RetrainRequest | None) -> bool:
    if request is None:
        raise MissingInputError(f"Its request {recorded.request_id} is not on the log.")
    return bool(request.after_shift)
