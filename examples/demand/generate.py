"""Writes rentals.csv: bicycles rented in each hour, at several stations.

Usage: generate.py FOLDER
"""

import csv
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

HOURS, STATIONS = 1_500, 4
START = datetime(2026, 1, 5, tzinfo=UTC)


def main(folder: Path) -> None:
    """More bicycles at rush hours, on warm and dry days, and at the station of the main square."""
    chance = np.random.default_rng(2)
    with (folder / "rentals.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(
            ["datetime", "station", "hour", "weekday", "temperature", "rain", "holiday", "rentals"]
        )
        for number in range(HOURS):
            at = START + timedelta(hours=number)
            temperature = 12 + 8 * np.sin((at.hour - 9) * np.pi / 12) + float(chance.normal(0, 3))
            rain, holiday = chance.random() < 0.2, at.day % 13 == 0
            rush = np.exp(-((at.hour - 8) ** 2) / 6) + np.exp(-((at.hour - 17) ** 2) / 8)
            for station in range(STATIONS):
                mean = (4 + 40 * rush) * (1 + 0.03 * (temperature - 12)) * (1.4 - 0.2 * station)
                mean *= (0.5 if rain else 1.0) * (0.6 if holiday or at.weekday() > 4 else 1.0)
                count = chance.poisson(max(mean, 0.2))
                calendar = [at.isoformat(), f"station {station}", at.hour, at.weekday()]
                rows.writerow([*calendar, f"{temperature:.1f}", rain, holiday, count])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
