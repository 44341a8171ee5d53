"""Names of the scenarios, importable without the rest of the demonstration (shell completion)."""

from __future__ import annotations

SCENARIO_NAMES = ("shift", "concept", "quiet", "slow-canary", "broken-schema", "new-column")
JSON_ONLY = ("broken-schema", "new-column")
"""Those whose events change their fields."""
SECOND_VERSION = ("shift", "concept", "slow-canary", "new-column")
"""Those with a second version, which a person can approve."""


def scenario_names() -> tuple[str, ...]:
    """All scenarios; the first one is the default.

    >>> scenario_names()[0]
    'shift'
    """
    return SCENARIO_NAMES
