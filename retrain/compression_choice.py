"""Pure: which variant of a new version is served, the original or a compressed one.

Only a variant that saves enough of the whole folder that is served is worth measuring; a small net
is mostly graph, and its weights save next to nothing. It passes when the blessing accepts it as it
accepted the original, when its answers stay within the tolerance, and when it is within the
server's limits. The smallest that passes is taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

LEAST_GAIN = 0.2
"""Share of the original's bytes that a variant must save."""

TOLERANCES: Mapping[str, float] = {"float16": 0.005, "int8": 0.05}
"""Largest accepted difference of an answer from the original's: of a probability, or of a number as
a share of the largest one. The blessing judges the quality; this stops a variant that is broken on
rows that the evaluation has few of."""

SLOWER = 1.5
"""A variant may take this much longer than the original for a prediction …"""

SLOWER_SECONDS = 0.002
"""… or this much longer, which is the scatter of a measurement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """Measurements of one SavedModel of a version."""

    kind: str
    """``float32`` (the original), ``float16`` or ``int8``."""
    bytes: int
    """Of the files that a server loads."""
    load_seconds: float = 0.0
    predict_seconds: float = 0.0
    """Median of a warm prediction of one row."""
    difference: float = 0.0
    """Largest difference of an answer from the original's."""
    refusal: str = ""
    """Why blessing or serving check refused it, as a clause; empty when they accepted it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What is served."""

    kind: str
    reason: str
    """Why, in one sentence with the figures."""


def saves_enough(original: Variant, variant: Variant, *, gain: float = LEAST_GAIN) -> bool:
    """Whether a variant is small enough to be measured at all."""
    return variant.bytes <= (1.0 - gain) * original.bytes


def choose(original: Variant, variants: Sequence[Variant], *, gain: float = LEAST_GAIN) -> Choice:
    """The smallest variant that saves at least `gain` and passes; else the original.

    >>> whole = Variant(kind="float32", bytes=1000)
    >>> choose(whole, [Variant(kind="int8", bytes=900)]).reason
    'Not compressed: not worth it, int8 saves 10 % of 1,000 bytes; at least 20 % are wanted.'
    >>> choose(whole, [Variant(kind="int8", bytes=300, difference=0.01)]).kind
    'int8'
    """
    if not variants:
        return Choice(kind=original.kind, reason="Not compressed: no variant was made.")
    by_size = sorted(variants, key=lambda variant: (variant.bytes, variant.kind))
    small_enough = [variant for variant in by_size if saves_enough(original, variant, gain=gain)]
    if not small_enough:
        least = by_size[0]
        saved = 1.0 - least.bytes / original.bytes
        return Choice(
            kind=original.kind,
            reason=f"Not compressed: not worth it, {least.kind} saves {100 * saved:.0f} % of"
            f" {original.bytes:,} bytes; at least {100 * gain:.0f} % are wanted.",
        )
    refusals = {variant.kind: refusal(original, variant) for variant in small_enough}
    refused = "; ".join(f"{kind}: {why}" for kind, why in sorted(refusals.items()) if why)
    passing = [variant for variant in small_enough if not refusals[variant.kind]]
    if not passing:
        return Choice(kind=original.kind, reason=f"Not compressed: no variant passes ({refused}).")
    best = passing[0]
    also = f" ({refused})" if refused else ""
    return Choice(
        kind=best.kind,
        reason=f"Compressed to {best.kind}: {best.bytes:,} instead of {original.bytes:,} bytes,"
        f" answers differ by at most {best.difference:.2g}{also}.",
    )


def refusal(original: Variant, variant: Variant) -> str:
    """Why a variant does not pass, as a clause; empty when it does.

    >>> whole = Variant(kind="float32", bytes=1000, predict_seconds=0.010)
    >>> refusal(whole, Variant(kind="int8", bytes=300, predict_seconds=0.016))
    'a prediction takes 16.0 ms instead of 10.0 ms'
    """
    if variant.refusal:
        return variant.refusal
    tolerance = TOLERANCES[variant.kind]
    if not variant.difference <= tolerance:
        return f"answers differ by {variant.difference:.2g}, at most {tolerance} may"
    if is_slower(original, variant):
        return (
            f"a prediction takes {1000 * variant.predict_seconds:.1f} ms instead of"
            f" {1000 * original.predict_seconds:.1f} ms"
        )
    return ""


def is_slower(original: Variant, variant: Variant) -> bool:
    """Whether a prediction by the variant takes longer than a variant may."""
    allowed = max(SLOWER * original.predict_seconds, original.predict_seconds + SLOWER_SECONDS)
    return variant.predict_seconds > allowed
