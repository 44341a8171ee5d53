"""The life of a schema: what windows say against it, and the smallest change that would fit them.

Pure: a neutral description of the schema and window summaries in, findings and a proposal out.
Reading and writing TFDV's form is `streaming.engines.schema_file`.
"""

from streaming.schema.columns import Column, Schema
from streaming.schema.findings import Finding, SchemaReport, check
from streaming.schema.proposal import Change, propose

__all__ = ["Change", "Column", "Finding", "Schema", "SchemaReport", "check", "propose"]
