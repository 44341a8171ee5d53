"""Schema verdicts, proposals and versions of a model's served events.

Pure: takes a neutral description of the schema and window summaries, and returns verdicts,
proposals and versions. `streaming.engines.tfdv.schema_text` reads and writes TFDV's schema text.
"""

from streaming.schema.acceptance import Decision, accept, reject, version_from_file
from streaming.schema.columns import Column, Schema
from streaming.schema.proposal import covers, propose
from streaming.schema.thresholds import SchemaThresholds, schema_thresholds
from streaming.schema.verdict import SchemaHistory, check_schema, judge_schema

__all__ = [
    "Column",
    "Decision",
    "Schema",
    "SchemaHistory",
    "SchemaThresholds",
    "accept",
    "check_schema",
    "covers",
    "judge_schema",
    "propose",
    "reject",
    "schema_thresholds",
    "version_from_file",
]
