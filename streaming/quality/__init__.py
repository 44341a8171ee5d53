"""Label join and model quality: compares served predictions with their labels, per version.

Pure: `QualityMonitor` takes rows and records and returns verdicts; see the README of this folder.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streaming.quality.monitor import QualityMonitor
    from streaming.quality.settings import QualityRules
    from streaming.quality.verdict import judge_quality

__all__ = ["QualityMonitor", "QualityRules", "judge_quality"]

_MODULES = {"QualityMonitor": "monitor", "QualityRules": "settings", "judge_quality": "verdict"}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: reading settings must not load SciPy (1 s)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
