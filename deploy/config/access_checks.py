"""Rules of the section `access` that concern several keys."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from deploy.config.settings import Settings
from deploy.config.types import Problem

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
"""Hosts that only this machine reaches."""


def _sign_in(settings: Settings) -> Iterator[Problem]:
    access, oidc = settings.access, settings.access.oidc
    if access.sign_in == "none":
        return
    if not access.roles:
        yield (
            ("access", "roles"),
            "nobody has a role, so nobody who signs in sees anything; name at least one admin.",
        )
    if access.sign_in != "oidc":
        return
    for key in ("issuer", "client_id"):
        if not getattr(oidc, key):
            yield ("access", "oidc", key), "sign_in: oidc needs it."
    issuer = urlsplit(oidc.issuer)
    if issuer.scheme == "http" and issuer.hostname not in LOOPBACK:
        yield (
            ("access", "oidc", "issuer"),
            f"{oidc.issuer} is not https, so anybody on the way could sign in as anybody.",
        )


def _roles(settings: Settings) -> Iterator[Problem]:
    tenants = {model.tenant for model in settings.models.values() if model.tenant}
    for index, role in enumerate(settings.access.roles):
        where = ("access", "roles", str(index))
        for name in role.models:
            if name not in settings.models:
                yield (*where, "models"), f"there is no model {name}."
        for name in role.tenants:
            if name not in tenants:
                yield (*where, "tenants"), f"no model has the tenant {name}."


def _keys(settings: Settings) -> Iterator[Problem]:
    access = settings.access
    names = [key.name for key in access.command_keys]
    if len(set(names)) < len(names):
        yield ("access", "command_keys"), "two keys have the same name."
    if access.signing_key and access.signing_key not in names:
        yield (
            ("access", "signing_key"),
            f"command_keys has no key {access.signing_key}, so the daemon would refuse it.",
        )


def _tls(settings: Settings) -> Iterator[Problem]:
    access = settings.access
    if bool(access.certificate_file) != bool(access.key_file):
        yield ("access", "certificate_file"), "TLS needs certificate_file and key_file."


ACCESS_CHECKS = (_sign_in, _roles, _keys, _tls)
