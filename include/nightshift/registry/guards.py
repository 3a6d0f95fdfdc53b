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
_BODY = re.compile(r"FUNCTION public\.(\w+)\(\).*?AS \$\$(.*?)\$\$", re.DOTALL)
# As Postgres writes them; an upgrade of it that writes them otherwise is seen by the tests.
_DEFINED = {
    "never_changes": "BEFORE DELETE OR UPDATE OR TRUNCATE ON public.ledger FOR EACH STATEMENT "
    "EXECUTE FUNCTION ledger_never_changes()",
    "continues": "AFTER INSERT ON public.ledger FOR EACH ROW EXECUTE FUNCTION ledger_continues()",
}
_SEARCHED = {"continues": ["search_path=pg_catalog"]}
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
    bodies = dict(_BODY.findall(TRIGGERS))
    found = {name: rest for name, *rest in connection.execute(_TRIGGERS_NOW)}
    for name, defined in _DEFINED.items():
        if name not in found:
            said.append(f"trigger {name} is missing: the table takes what it must turn down")
            continue
        enabled, definition, body, searched = found.pop(name)
        statements = definition.removeprefix(f"CREATE TRIGGER {name} ").replace("FUNCTION public.", "FUNCTION ")
        if enabled != "A":
            said.append(f"trigger {name} is switched off, always or for some sessions")
        if statements != defined:
            said.append(f"trigger {name} guards other statements than it must")
        elif body != bodies.get(f"ledger_{name}") or searched != _SEARCHED.get(name):
            said.append(f"the function of trigger {name} was replaced")
    said += [f"there is a trigger {name} that Nightshift did not make" for name in sorted(found)]
    said += [f"column {name} no longer follows the entry's text" for (name,) in connection.execute(_COLUMNS_NOW)]
    return [Finding("guard", _WHERE, what, _DO) for what in said]
