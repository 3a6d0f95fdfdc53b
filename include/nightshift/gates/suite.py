"""What a dataset must hold: the expectations that follow from its contract, and those that its gate adds."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Any

from nightshift.gates.catalogue import FILE
from nightshift.specs.model import Column, Gate


@dataclass(frozen=True)
class Check:
    """One expectation by Great Expectations' name; arguments are JSON (moments as ISO text).

    ``row_level`` says that a row which fails it may leave for quarantine. Everything else is about the table: a
    failure blocks. An expectation that says ``mostly`` accepts bad rows, so none of them leaves: it is table-level.
    """

    name: str
    arguments: dict[str, Any]
    row_level: bool

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the arguments name."""
        named: list[str] = []
        for argument in catalogue().get(self.name, {}).get("columns", ()):
            value = self.arguments.get(argument, ())
            named += [value] if isinstance(value, str) else [str(item) for item in value]
        return tuple(named)


@cache
def catalogue() -> dict[str, Any]:
    """The committed catalogue of expectations (see ``nightshift.gates.catalogue``)."""
    return dict(json.loads(FILE.read_text(encoding="utf-8")))


def contract_checks(columns: Mapping[str, Column], key: Sequence[str]) -> tuple[Check, ...]:
    """The expectations that follow from a column contract."""
    checks = [_no_nulls(name) for name in key]
    if len(key) == 1:
        checks.append(Check("expect_column_values_to_be_unique", {"column": key[0]}, row_level=True))
    else:
        checks.append(Check("expect_compound_columns_to_be_unique", {"column_list": list(key)}, row_level=True))
    for column, contract in columns.items():
        checks += _column_checks(column, contract, column in key)
    return tuple(checks)


def custom_checks(gate: Gate) -> tuple[Check, ...]:
    """The expectations that a gate adds by name."""
    checks = []
    for item in gate.expect:
        [(name, given)] = item.items()
        arguments = {argument: _plain(value) for argument, value in given.items()}
        tolerant = arguments.get("mostly", 1) != 1
        checks.append(Check(name, arguments, bool(catalogue().get(name, {}).get("row_level")) and not tolerant))
    return tuple(checks)


def checked_columns(checks: Sequence[Check], key: Sequence[str], columns: Sequence[str]) -> list[str]:
    """The columns that must be read: the key's and those that a check names, in the contract's order.

    All of them where a check is about the table's columns or the place of one among them, or has a condition, which
    may name any.
    """
    of_all = {"row_condition", "column_index"}
    if any(check.name.startswith("expect_table_column") or of_all & check.arguments.keys() for check in checks):
        return list(columns)
    named = set(key).union(*(check.columns for check in checks))
    return [name for name in columns if name in named]


def _column_checks(name: str, column: Column, in_key: bool) -> list[Check]:
    checks = []
    if column.nulls == 0 and not in_key:
        checks.append(_no_nulls(name))
    if 0 < column.nulls < 1 and not in_key:
        arguments = {"column": name, "mostly": round(1 - column.nulls, 12)}
        checks.append(Check("expect_column_values_to_not_be_null", arguments, row_level=False))
    bounds = {
        argument: _bound(value, column.type)
        for argument, value in (("min_value", column.min), ("max_value", column.max))
        if value is not None
    }
    if bounds:
        checks.append(Check("expect_column_values_to_be_between", {"column": name, **bounds}, row_level=True))
    if column.allowed is not None:
        arguments = {"column": name, "value_set": list(column.allowed)}
        checks.append(Check("expect_column_values_to_be_in_set", arguments, row_level=True))
    return checks


def _no_nulls(name: str) -> Check:
    return Check("expect_column_values_to_not_be_null", {"column": name}, row_level=True)


def _bound(value: float | date, kind: str) -> float | str:
    if isinstance(value, int | float):
        return int(value) if kind == "integer" and float(value).is_integer() else value
    return value.isoformat()


def _plain(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return {name: _plain(item) for name, item in value.items()} if isinstance(value, dict) else value
