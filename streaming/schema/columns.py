"""A schema as the judgement needs it, free of any engine's types."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """What a schema promises about one field of the served events."""

    name: str
    min_fraction: float = 0.0
    """Smallest share of rows that have a value; 0 promises nothing."""
    values: tuple[str, ...] = ()
    """The domain of a text; empty where any value is allowed."""
    domain_mass: float = 1.0
    """Smallest share of values that must lie in the domain."""
    deprecated: bool = False
    """Still tolerated, no longer expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """The columns expected in served events, and the digest of the text that says so."""

    columns: tuple[Column, ...]
    digest: str
    version: int = 0
    """0: the model's own file, before any version was published."""
