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
    r"EXECUTE FUNCTION (?:public\.)?(\w+)\(([^)]*)\)"
)
_ROLE = re.compile(r"'([^']*)'")
# Whom the last trigger keeps apart is compared with who may append.
_APART = "of_people"
_TRIGGERS_NOW = """
SELECT t.tgname, t.tgenabled::text, pg_get_triggerdef(t.oid), p.prosrc, p.proconfig
    FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
    WHERE t.tgrelid = 'public.ledger'::regclass AND NOT t.tgisinternal
"""
_COLUMNS_NOW = """
SELECT attname FROM pg_attribute WHERE attrelid = 'public.ledger'::regclass AND attnum > 0 AND NOT attisdropped
    AND attname NOT IN ('content', 'hash') AND attgenerated <> 's'
"""
# Rights on columns with them: that to insert two is enough to append.
_RIGHTS_NOW = """
SELECT coalesce(r.rolname, 'PUBLIC'), a.privilege_type FROM pg_class c CROSS JOIN LATERAL (
        SELECT t.* FROM aclexplode(c.relacl) t
        UNION SELECT t.* FROM pg_attribute o CROSS JOIN aclexplode(o.attacl) t WHERE o.attrelid = c.oid
    ) a LEFT JOIN pg_roles r ON r.oid = a.grantee
    WHERE c.oid = 'public.ledger'::regclass AND a.grantee <> c.relowner AND a.privilege_type <> 'SELECT'
"""


def flaws(connection: "Connection[TupleRow]") -> list[Finding]:
    """What of the table's guards is missing, switched off or another one."""
    said = []
    functions = {name: (body, _SET.findall(options)) for name, options, body in _FUNCTION.findall(TRIGGERS)}
    wanted = {found[1]: _guarded(found) for found in _TRIGGER.finditer(TRIGGERS)}
    apart: list[str] = []
    present = {name: rest for name, *rest in connection.execute(_TRIGGERS_NOW)}
    for name, guarded in wanted.items():
        if name not in present:
            said.append(f"trigger {name} is missing: the table takes what it must turn down")
            continue
        enabled, definition, body, options = present.pop(name)
        found = _TRIGGER.search(definition)
        if name == _APART and found is not None:
            apart = _ROLE.findall(found[6])
        if enabled != "A":
            said.append(f"trigger {name} is switched off, always or for some sessions")
        if found is None or _guarded(found) != guarded:
            said.append(f"trigger {name} guards other statements than it must")
        elif (body, _SET.findall("".join(f"SET {it} " for it in options or ()))) != functions[guarded[-1]]:
            said.append(f"the function of trigger {name} was replaced")
    said += [f"there is a trigger {name} that Nightshift did not make" for name in sorted(present)]
    said += [f"column {name} no longer follows the entry's text" for (name,) in connection.execute(_COLUMNS_NOW)]
    said += _of_rights(apart, list(connection.execute(_RIGHTS_NOW)))
    return [Finding("guard", _WHERE, what, _DO) for what in said]


def _of_rights(apart: list[str], rights: "list[TupleRow]") -> list[str]:
    """Return what of the rights is not as it was made: two roles may append, and the trigger knows which is which."""
    said = [f"role {role} has the right {right}, which nobody needs" for role, right in rights if right != "INSERT"]
    appending = {role for role, right in rights if right == "INSERT"}
    if apart and (len(set(apart)) != len(apart) or appending != set(apart)):
        said.append(f"the roles that may append ({', '.join(sorted(appending))}) are not the two that are kept apart")
    return sorted(said)


def _guarded(found: re.Match[str]) -> tuple[str, frozenset[str], str, str]:
    """When, of which statements, for what, and the function: Postgres writes statements in an order of its own."""
    return found[2], frozenset(found[3].split(" OR ")), found[4], found[5]
