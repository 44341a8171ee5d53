"""Example model: predicts whether a taxi trip's tip exceeds a fifth of the fare."""
