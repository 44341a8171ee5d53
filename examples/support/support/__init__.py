"""The model support."""
