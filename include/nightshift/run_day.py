"""The business date of a run: one rule for pages, notes, messages and the command line. Pure."""

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

MADE_FOR_A_DAY = ("scheduled", "backfill")
"""Types of runs that a timetable or a backfill makes: they have the day of their logical date, whatever their conf."""

BUSINESS_DATE = "business_date"
"""The key of a run's conf by which a person orders a day."""

_ISO = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def run_day(run_type: str, conf: Any, logical_date: str) -> str:
    """Return the day in ISO format: the one that a person ordered, else that of ``logical_date``, which is in ISO.

    Empty where neither is there. Whether the run may have its day is not asked.
    """
    if run_type in MADE_FOR_A_DAY:
        return logical_date[:10]
    ordered = conf.get(BUSINESS_DATE) if isinstance(conf, Mapping) else None
    if isinstance(ordered, str) and _ISO.fullmatch(ordered):
        return ordered
    return logical_date[:10]


def iso_day(text: str) -> date | None:
    """Return the day that a person wrote as 2013-03-04; None for whatever else Python would take, such as 20130304."""
    try:
        return date.fromisoformat(text) if _ISO.fullmatch(text) else None
    except ValueError:
        return None
