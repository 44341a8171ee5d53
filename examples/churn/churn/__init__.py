"""The model churn."""
