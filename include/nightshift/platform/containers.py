"""The platform's parts in containers: one step prepares what they share, then each runs in the foreground.

Settings and secrets are those of the local platform, below ``settings.var``, a volume of Airflow's containers. MLflow
sees a volume of its own, with its administrator's login and its database's password, which no task sees. What people
log in with is given in files that variables name; all other secrets are generated.
"""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

from nightshift import storage
from nightshift.database import refuse_pooler
from nightshift.errors import PlatformError
from nightshift.platform import logins, migration, postgres
from nightshift.platform.environment import process_environment
from nightshift.platform.layout import Layout
from nightshift.platform.programs import served
from nightshift.settings import Settings

POSTGRES, AIRFLOW, MLFLOW = (
    f"NIGHTSHIFT_{name}_PASSWORD_FILE" for name in ("POSTGRES_SUPERUSER", "AIRFLOW_ADMIN", "MLFLOW_ADMIN")
)
# Of the object store, where there is one; the file's user is the one that the compose file gives the store.
STORE_KEY = "NIGHTSHIFT_OBJECT_STORE_KEY_FILE"
STORE_USER = "nightshift"
# Its volume, seen from the step that prepares it. The gateway keeps a bucket's policy as this attribute of its folder.
OBJECTS = "NIGHTSHIFT_OBJECTS"
UPSTREAM = "upstream"
POLICY = "user.policy"
# MLflow's volume, seen from the step that prepares it.
MLFLOW_VAR = "NIGHTSHIFT_MLFLOW_VAR"
_POSTGRES_SECONDS = 120


def prepare(settings: Settings, environ: Mapping[str, str], report: Callable[[str], None]) -> None:
    """Secrets, roles, databases, the ledger, Airflow's tables and pools; does only what is not done yet.

    Raises PlatformError, which names the variable of a secret that is missing.
    """
    if not settings.postgres:
        raise PlatformError(
            "NIGHTSHIFT_POSTGRES is not set",
            allowed="host:port",
            do="`nightshift up` starts a platform without containers",
        )
    superuser, airflow, mlflow = (_secret(environ, name) for name in (POSTGRES, AIRFLOW, MLFLOW))
    layout = Layout(settings.var, settings.postgres, superuser, settings.people_file)
    os.umask(0o077)
    layout.make()
    storage.write_bytes(str(logins.airflow_passwords(layout)), json.dumps({logins.ADMIN: airflow}).encode())
    _require_own_place(layout)
    server = layout
    if folder := environ.get(MLFLOW_VAR):
        server = Layout(Path(folder))
        server.make()
    # MLflow keeps the password of its first start: it is changed there.
    logins.ensure_secrets(layout, server, mlflow)
    if STORE_KEY in environ:
        key = _secret(environ, STORE_KEY)
        text = f"[default]\naws_access_key_id = {STORE_USER}\naws_secret_access_key = {key}\n"
        storage.write_bytes(str(layout.secrets / "object-store"), text.encode())
    if folder := environ.get(OBJECTS):
        let_upstream_deliver(settings.landing, Path(folder))
    report("secrets: there")
    _prepare_databases(settings, layout, server, report)


def let_upstream_deliver(landing: str, objects: Path) -> None:
    """Lets the object store's user ``upstream`` write below landing, ``s3://bucket/folder``, and do nothing else.

    ``objects`` is the folder of the buckets. Raises PlatformError.
    """
    place = urlsplit(landing)
    folder = place.path.strip("/")
    if place.scheme != "s3" or not place.netloc or not folder:
        raise PlatformError(
            "landing is no folder of a bucket, so that nothing else of the bucket can be closed to upstream systems",
            where="NIGHTSHIFT_LANDING",
            allowed="s3://BUCKET/FOLDER",
            do=f"correct it, or unset {OBJECTS}",
        )
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": [UPSTREAM]},
        "Action": ["s3:PutObject", "s3:AbortMultipartUpload"],
        "Resource": [f"arn:aws:s3:::{place.netloc}/{folder}/*"],
    }
    bucket = objects / place.netloc
    bucket.mkdir(exist_ok=True)
    try:
        os.setxattr(bucket, POLICY, json.dumps({"Version": "2012-10-17", "Statement": [statement]}).encode())
    except OSError as error:
        raise PlatformError(
            f"the bucket's policy cannot be written ({error.strerror})",
            where=str(bucket),
            allowed="a file system with extended attributes, which the object store needs as well",
            do="move the volume `objects` to one",
        ) from None


def serve(settings: Settings, name: str) -> NoReturn:
    """Becomes a program of the platform. Raises PlatformError for a name that is none."""
    program = served(settings, name)
    os.umask(0o077)
    os.execve(program.argv[0], program.argv, {**process_environment(settings), **program.environment})  # noqa: S606


def _prepare_databases(settings: Settings, layout: Layout, server: Layout, report: Callable[[str], None]) -> None:
    postgres.wait_until_ready(layout.cluster, _POSTGRES_SECONDS)
    postgres.ensure_roles(layout.cluster, logins.postgres_roles(layout, server))
    postgres.make_ledger(layout.cluster, logins.OWNER, logins.WRITER, logins.PEOPLE)
    refuse_pooler(settings.database)
    report("postgres: roles, databases and the ledger are there")
    migration.ensure_migrated(layout, process_environment(settings), report)
    migration.ensure_pools(layout, process_environment(settings), report)
    report("airflow: its tables and pools are there")


def _require_own_place(layout: Layout) -> None:
    """Raises PlatformError where tasks, which see ``var``, would see the login of people, too."""
    if layout.people_login.resolve().is_relative_to(layout.var.resolve()):
        raise PlatformError(
            "the login of the role that records what people decide would lie where tasks read",
            where="NIGHTSHIFT_PEOPLE_FILE",
            allowed="a file of a volume that this step and airflow-api-server mount, no other",
            do="set it for these two",
        )


def _secret(environ: Mapping[str, str], name: str) -> str:
    file = environ.get(name, "")
    if not file:
        raise PlatformError(f"{name} is not set", allowed="the path of a file that holds the secret", do=f"set {name}")
    try:
        found = Path(file).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise PlatformError(
            f"the file that {name} names cannot be read ({error.strerror})", where=file, do="write the secret there"
        ) from None
    if not found:
        raise PlatformError(f"the file that {name} names is empty", where=file, do="write the secret there")
    return found
