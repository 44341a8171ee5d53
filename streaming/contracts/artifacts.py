"""The port of the artifact store: large payloads by name, read back by record."""

from __future__ import annotations

from typing import Protocol

from streaming.contracts.base import Artifact


class ArtifactReader(Protocol):
    """Reads payloads that records refer to."""

    def get(self, artifact: Artifact) -> bytes:
        """The payload's bytes.

        Raises
        ------
        NotFoundError
            When it is not there.
        Conflict
            When its bytes do not have the recorded digest.
        """
