"""A schema as the verdicts need it, free of any engine's types."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """The schema's constraints on one field of the served events."""

    name: str
    min_fraction: float = 0.0
    """Smallest share of rows that must have a value; 0 is no constraint."""
    values: tuple[str, ...] = ()
    """The domain of a text; empty where any value is allowed."""
    domain_mass: float = 1.0
    """Smallest share of the values that must lie in the domain."""
    deprecated: bool = False
    """Whether the column is tolerated but no longer expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """The columns expected in served events, and the digest of the schema's text."""

    columns: tuple[Column, ...]
    digest: str
    version: int = 0
    """Version number; 0 is the model's own file, before any version was published."""
