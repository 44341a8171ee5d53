"""Test statistics: how far a window is from its reference, with p-values."""
