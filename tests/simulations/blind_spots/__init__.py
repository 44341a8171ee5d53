"""A wide sweep of changes over kinds of features: what the verdicts miss, or name wrongly."""
