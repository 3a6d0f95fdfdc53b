"""Where the local platform keeps what: folders below ``var``, sockets, ports."""

import hashlib
import os
import pwd
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from nightshift.errors import PlatformError
from nightshift.platform.postgres import SOCKET, Cluster
from nightshift.settings import Settings

# macOS allows 103 bytes for the path of a socket, Linux 107; supervisor appends a dot and its process id.
SOCKET_PATH = 95
LOOPBACK = ("127.0.0.1", "localhost")


@dataclass(frozen=True)
class Layout:
    """The places of one platform; ``var`` tells it from any other on the machine.

    ``postgres`` and ``superuser`` are the ``host:port`` of a Postgres that others run, and its superuser's password;
    ``people_file`` is where the login of people lies instead of among the other secrets.
    """

    var: Path
    postgres: str = ""
    superuser: str = field(default="", repr=False)
    people_file: Path | None = None

    @property
    def secrets(self) -> Path:
        """Passwords and keys, each a file of mode 600."""
        return self.var / "secrets"

    @property
    def people_login(self) -> Path:
        """The login of the role that appends what people decide, for Airflow's API server alone."""
        return self.people_file or self.secrets / "people"

    @property
    def logs(self) -> Path:
        """The logs of the programs; those of tasks are below ``airflow``."""
        return self.var / "logs"

    @property
    def airflow(self) -> Path:
        """AIRFLOW_HOME."""
        return self.var / "airflow"

    @property
    def mlflow(self) -> Path:
        """MLflow's artifacts and the configuration of its logins."""
        return self.var / "mlflow"

    @property
    def run(self) -> Path:
        """Sockets, process ids, the supervisor's configuration; elsewhere when ``var`` is too deep for a socket."""
        inside = self.var / "run"
        if len(os.fsencode(inside / "postgres" / f"{SOCKET}.lock")) <= SOCKET_PATH:
            return inside
        # /tmp, not $TMPDIR: macOS makes that one long, and it must be the same folder in every shell.
        return Path("/tmp") / f"nightshift-{os.geteuid()}-{hashlib.sha256(os.fsencode(self.var)).hexdigest()[:12]}"  # noqa: S108

    @property
    def cluster(self) -> Cluster:
        """The embedded Postgres, or the one that others run."""
        return Cluster(self.var / "postgres", self.run / "postgres", self.postgres, self.superuser)

    @property
    def supervisor_socket(self) -> Path:
        """Where the supervisor listens."""
        return self.run / "supervisor.sock"

    @property
    def supervisor_config(self) -> Path:
        """The configuration that the supervisor was started with."""
        return self.run / "supervisor.conf"

    @property
    def supervisor_pid(self) -> Path:
        """The file of the supervisor's process id."""
        return self.run / "supervisor.pid"

    def log(self, program: str) -> Path:
        """The log of a program."""
        return self.logs / f"{program}.log"

    def make(self) -> None:
        """Makes the folders, for the owner's eyes alone. Raises PlatformError."""
        try:
            for folder in (self.var, self.run, self.secrets, self.logs, self.airflow, self.mlflow):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                _refuse_others(folder)
                folder.chmod(0o700)
        except OSError as error:
            what = f"{error.filename} cannot be made or closed to others ({error.strerror})"
            raise PlatformError(what, where="var", do="correct the folder's owner, or set NIGHTSHIFT_VAR") from None
        if (account := self.cluster.account) and not self.postgres:
            self._open_to_postgres(account)

    def _open_to_postgres(self, account: str) -> None:
        """Lets the user that runs root's Postgres pass the two folders above its own."""
        self.cluster.ensure_account()
        group = pwd.getpwnam(account).pw_gid
        for folder in {self.var, self.run}:
            os.chown(folder, -1, group)
            folder.chmod(0o710)


def of_this_machine(settings: Settings) -> Layout:
    """The places of a platform whose parts are processes of this machine. Raises PlatformError for containers."""
    if settings.postgres:
        raise PlatformError(
            "the platform's parts are containers, which this command neither sees nor starts",
            where="NIGHTSHIFT_POSTGRES",
            do="`docker compose ps`, `up`, `stop`; for backups pg_dump in the container of Postgres (docs/compose.md)",
        )
    return Layout(settings.var, people_file=settings.people_file)


def local_port(url: str, variable: str) -> int:
    """The port of a server that the platform runs. Raises PlatformError when ``url`` is not on this machine."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme != "http" or parts.hostname not in LOOPBACK or not port:
        raise PlatformError(
            f"{variable} is {url!r}, which is no server that `nightshift up` can start",
            allowed="http://127.0.0.1:PORT, with a port from 1 to 65535",
            do=f"correct {variable} or {variable}_PORT",
        )
    return port


def airflow_port(settings: Settings) -> int:
    """The port of Airflow's API and UI. Raises PlatformError when it is not on this machine."""
    return local_port(settings.airflow_url, "NIGHTSHIFT_AIRFLOW")


def mlflow_port(settings: Settings) -> int:
    """The port of MLflow. Raises PlatformError when it is not on this machine."""
    return local_port(settings.mlflow_uri, "NIGHTSHIFT_MLFLOW")


def ports(settings: Settings) -> dict[str, int]:
    """The port of each program that listens on one. Raises PlatformError when one is not on this machine."""
    return {"mlflow": mlflow_port(settings), "airflow-api-server": airflow_port(settings)}


def _refuse_others(folder: Path) -> None:
    # /tmp is everybody's: somebody may have made the folder before us.
    if folder.is_symlink() and folder.parent == Path(tempfile.gettempdir()):
        raise PlatformError(f"{folder} is a symbolic link", where="var", do=f"delete {folder}")
    if folder.stat().st_uid != os.geteuid():
        raise PlatformError(f"{folder} belongs to another user", where="var", do="delete it, or set NIGHTSHIFT_VAR")
