"""The life of a schema: what windows say against it, what is proposed, and what is accepted.

Pure: a neutral description of the schema and window summaries in, verdicts, proposals and versions
out. Reading and writing TFDV's form is `streaming.engines.tfdv.schema_text`.
"""

from streaming.schema.acceptance import Decision, accept, from_file, reject
from streaming.schema.columns import Column, Schema
from streaming.schema.limits import Limits, limits
from streaming.schema.proposal import covers, propose
from streaming.schema.verdict import SchemaHistory, check, judge_schema

__all__ = [
    "Column",
    "Decision",
    "Limits",
    "Schema",
    "SchemaHistory",
    "accept",
    "check",
    "covers",
    "from_file",
    "judge_schema",
    "limits",
    "propose",
    "reject",
]
