"""Rules of `metadata` that concern several keys."""

from __future__ import annotations

from collections.abc import Iterator

from deploy.config.settings import Settings
from deploy.config.types import Problem


def _server_has_user(settings: Settings) -> Iterator[Problem]:
    metadata = settings.metadata
    if metadata.store != "sqlite" and not metadata.user:
        yield (
            ("metadata", "user"),
            f"{metadata.store} needs a user; set metadata.user, and metadata.password_file where"
            " the server asks for a password.",
        )


METADATA_CHECKS = (_server_has_user,)
