"""The model demand."""
