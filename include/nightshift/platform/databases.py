"""What databases must have before Airflow starts, where others made them: ``python -m nightshift.platform.databases``.

Migrates Airflow's database, makes the pools that are not there, and the ledger, which belongs to the role in the file
NIGHTSHIFT_DATABASE_OWNER_FILE and is continued by those in NIGHTSHIFT_DATABASE_FILE (tasks) and NIGHTSHIFT_PEOPLE_FILE
(people). Doing it again changes nothing. On Kubernetes it is the job that Airflow's chart runs before anything else.
(``nightshift prepare`` makes roles, databases and secrets as well, for which it must be told the superuser's password.)
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from nightshift.database import refuse_pooler
from nightshift.errors import NightshiftError, PlatformError
from nightshift.platform.migration import missing_pools
from nightshift.platform.programs import AIRFLOW
from nightshift.registry.ledger import create_ledger
from nightshift.settings import Settings

OWNER = "NIGHTSHIFT_DATABASE_OWNER_FILE"


def main() -> None:
    """Prepares, or exits with a message."""
    try:
        _airflow("db", "migrate")
        _make_pools()
        _make_ledger(Settings.from_env())
    except NightshiftError as error:
        sys.exit(str(error))


def _make_pools() -> None:
    known = {found["pool"] for found in json.loads(_airflow("pools", "list", "--output", "json"))}
    missing = missing_pools(known)
    if not missing:
        return
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(missing, file)
        file.flush()
        _airflow("pools", "import", file.name)


def _make_ledger(settings: Settings) -> None:
    from psycopg.conninfo import conninfo_to_dict

    try:
        owner = Path(os.environ[OWNER]).read_text(encoding="utf-8").strip()
    except (KeyError, OSError):
        raise PlatformError(
            "the owner of the ledger is unknown",
            where=os.environ.get(OWNER, OWNER),
            allowed="a file with a libpq URL",
            do=f"set {OWNER}",
        ) from None
    writer, people = (str(conninfo_to_dict(url)["user"]) for url in (settings.database, settings.people))
    create_ledger(owner, writer, people_role=people)
    for url in (settings.database, settings.people):
        refuse_pooler(url)


def _airflow(*command: str) -> str:
    done = subprocess.run([*AIRFLOW, *command], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        what = f"`airflow {' '.join(command)}` ended with status {done.returncode}"
        raise PlatformError(what, where="airflow", do="see what it says above")
    return done.stdout


if __name__ == "__main__":
    main()
