"""Labels and quality: whether what was predicted came true, judged per version and window.

Pure: `QualityBook` takes rows and records and gives verdicts; see the README of this folder.
"""

from streaming.quality.monitor import QualityBook
from streaming.quality.settings import QualityRules
from streaming.quality.verdict import judge_quality

__all__ = ["QualityBook", "QualityRules", "judge_quality"]
