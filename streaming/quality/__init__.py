"""Label join and model quality: compares served predictions with their labels, per version.

Pure: `QualityMonitor` takes rows and records and returns verdicts; see the README of this folder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from streaming.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from streaming.quality.monitor import QualityMonitor
    from streaming.quality.settings import QualityRules
    from streaming.quality.verdict import judge_quality

__all__ = ["QualityMonitor", "QualityRules", "judge_quality"]

__getattr__ = lazy_exports(
    __name__,
    {"QualityMonitor": "monitor", "QualityRules": "settings", "judge_quality": "verdict"},
)
