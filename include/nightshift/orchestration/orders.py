"""The orders that a person may give with a manual run: the params of its DAG, which form, command line and REST take.

Whoever may trigger a DAG may give one. So an order never says what is read, written, scored or promoted; a key that is
not known is refused, since its giver thinks that it does something.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from nightshift.actor import SERVICE
from nightshift.errors import ConfRefused
from nightshift.plan import RETRAIN_SUFFIX
from nightshift.run_day import BUSINESS_DATE, MADE_FOR_A_DAY, iso_day
from nightshift.specs.spelling import nearest

_LONGEST = 200


@dataclass(frozen=True)
class Key:
    """A key of an order: what it means, its value where none is given, and its JSON schema."""

    means: str
    default: Any
    schema: Mapping[str, Any]


_DAY = Key(
    "the business date that the run is for, as YYYY-MM-DD. Empty: the day of the logical date, and without one the "
    "newest day whose cutoff is over",
    None,
    {"title": "Business date", "type": ["null", "string"], "format": "date"},
)
_REBUILD = Key(
    "true: build features, labels and predictions of the day again though no input, code or spec has changed. Kept "
    "with who asked",
    False,
    {"title": "Rebuild", "type": "boolean"},
)
_REASON = Key(
    f"why the run was asked for, one line of at most {_LONGEST} characters; kept with who asked",
    "",
    {"title": "Reason", "type": ["null", "string"], "maxLength": _LONGEST},
)


@dataclass(frozen=True)
class Order:
    """The person who asked for a run, by Airflow's login, and what was asked for: empty where nothing was."""

    by: str = ""
    reason: str = ""
    day: date | None = None
    rebuild: bool = False


def keys_of(dag: str) -> dict[str, Key]:
    """What an order may say to a DAG. A retrain has no rebuild: one on rebuilt days trains anew by itself."""
    rebuild = {} if dag.endswith(RETRAIN_SUFFIX) else {"rebuild": _REBUILD}
    return {BUSINESS_DATE: _DAY, **rebuild, "reason": _REASON}


def order_of(run: Any) -> Order:
    """The order that a DAG run carries. Raises ConfRefused, which shows no value of its conf."""
    conf, keys = getattr(run, "conf", None) or {}, keys_of(run.dag_id)
    if not isinstance(conf, Mapping):
        raise refusal(run, "its conf is no object")
    if unknown := sorted(str(key) for key in conf if key not in keys):
        known = [key for key in unknown if key.isidentifier() and len(key) <= _LONGEST]
        named = f": {', '.join(f'{key!r}{nearest(key, keys)}' for key in known[:5])}" if known else ""
        raise refusal(run, f"its conf has {len(unknown)} unknown {'key' if len(unknown) == 1 else 'keys'}{named}")
    by = getattr(run, "triggering_user_name", None) or SERVICE
    order = Order(by, _reason(run, conf), _day(run, conf), _rebuild(run, conf))
    if run.run_type in MADE_FOR_A_DAY and (order.day or order.rebuild):
        raise refusal(
            run,
            f"a {run.run_type} run takes neither a business date nor a rebuild from its conf",
            do="trigger a run by hand; many days are built again by `nightshift backfill PIPELINE FROM TO --rebuild`",
        )
    return order


def refusal(run: Any, what: str, *, allowed: str = "", do: str = "") -> ConfRefused:
    """The error of a run whose order cannot be carried out."""
    means = "; ".join(f"{name}: {key.means}" for name, key in keys_of(run.dag_id).items())
    return ConfRefused(what, where=f"run {run.run_id}", allowed=allowed or means, do=do or "trigger a run again")


def _reason(run: Any, conf: Mapping[str, Any]) -> str:
    reason = conf.get("reason") or ""
    if not isinstance(reason, str) or len(reason) > _LONGEST or not reason.isprintable():
        raise refusal(run, "the reason in its conf is not one line of text, or is too long")
    return reason.strip()


def _day(run: Any, conf: Mapping[str, Any]) -> date | None:
    text = conf.get(BUSINESS_DATE)
    if text is None or text == "":
        return None
    day = iso_day(text) if isinstance(text, str) else None
    if day is None:
        raise refusal(run, "the business date in its conf is no date like 2013-03-04")
    return day


def _rebuild(run: Any, conf: Mapping[str, Any]) -> bool:
    rebuild = conf.get("rebuild", False)
    if rebuild is None or isinstance(rebuild, bool):
        return bool(rebuild)
    raise refusal(run, "rebuild in its conf is neither true nor false")
