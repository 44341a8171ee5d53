"""An OpenID provider on loopback: discovery, keys, code flow with PKCE, and lies on demand."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey


class Provider:
    """What the provider knows, and what its next ID token says."""

    def __init__(self) -> None:
        self.key = ECKey.generate_key("P-256", {"kid": "one"})
        self.signing_key = self.key
        self.claims: dict[str, Any] = {"email": "petra@example.com", "email_verified": True}
        self.changes: dict[str, Any] = {}
        """Claims that are other than they should be."""
        self.issuer = ""
        self.codes: dict[str, dict[str, str]] = {}

    def authorize(self, query: dict[str, str]) -> str:
        """The address to which the browser is sent back."""
        assert query["response_type"] == "code"
        assert query["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(16)
        self.codes[code] = query
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"

    def tokens(self, form: dict[str, str]) -> dict[str, str]:
        """The answer to the console; raises `KeyError` for a code that is not known."""
        asked_with = self.codes.pop(form["code"])
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if challenge != asked_with["code_challenge"]:
            raise KeyError("code_verifier")
        if form["redirect_uri"] != asked_with["redirect_uri"]:
            raise KeyError("redirect_uri")
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": asked_with["client_id"],
            "sub": "1",
            "iat": now,
            "exp": now + 300,
            "nonce": asked_with["nonce"],
            **self.claims,
            **self.changes,
        }
        token = jwt.encode({"alg": "ES256", "kid": "one"}, claims, self.signing_key)
        return {"access_token": "a", "token_type": "Bearer", "id_token": token}

    def content(self, path: str) -> dict[str, Any]:
        """A document of the provider; raises `KeyError`."""
        documents: dict[str, dict[str, Any]] = {
            "/.well-known/openid-configuration": {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
            },
            "/keys": {"keys": [self.key.as_dict(private=False)]},
        }
        return documents[path]


@contextmanager
def running_provider() -> Iterator[Provider]:
    """A provider on a free port."""
    provider = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(lambda: provider.content(self.path))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            form = {name: values[0] for name, values in parse_qs(body).items()}
            self._answer(lambda: provider.tokens(form))

        def _answer(self, make: Any) -> None:
            try:
                status, content = 200, make()
            except KeyError:
                status, content = 400, {"error": "invalid_grant"}
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(content).encode())

        def log_message(self, format: str, *args: object) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider.issuer = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def query_of(address: str) -> dict[str, str]:
    """The parameters of an address."""
    return {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
