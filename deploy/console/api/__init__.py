"""The console's API under /api/v1: JSON, described by OpenAPI 3.1, errors as problem+json."""
