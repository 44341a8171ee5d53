"""Writes tickets.csv: tickets of users, and the team that solved them.

Usage: generate.py FOLDER
"""

import csv
import sys
from pathlib import Path

import numpy as np

ROWS = 6_000
TEAMS = {"invoice": "billing", "refund": "billing", "crash": "technics", "login": "technics"}


def main(folder: Path) -> None:
    """The subject and the product give the team; one ticket in twenty goes anywhere."""
    chance = np.random.default_rng(3)
    teams = ["billing", "technics", "sales", "other"]
    with (folder / "tickets.csv").open("w", newline="") as file:
        rows = csv.writer(file, delimiter="\t")
        rows.writerow(["ticket id", "subject", "product", "Priorität", "length", "text", "team"])
        for number in range(ROWS):
            subject = str(chance.choice([*TEAMS, "offer", "question"]))
            product = str(chance.choice(["basic", "plus", "pro", "unknown"]))
            priority, length = int(chance.integers(1, 5)), int(chance.lognormal(4, 0.7))
            team = TEAMS.get(subject, "sales" if product != "unknown" else "other")
            if priority == 4 and product == "pro":
                team = "technics"
            if chance.random() < 0.05:
                team = str(chance.choice(teams))
            text = f"I have a {subject} problem with ticket {number}\nand need help soon"
            rows.writerow([number, subject, product, priority, length, text, team])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
