"""Labels and quality: whether what was predicted came true, judged per version and window.

Pure: `QualityBook` takes rows and records and gives verdicts; see the README of this folder.
"""

from streaming.quality.book import QualityBook
from streaming.quality.judge import judge_quality
from streaming.quality.rules import QualityRules

__all__ = ["QualityBook", "QualityRules", "judge_quality"]
