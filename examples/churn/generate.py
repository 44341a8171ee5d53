"""Writes customers.csv: customers of a telephone company, and who left.

Usage: generate.py FOLDER
"""

import csv
import sys
from pathlib import Path

import numpy as np

ROWS = 6_000


def main(folder: Path) -> None:
    """Customers with short contracts, high fees and many calls leave more often."""
    chance = np.random.default_rng(1)
    with (folder / "customers.csv").open("w", newline="") as file:
        rows = csv.writer(file, delimiter=";")
        rows.writerow(
            [
                *("customer_id", "contract", "tenure", "monthly_fee", "calls", "paperless"),
                *("region", "note", "churned"),
            ]
        )
        for number in range(ROWS):
            contract = chance.choice(["monthly", "one year", "two years"], p=[0.5, 0.3, 0.2])
            tenure, fee = int(chance.integers(0, 72)), float(chance.uniform(15, 90))
            calls, region = int(chance.poisson(1.2)), chance.choice(["north", "south", "west"])
            score = {"monthly": 0.6, "one year": -0.8, "two years": -1.8}[contract]
            score += 0.03 * (fee - 50) + 0.5 * (calls - 1) - 0.04 * (tenure - 30)
            left = chance.random() < 1 / (1 + np.exp(-score))
            paperless = chance.choice(["yes", "no", ""], p=[0.6, 0.3, 0.1])
            note = f"Called on day {number}, asked about the bill" if calls > 2 else ""
            fields = [f"C{number:05d}", contract, tenure, f"{fee:.2f}".replace(".", ",")]
            rows.writerow([*fields, calls, paperless, region, note, "yes" if left else "no"])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
