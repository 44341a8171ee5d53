"""A client of the console's API. Errors become those of the command line."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from deploy.access.private_files import read_secret
from deploy.config.access_checks import LOOPBACK
from deploy.views.escapes import visible
from streaming.contracts.errors import (
    ConfigurationError,
    Conflict,
    DriftlineError,
    NotAllowedError,
    NotFoundError,
    UnavailableError,
)

TIMEOUT_SECONDS = 90.0
"""A command waits for the daemon's reply."""
ATTEMPTS = 3
"""How often a request is sent that got no answer; the server acts on it once."""
_ERRORS: dict[int, type[DriftlineError]] = {
    401: NotAllowedError,
    403: NotAllowedError,
    404: NotFoundError,
    409: Conflict,
    412: Conflict,
    422: ConfigurationError,
    428: Conflict,
}


class ApiClient:
    """Sends requests with a token.

    Parameters
    ----------
    transport:
        Carries the requests; None for the network.

    Raises
    ------
    ConfigurationError
        When address or token file cannot be used.
    """

    def __init__(
        self, server: str, token_file: Path | None, *, transport: httpx.BaseTransport | None = None
    ) -> None:
        address = urlsplit(server)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise ConfigurationError(
                f"--server {server}: an address is https://HOST[:PORT], or http on this machine."
            )
        if address.scheme == "http" and address.hostname not in LOOPBACK:
            raise ConfigurationError(
                f"--server {server}: over http the token could be read on the way; use https."
            )
        headers = {}
        if token_file is not None:
            token = read_secret(token_file, "a token")
            if not token.isascii() or not token.isprintable():
                raise ConfigurationError(f"{token_file} does not hold a token.")
            headers["authorization"] = f"Bearer {token}"
        self._client = httpx.Client(
            base_url=f"{address.scheme}://{address.netloc}/api/v1/",
            headers=headers,
            timeout=TIMEOUT_SECONDS,
            follow_redirects=False,
            transport=transport,
        )
        self._server = server

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def get(self, *path: str, **query: Any) -> Any:
        """The content at a path."""
        return self._request("GET", path, params=query).json()

    def get_with_tag(self, *path: str) -> tuple[Any, str]:
        """The content at a path, and its entity tag."""
        response = self._request("GET", path)
        return response.json(), response.headers.get("etag", "")

    def post(self, *path: str, content: dict[str, Any], **headers: str) -> Any:
        """Send a command; when the answer is lost it is sent again and counts once."""
        sent = {"idempotency-key": str(uuid.uuid4()), **headers}
        response = self._request("POST", path, json=content, headers=sent)
        return response.json()

    def _request(self, method: str, path: tuple[str, ...], **options: Any) -> httpx.Response:
        address = "/".join(quote(part, safe="") for part in path)
        for attempt in range(ATTEMPTS):
            try:
                response = self._client.request(method, address, **options)
                break
            except httpx.TransportError as error:
                if attempt == ATTEMPTS - 1:
                    raise UnavailableError(
                        f"{self._server} does not answer: {error}. Is `driftline console` running?"
                    ) from error
        if response.status_code >= 300:
            raise _error(response)
        return response


def _error(response: httpx.Response) -> DriftlineError:
    """The error of an answer; its text comes from elsewhere, so control characters are shown."""
    try:
        detail = str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        detail = f"The server answered {response.status_code}."
    kind = _ERRORS.get(response.status_code, UnavailableError)
    if response.status_code == 401:
        detail = f"{detail} Give a file with a token by --token-file."
    return kind(visible(detail))
