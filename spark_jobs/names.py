"""Names that may be shown: those that stand in a contract, or in the code. Others may be cells, and are counted."""

import ast
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path

OURS = "/spark_jobs/"


def in_the_code(names: Iterable[str], columns: Iterable[str] = ()) -> str:
    """The names that ``columns``, or the modules of ours that are imported here, have; the others are counted."""
    files = {getattr(module, "__file__", None) or "" for name, module in list(sys.modules.items()) if _is_ours(name)}
    known = set(columns).union(*map(names_in, files))
    found = list(names)
    shown = [name for name in found if name in known]
    more = len(found) - len(shown)
    counted = [f"{more} that neither the contract nor the code has"] if more else []
    return ", ".join([*shown, *counted])


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] == "spark_jobs"


@cache
def names_in(file: str) -> frozenset[str]:
    """The identifiers and the texts in a file of ours."""
    if OURS not in file:
        return frozenset()
    found: set[str] = set()
    try:
        tree = ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError):  # it may have changed since it was imported
        return frozenset()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant):
            found |= {node.value} if isinstance(node.value, str) else set()
            continue
        values = (getattr(node, field, None) for field in ("id", "attr", "name", "module", "arg"))
        found.update(value for value in values if isinstance(value, str))
    return frozenset(found)
