"""Airflow's database: brought to the installed version, and its pools made, each only when that is needed."""

import json
import subprocess
from collections.abc import Callable, Collection, Mapping
from importlib.metadata import version
from pathlib import Path

from nightshift import storage
from nightshift.errors import PlatformError
from nightshift.plan import SPARK_POOL
from nightshift.platform.layout import Layout
from nightshift.platform.postgres import connect
from nightshift.platform.programs import AIRFLOW
from nightshift.platform.supervisor import MARKER

# Slots: one Spark job at a time owns the machine.
# One for the past, which never takes more, and one that tonight finds free.
POOLS = {SPARK_POOL: 2}


def ensure_migrated(layout: Layout, environ: Mapping[str, str], report: Callable[[str], None]) -> None:
    """Migrates Airflow's database unless it is where the installed version left it. Raises PlatformError."""
    stamp = layout.airflow / "migrated"
    if stamp.exists() and stamp.read_text() == _position(layout):
        return
    report("airflow: migrating its database")
    _airflow(layout, environ, "db", "migrate")
    storage.write_bytes(str(stamp), _position(layout).encode())


def ensure_pools(layout: Layout, environ: Mapping[str, str], report: Callable[[str], None]) -> None:
    """Makes the pools that are not there; slots that an operator changed stay. Raises PlatformError."""
    with connect(layout.cluster, "airflow") as connection:
        known = {str(row[0]) for row in connection.execute("SELECT pool FROM slot_pool")}
    pools = missing_pools(known)
    if not pools:
        return
    report(f"airflow: making the pools {', '.join(pools)}")
    file = layout.run / "pools.json"
    storage.write_bytes(str(file), json.dumps(pools).encode())
    _airflow(layout, environ, "pools", "import", str(file))


def missing_pools(known: Collection[str]) -> dict[str, dict[str, object]]:
    """The pools that are not known yet, as `airflow pools import` reads them."""
    return {
        name: {"slots": slots, "description": "Nightshift", "include_deferred": False}
        for name, slots in POOLS.items()
        if name not in known
    }


def _position(layout: Layout) -> str:
    """The installed version and the revision of the database; reading it costs no import of Airflow."""
    with connect(layout.cluster, "airflow") as connection:
        found = connection.execute("SELECT to_regclass('alembic_version') IS NOT NULL").fetchone()
        rows = connection.execute("SELECT version_num FROM alembic_version").fetchall() if found and found[0] else []
    return f"{version('apache-airflow-core')} {' '.join(str(row[0]) for row in rows)}"


def _airflow(layout: Layout, environ: Mapping[str, str], *command: str) -> None:
    log: Path = layout.log(f"airflow-{command[0]}")
    with log.open("ab") as output:
        argv = [*AIRFLOW, *command]
        marked = {**environ, MARKER: str(layout.var)}
        done = subprocess.run(argv, env=marked, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False)
    if done.returncode:
        what = f"`airflow {' '.join(command)}` ended with status {done.returncode}"
        raise PlatformError(what, where="airflow", do=f"see {log}")
