"""Reports for people who were not there: one file that tells what changed, why, and who decided."""
