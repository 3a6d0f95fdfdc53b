"""Landing files of the pipeline turbines, made from a seed: the same day always has the same bytes."""

import csv
import random
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

SITES = {"alpha": (120.0, True), "borkum": (80.0, True), "celle": (30.0, False), "dahme": (45.0, False)}


def land(landing: Path, first: date, last: date) -> None:
    """Land every day from ``first`` to ``last``: forecasts of the day itself, readings of the day."""
    day = first
    while day <= last:
        rows = _day(day)
        _write(landing / "wind" / "forecast" / day.isoformat() / "part-0.parquet", rows, ("site", "hour", "wind"))
        _write(landing / "wind" / "readings" / f"{day}.parquet", rows, ("site", "measured_at", "energy"))
        day += timedelta(days=1)


def land_sites(landing: Path, as_of: date) -> None:
    """Land one snapshot of the sites."""
    path = landing / "wind" / "sites" / as_of.isoformat() / "sites.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(["site", "capacity", "offshore"])
        writer.writerows([site, capacity, str(offshore).lower()] for site, (capacity, offshore) in SITES.items())


def _day(day: date) -> list[dict[str, object]]:
    source = random.Random(day.isoformat())
    rows: list[dict[str, object]] = []
    for site, (capacity, offshore) in SITES.items():
        level = source.uniform(3, 14) + 2 * offshore
        for hour in range(24):
            wind = max(0.0, level + source.gauss(0, 1.5))
            energy = capacity * min(1.0, (wind / 13) ** 3) * source.uniform(0.9, 1.0)
            rows.append(
                {
                    "site": site,
                    "hour": hour,
                    "wind": round(wind, 3),
                    "measured_at": datetime(day.year, day.month, day.day, hour, tzinfo=UTC),
                    "energy": None if source.random() < 0.05 else round(energy, 4),
                }
            )
    return rows


def _write(path: Path, rows: list[dict[str, object]], names: tuple[str, ...]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist([{name: row[name] for name in names} for row in rows]), path)
