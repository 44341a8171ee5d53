"""The digests that an approval is bound to; asking and deciding compute them in the same way."""

from __future__ import annotations

import msgspec

from streaming.contracts.ids import digest
from streaming.contracts.records import ModelVersion, PairedComparison


def evaluation_digest(version: ModelVersion) -> str:
    """Digest of what the evaluation of a version found: its metrics, blessed or not, and why.

    Parameters
    ----------
    version:
        The version's record.
    """
    content = (version.evaluation, version.blessed, version.reason)
    return digest(msgspec.json.encode(content, order="deterministic"))


def comparison_digest(comparison: PairedComparison) -> str:
    """Digest of a paired comparison of answers."""
    return digest(msgspec.json.encode(comparison, order="deterministic"))


def approval_digest(*, artifact: str, evaluation: str, comparison: str = "") -> str:
    """One digest over everything that an approval is about.

    Parameters
    ----------
    artifact:
        Digest of the version's files.
    evaluation:
        Digest of its evaluation.
    comparison:
        Digest of the paired comparison; empty where there was none.

    >>> first = approval_digest(artifact="a", evaluation="b")
    >>> first == approval_digest(artifact="a", evaluation="b")
    True
    >>> first == approval_digest(artifact="a", evaluation="b", comparison="c")
    False
    """
    return digest(msgspec.json.encode((artifact, evaluation, comparison)))
