"""The API as an application of its own, which the console mounts at /api/v1."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, FastAPI, Security
from fastapi.security import APIKeyCookie, HTTPBearer

from deploy import __version__
from deploy.console.api.command_operations import add_commands
from deploy.console.api.experiment_operations import add_experiments
from deploy.console.api.read_operations import add_reading
from deploy.console.api.token_operations import add_tokens
from deploy.console.context import Console
from deploy.console.problems import Problem, add_handlers

DESCRIPTION = """Models, records, approvals and commands of a Driftline deployment.

Send a token of `driftline access token create` as `Authorization: Bearer TOKEN`; browsers that have
signed in send their session's cookie. You see the models for which you have a role. Errors are
`application/problem+json`. Commands need an `Idempotency-Key`, decisions an `If-Match`.
"""


def create_api(console: Console) -> FastAPI:
    """The application of the API."""
    api = FastAPI(
        title="Driftline",
        version=__version__,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        redirect_slashes=False,
    )
    add_handlers(api)
    # The gate has checked them; here they are described only.
    bearer = Security(HTTPBearer(auto_error=False, scheme_name="token"))
    cookie = Security(
        APIKeyCookie(name=console.access.cookie, auto_error=False, scheme_name="session")
    )
    router = APIRouter(dependencies=[bearer, cookie])
    add_reading(router, console)
    add_commands(router, console)
    add_experiments(router, console)
    add_tokens(router, console)
    api.include_router(router)
    describe = api.openapi

    def openapi() -> dict[str, Any]:
        """The description, with the shape of problems, to which every operation refers."""
        if api.openapi_schema is None:
            document = describe()
            reference = "#/components/schemas/{model}"
            document["components"]["schemas"]["Problem"] = Problem.model_json_schema(
                ref_template=reference
            )
            for operations in document["paths"].values():
                for operation in operations.values():
                    operation["security"] = [{"token": []}, {"session": []}]
        assert api.openapi_schema is not None
        return api.openapi_schema

    api.openapi = openapi  # type: ignore[method-assign]
    return api
