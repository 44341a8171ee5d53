"""One dashboard, made and checked by code."""
