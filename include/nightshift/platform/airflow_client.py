"""The little that Nightshift asks a running Airflow: its REST API with the platform's own login."""

import json
import logging
import time
from dataclasses import dataclass
from datetime import date
from typing import Any, Self

from nightshift.errors import PlatformError
from nightshift.settings import Settings

log = logging.getLogger("nightshift")

# A busy machine answers late: what is only asked is asked again, so many seconds later.
_PAUSES = (1.0, 2.0, 5.0, 10.0, 20.0)


@dataclass(frozen=True)
class Run:
    """A run of a DAG. ``seconds`` is its duration so far, 0 before it starts."""

    ds: str
    run_id: str
    state: str
    run_type: str
    seconds: float


@dataclass(frozen=True)
class FailedTask:
    """A task instance that failed; ``ended`` is the moment in ISO format, empty where Airflow does not know it."""

    task: str
    map_index: int
    ended: str = ""


@dataclass(frozen=True)
class Backfill:
    """A backfill of a DAG, with its first and last business date."""

    id: int
    dag_id: str
    first: date
    last: date

    @property
    def words(self) -> str:
        """The backfill for people."""
        return f"{self.id}, {self.first} to {self.last}"


class AirflowClient:
    """Asks the API server at ``settings.airflow_url``. Raises PlatformError where it does not answer."""

    def __init__(self, settings: Settings, user: str, password: str) -> None:
        import httpx

        self._url = settings.airflow_url
        self._client = httpx.Client(base_url=self._url, timeout=30)
        answer = self._ask("POST", "/auth/token", json={"username": user, "password": password})
        self._client.headers["Authorization"] = f"Bearer {answer['access_token']}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def runs(self, dag_id: str, first: date, last: date) -> list[Run]:
        """The runs of a DAG from ``first`` to ``last``, by day."""
        window = {"logical_date_gte": f"{first}T00:00:00Z", "logical_date_lte": f"{last}T00:00:00Z"}
        found: list[dict[str, Any]] = []
        while True:
            query = {**window, "limit": "100", "offset": str(len(found)), "order_by": "logical_date"}
            page = self._ask("GET", f"/api/v2/dags/{dag_id}/dagRuns", params=query)
            found += page["dag_runs"]
            if not page["dag_runs"] or len(found) >= page["total_entries"]:
                return [_run(item) for item in found]

    def failed_tasks(self, dag_id: str, run_id: str) -> list[FailedTask]:
        """The tasks of a run that failed, not those that only had to wait for them."""
        page = self._ask("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances", params={"state": "failed"})
        return [
            FailedTask(item["task_id"], item["map_index"], item.get("end_date") or "")
            for item in page["task_instances"]
        ]

    def has_backfill(self, dag_id: str) -> bool:
        """Return whether a backfill of the DAG is active; Airflow allows one at a time."""
        return self.active_backfill(dag_id) is not None

    def active_backfill(self, dag_id: str) -> Backfill | None:
        """The backfill of the DAG that is active, if there is one."""
        page = self._ask("GET", "/api/v2/backfills", params={"dag_id": dag_id, "order_by": "-id", "limit": "1"})
        for item in page["backfills"]:
            if item["completed_at"] is None:
                first, last = (date.fromisoformat(item[name][:10]) for name in ("from_date", "to_date"))
                return Backfill(item["id"], dag_id, first, last)
        return None

    def cancel_backfill(self, backfill: Backfill) -> None:
        """Cancel a backfill: its queued runs fail, those that run go on. Airflow's audit log has the login."""
        self._ask("PUT", f"/api/v2/backfills/{backfill.id}/cancel")

    def note(self, dag_id: str, run_id: str, text: str) -> None:
        """Put a note on a run, in place of the one it has."""
        self._ask("PATCH", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}", json={"note": text})

    def has_dag(self, dag_id: str) -> bool:
        """Return whether the DAG has been parsed and is not stale."""
        import httpx

        try:
            return not self._ask("GET", f"/api/v2/dags/{dag_id}").get("is_stale", False)
        except PlatformError as error:
            cause = error.__cause__
            if isinstance(cause, httpx.HTTPStatusError) and cause.response.status_code == httpx.codes.NOT_FOUND:
                return False
            raise

    def _ask(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        import httpx

        pauses = iter(_PAUSES)
        while True:
            try:
                response = self._client.request(method, path, **arguments)
                response.raise_for_status()
                answer: dict[str, Any] = response.json()
            except (httpx.HTTPError, json.JSONDecodeError) as error:
                pause = next(pauses, None) if _may_pass(error) else None
                if pause is None:
                    raise PlatformError(
                        f"Airflow's API server does not answer as it should: {type(error).__name__}",
                        where=f"{self._url}{path}",
                        do="look at `nightshift status` and the log of airflow-api-server",
                    ) from error
                log.info("Airflow's API server is slow (%s); asking again", type(error).__name__)
                time.sleep(pause)
            else:
                return answer


def _may_pass(error: Exception) -> bool:
    """Whether the same question may get an answer later: the server is busy, or is just being started again."""
    import httpx

    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR
    return isinstance(error, httpx.TimeoutException | httpx.RemoteProtocolError | httpx.ReadError)


def login(settings: Settings) -> AirflowClient:
    """A client with the login that ``nightshift up`` generated."""
    file = settings.var / "secrets" / "airflow-passwords.json"
    try:
        passwords = json.loads(file.read_text())
    except OSError as error:
        raise PlatformError(
            f"the login {file} cannot be read ({error.strerror})", do="start the platform with `nightshift up`"
        ) from None
    user, password = next(iter(passwords.items()))
    return AirflowClient(settings, user, password)


def _run(item: dict[str, Any]) -> Run:
    return Run(
        ds=str(item["logical_date"])[:10],
        run_id=item["dag_run_id"],
        state=item["state"],
        run_type=item["run_type"],
        seconds=float(item.get("duration") or 0.0),
    )
