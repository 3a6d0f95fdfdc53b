"""Dropping landing files of the pipeline ``parcels`` for tests."""

from pathlib import Path

from nightshift.settings import Settings

ORDERS = "parcel_id,depot,weight"
DELIVERIES = "parcel_id,depot,hours_late"
DEPOTS = "depot,doors"


def drop(settings: Settings, folder: str, *rows: str, header: str = ORDERS, name: str = "part-0.csv") -> Path:
    """Writes a CSV file below ``parcels/<folder>``."""
    path = Path(settings.landing, "parcels", folder, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in (header, *rows)))
    return path


def drop_day(settings: Settings, ds: str, before: tuple[str, ...]) -> None:
    """Everything that features of ``ds`` read: orders of the day, deliveries of the days before, depots."""
    drop(settings, f"orders/ds={ds}", "a,N,1.5", "b,S,2", "c,N,")
    for day in before:
        drop(settings, f"deliveries/ds={day}", "x,N,1.0", "y,S,", header=DELIVERIES)
    drop(settings, "depots/as_of=2024-01-01", "N,3", "S,4", header=DEPOTS)
