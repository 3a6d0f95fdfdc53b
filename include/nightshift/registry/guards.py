"""What guards the ledger's table, compared with what ``create_ledger`` makes: triggers, their functions, rights."""

import re
from typing import TYPE_CHECKING

from nightshift.finding import Finding
from nightshift.registry.ledger_table import TRIGGERS

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.rows import TupleRow

_WHERE = "table public.ledger"
_DO = "find out who owns or administers the database, then `nightshift up` (elsewhere what prepares the databases)"
_FUNCTION = re.compile(r"FUNCTION public\.(\w+)\(\) RETURNS trigger LANGUAGE plpgsql(.*?) AS \$\$(.*?)\$\$", re.DOTALL)
_SET = re.compile(r"SET (\w+) ?= ?(\w+)")
_TRIGGER = re.compile(
    r"TRIGGER (\w+) (BEFORE|AFTER) ([A-Z ]+) ON public\.ledger\s+FOR EACH (ROW|STATEMENT) "
    r"EXECUTE FUNCTION (?:public\.)?(\w+)\(\)"
)
_TRIGGERS_NOW = """
SELECT t.tgname, t.tgenabled::text, pg_get_triggerdef(t.oid), p.prosrc, p.proconfig
    FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
    WHERE t.tgrelid = 'public.ledger'::regclass AND NOT t.tgisinternal
"""
_COLUMNS_NOW = """
SELECT attname FROM pg_attribute WHERE attrelid = 'public.ledger'::regclass AND attnum > 0 AND NOT attisdropped
    AND attname NOT IN ('content', 'hash') AND attgenerated <> 's'
"""


def flaws(connection: "Connection[TupleRow]") -> list[Finding]:
    """What of the table's guards is missing, switched off or another one."""
    said = []
    functions = {name: (body, _SET.findall(options)) for name, options, body in _FUNCTION.findall(TRIGGERS)}
    wanted = {found[1]: _guarded(found) for found in _TRIGGER.finditer(TRIGGERS)}
    present = {name: rest for name, *rest in connection.execute(_TRIGGERS_NOW)}
    for name, guarded in wanted.items():
        if name not in present:
            said.append(f"trigger {name} is missing: the table takes what it must turn down")
            continue
        enabled, definition, body, options = present.pop(name)
        found = _TRIGGER.search(definition)
        if enabled != "A":
            said.append(f"trigger {name} is switched off, always or for some sessions")
        if found is None or _guarded(found) != guarded:
            said.append(f"trigger {name} guards other statements than it must")
        elif (body, _SET.findall("".join(f"SET {it} " for it in options or ()))) != functions[guarded[-1]]:
            said.append(f"the function of trigger {name} was replaced")
    said += [f"there is a trigger {name} that Nightshift did not make" for name in sorted(present)]
    said += [f"column {name} no longer follows the entry's text" for (name,) in connection.execute(_COLUMNS_NOW)]
    return [Finding("guard", _WHERE, what, _DO) for what in said]


def _guarded(found: re.Match[str]) -> tuple[str, frozenset[str], str, str]:
    """When, of which statements, for what, and the function: Postgres writes statements in an order of its own."""
    return found[2], frozenset(found[3].split(" OR ")), found[4], found[5]
