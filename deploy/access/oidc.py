"""Signs people in at an OpenID provider: code flow with PKCE (S256), state and nonce.

OpenID Connect Core 1.0, section 3.1; RFC 7636. The libraries do the protocol and check signatures;
this module decides what is accepted.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.httpx_client import OAuth2Client
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from deploy.access.sessions import PendingSignIn
from deploy.config.access_checks import LOOPBACK
from streaming.contracts.errors import NotAllowedError, UnavailableError

ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
"""Signatures of ID tokens that count; none of them uses a shared secret."""
TIMEOUT_SECONDS = 10.0
CLOCK_SECONDS = 60.0
"""How far the provider's clock may differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OidcClient:
    """A provider, and how this console is known there."""

    issuer: str
    client_id: str
    client_secret: str | None
    callback: str
    """Address to which the provider sends browsers back."""
    name_claim: str
    now: Callable[[], float]

    def begin(self, following: str) -> tuple[str, PendingSignIn]:
        """The provider's address for the browser, and what its answer is compared with.

        Raises
        ------
        UnavailableError
            When the provider does not answer.
        """
        verifier = secrets.token_urlsafe(48)
        nonce = secrets.token_urlsafe(24)
        provider = self._discover()
        with self._client() as client:
            address, state = client.create_authorization_url(
                provider["authorization_endpoint"], code_verifier=verifier, nonce=nonce
            )
        pending = PendingSignIn(state=state, nonce=nonce, verifier=verifier, following=following)
        return str(address), pending

    def finish(self, pending: PendingSignIn, answer: Mapping[str, str]) -> str:
        """The name of the person whom the provider's answer signs in.

        Raises
        ------
        NotAllowedError
            When the answer is not one to this sign-in, or says no.
        UnavailableError
            When the provider does not answer.
        """
        if not secrets.compare_digest(answer.get("state", "").encode(), pending.state.encode()):
            raise NotAllowedError("The answer belongs to another sign-in; sign in again.")
        if "iss" in answer and answer["iss"] != self.issuer:
            raise NotAllowedError("The answer comes from another provider (RFC 9207).")
        if not answer.get("code"):
            raise NotAllowedError("The provider did not sign you in; sign in again.")
        provider = self._discover()
        try:
            with self._client() as client:
                tokens = client.fetch_token(
                    provider["token_endpoint"],
                    grant_type="authorization_code",
                    code=answer["code"],
                    code_verifier=pending.verifier,
                )
            return self._name(self._claims(str(tokens.get("id_token", "")), provider), pending)
        except (AuthlibBaseError, JoseError, ValueError, TypeError) as error:
            raise NotAllowedError(
                f"The provider's answer is not valid ({type(error).__name__}); sign in again."
            ) from error
        except httpx.HTTPError as error:
            raise UnavailableError(f"The provider {self.issuer} does not answer.") from error

    def _client(self) -> OAuth2Client:
        return OAuth2Client(
            client_id=self.client_id,
            client_secret=self.client_secret,
            redirect_uri=self.callback,
            scope="openid email profile",
            code_challenge_method="S256",
            token_endpoint_auth_method="client_secret_basic" if self.client_secret else "none",
            timeout=TIMEOUT_SECONDS,
            follow_redirects=False,
        )

    def _discover(self) -> dict[str, str]:
        """The provider's addresses; they must be https, or loopback ones."""
        described = self._get(f"{self.issuer.rstrip('/')}/.well-known/openid-configuration")
        if described.get("issuer") != self.issuer:
            raise UnavailableError(
                f"{self.issuer} says that it is {described.get('issuer')!r}; access.oidc.issuer "
                "must be written as the provider writes it."
            )
        names = ("authorization_endpoint", "token_endpoint", "jwks_uri")
        for name in names:
            address = urlsplit(str(described.get(name, "")))
            if address.scheme != "https" and address.hostname not in LOOPBACK:
                raise UnavailableError(f"{self.issuer} gives no https address as its {name}.")
        return {name: str(described[name]) for name in names}

    def _get(self, address: str) -> dict[str, Any]:
        try:
            response = httpx.get(address, timeout=TIMEOUT_SECONDS, follow_redirects=False)
            response.raise_for_status()
            content = response.json()
        except (httpx.HTTPError, ValueError) as error:
            raise UnavailableError(f"The provider {self.issuer} does not answer.") from error
        if not isinstance(content, dict):
            raise UnavailableError(f"The provider {self.issuer} does not answer as one.")
        return content

    def _claims(self, id_token: str, provider: Mapping[str, str]) -> dict[str, Any]:
        keys = KeySet.import_key_set(self._get(provider["jwks_uri"]))  # type: ignore[arg-type]
        claims = jwt.decode(id_token, keys, algorithms=list(ALGORITHMS)).claims
        registry = jwt.JWTClaimsRegistry(
            now=lambda: int(self.now()),
            leeway=int(CLOCK_SECONDS),
            iss={"essential": True, "value": self.issuer},
            aud={"essential": True, "value": self.client_id},
            exp={"essential": True},
            iat={"essential": True},
            sub={"essential": True},
        )
        registry.validate(claims)
        return claims

    def _name(self, claims: Mapping[str, Any], pending: PendingSignIn) -> str:
        nonce = str(claims.get("nonce", ""))
        if not secrets.compare_digest(nonce.encode(), pending.nonce.encode()):
            raise NotAllowedError("The answer belongs to another sign-in; sign in again.")
        audience = claims["aud"]
        several = isinstance(audience, list) and len(audience) > 1
        if several and claims.get("azp") != self.client_id:
            raise NotAllowedError("The provider's answer is for another application.")
        name = claims.get(self.name_claim)
        if not isinstance(name, str) or not name.strip() or not name.isprintable():
            raise NotAllowedError(
                f"The provider does not say your name: its answer has no {self.name_claim} "
                "(access.oidc.name_claim)."
            )
        if self.name_claim == "email" and claims.get("email_verified") is not True:
            raise NotAllowedError("The provider has not verified your e-mail address.")
        return name.strip()
