"""Test statistics: the distance of a window from its reference, with effect size and p-value."""
