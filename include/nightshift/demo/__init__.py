"""Data to try Nightshift with: landers play the upstream systems that drop files."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date

from nightshift.demo import departures, flights, practice
from nightshift.settings import Settings

Lander = Callable[[Settings, date, date, Callable[[str], None]], int]
"""Lands the days from first to last, says what it did line by line, returns the number of files written."""

LANDERS: Mapping[str, Lander] = {"departures": departures.land, "flights": flights.land, "practice": practice.land}


@dataclass(frozen=True)
class Tour:
    """What ``nightshift demo`` shows unless told otherwise: retrains, each followed by the nights up to the next."""

    pipeline: str
    retrains: tuple[date, ...]
    last: date


TOUR = Tour("flights", (date(2013, 3, 3), date(2013, 3, 15)), date(2013, 3, 17))
