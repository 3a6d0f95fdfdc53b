"""The little that Nightshift asks a running Airflow: its REST API with the platform's own login."""

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Self
from urllib.parse import quote

from nightshift.errors import OrderRefused, PlatformError
from nightshift.run_day import run_day
from nightshift.run_facts import OPEN
from nightshift.settings import Settings

log = logging.getLogger("nightshift")

MARKS = ("patch_dag_run", "patch_task_instance", "patch_task_group_instances")
PAUSES = ("patch_dag", "patch_dags")

# Airflow's answers to an answer that is not taken.
_REFUSALS = {
    400: "Airflow does not take the answer",
    403: "this login may not answer there; Airflow's role of it must be allowed to edit the DAG's runs",
    404: "nothing waits for an answer there; the window opens some seconds after the proposal",
    # Or this very request, sent again after an answer that was lost.
    409: "it has been answered already; `nightshift proposals` says by whom",
}

_UNAUTHORISED, _NOT_FOUND, _CONFLICT = 401, 404, 409

# A busy machine answers late: what is only asked is asked again, so many seconds later.
_PAUSES = (1.0, 2.0, 5.0, 10.0, 20.0)


@dataclass(frozen=True)
class Run:
    """A run of a DAG. ``seconds`` is its duration so far, 0 before it starts; moments are in ISO format."""

    ds: str
    run_id: str
    state: str
    run_type: str
    seconds: float
    started: str = ""
    ended: str = ""
    dag_id: str = ""
    queued: str = ""


@dataclass(frozen=True)
class Task:
    """A task instance; ``ended`` is the moment in ISO format, empty where Airflow does not know it."""

    task: str
    map_index: int
    ended: str = ""
    state: str = "failed"


@dataclass(frozen=True)
class Mark:
    """What a person did by hand to a run, to one of its tasks or to its DAG, by Airflow's audit log."""

    what: str
    who: str
    at: str
    task: str = ""


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
    """Asks the API server at ``settings.airflow_url``. Raises PlatformError where it does not answer.

    One that is not ``patient`` has other things to look at: it waits for 10 s, and does not ask again.
    """

    def __init__(self, settings: Settings, user: str, password: str, *, patient: bool = True) -> None:
        import httpx

        self._url, self._patient, self.user = settings.airflow_url, patient, user
        self._client = httpx.Client(base_url=self._url, timeout=30 if patient else 10)
        answer = self._signed_in(user, password)
        self._client.headers["Authorization"] = f"Bearer {answer['access_token']}"

    def _signed_in(self, user: str, password: str) -> dict[str, Any]:
        try:
            return self._ask("POST", "/auth/token", json={"username": user, "password": password})
        except PlatformError as error:
            if _status(error.__cause__) != _UNAUTHORISED:
                raise
            raise PlatformError(
                f"Airflow does not know the login {user} with that password",
                where=self._url,
                do="correct NIGHTSHIFT_AIRFLOW_USER and NIGHTSHIFT_AIRFLOW_PASSWORD_FILE",
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def runs(self, dag_id: str, first: date, last: date) -> list[Run]:
        """The runs of a DAG from ``first`` to ``last``, by day."""
        window = {"logical_date_gte": f"{first}T00:00:00Z", "logical_date_lte": f"{last}T00:00:00Z"}
        return self._runs(dag_id, {**window, "order_by": "logical_date"})

    def day_runs(self, dag_id: str, ds: date) -> list[Run]:
        """The runs of a DAG that are of one day, also those that a person triggered at another moment; newest last."""
        newest = {"run_type": "manual", "order_by": "-run_after", "limit": "100"}
        page = self._ask("GET", f"/api/v2/dags/{dag_id}/dagRuns", params=newest)
        by_hand = map(_run, page["dag_runs"])
        found = {run.run_id: run for run in (*self.runs(dag_id, ds, ds), *by_hand) if run.ds == ds.isoformat()}
        return sorted(found.values(), key=lambda run: run.queued)

    def changed_runs(self, since: datetime) -> list[Run]:
        """The runs of all DAGs that something has changed of since a moment, in the order of their changes."""
        return self._runs("~", {"updated_at_gte": since.isoformat(), "order_by": "updated_at"})

    def earlier_seconds(self, dag_id: str, count: int) -> list[float]:
        """The durations of the newest runs of a DAG that went well."""
        query = {"state": "success", "order_by": "-logical_date", "limit": str(count)}
        page = self._ask("GET", f"/api/v2/dags/{dag_id}/dagRuns", params=query)
        found = (_run(item).seconds for item in page["dag_runs"])
        return [seconds for seconds in found if seconds]  # one that somebody marked may never have begun

    def _runs(self, dag_id: str, query: dict[str, str]) -> list[Run]:
        found: list[dict[str, Any]] = []
        while True:
            paged = {**query, "limit": "100", "offset": str(len(found))}
            page = self._ask("GET", f"/api/v2/dags/{dag_id}/dagRuns", params=paged)
            found += page["dag_runs"]
            if not page["dag_runs"] or len(found) >= page["total_entries"]:
                return [_run(item) for item in found]

    def failed_tasks(self, dag_id: str, run_id: str) -> list[Task]:
        """The tasks of a run that failed, not those that only had to wait for them."""
        return self._tasks(dag_id, run_id, ("failed",))

    def open_tasks(self, dag_id: str, run_id: str) -> list[Task]:
        """The tasks of a run that are at work, or look again later."""
        return self._tasks(dag_id, run_id, OPEN)

    def _tasks(self, dag_id: str, run_id: str, states: Sequence[str]) -> list[Task]:
        page = self._ask("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances", params={"state": states})
        return [
            Task(item["task_id"], item["map_index"], item.get("end_date") or "", item["state"])
            for item in page["task_instances"]
        ]

    def is_paused(self, dag_id: str) -> bool:
        """Return whether the DAG is paused: no task of it is begun then."""
        return bool(self._ask("GET", f"/api/v2/dags/{dag_id}")["is_paused"])

    def marks(self, dag_id: str, run_id: str = "") -> list[Mark]:
        """The marks that people set on a run and its tasks, without a run on the DAG: pauses. Oldest first."""
        wanted = {"run_id": run_id, "included_events": MARKS} if run_id else {"included_events": PAUSES}
        query = {"dag_id": dag_id, "order_by": "-when", "limit": "100", **wanted}
        events = self._ask("GET", "/api/v2/eventLogs", params=query)["event_logs"]
        return [mark for item in reversed(events) if (mark := mark_of(item))]

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
        """Cancel a backfill: its queued runs fail, those that run go on. Airflow's audit log has the login.

        One that has ended is none to cancel. So is one whose first request was carried out and answered too late.
        """
        try:
            self._ask("PUT", f"/api/v2/backfills/{backfill.id}/cancel")
        except PlatformError as error:
            if _status(error.__cause__) != _CONFLICT:
                raise

    def note(self, dag_id: str, run_id: str, text: str) -> None:
        """Put a note on a run, in place of the one it has."""
        self._ask("PATCH", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}", json={"note": text})

    def answer(self, dag_id: str, run_id: str, task: str, choice: str, given: Mapping[str, Any]) -> str:
        """Answer a task that waits for a person, and return the login that Airflow keeps as the one who did.

        Raises OrderRefused where the task does not wait, somebody was quicker, or the login may not.
        """
        path = f"/api/v2/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}/taskInstances/{task}/-1/hitlDetails"
        try:
            answer = self._ask("PATCH", path, json={"chosen_options": [choice], "params_input": dict(given)})
        except PlatformError as error:
            status = _status(error.__cause__)
            if status not in _REFUSALS:
                raise
            raise OrderRefused(_REFUSALS[status], where=f"{dag_id} {run_id}, task {task}") from None
        return str(answer["responded_by"]["name"])

    def has_dag(self, dag_id: str) -> bool:
        """Return whether the DAG has been parsed and is not stale."""
        try:
            return not self._ask("GET", f"/api/v2/dags/{dag_id}").get("is_stale", False)
        except PlatformError as error:
            if _status(error.__cause__) != _NOT_FOUND:
                raise
            return False

    def _ask(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        import httpx

        pauses = iter(_PAUSES if self._patient else ())
        while True:
            try:
                response = self._client.request(method, path, **arguments)
                response.raise_for_status()
                answer: dict[str, Any] = response.json()
            except (httpx.HTTPError, json.JSONDecodeError) as error:
                pause = next(pauses, None) if _may_pass(error) else None
                if pause is None:
                    said = " ".join(filter(None, (type(error).__name__, str(_status(error) or ""))))
                    raise PlatformError(
                        f"Airflow's API server does not answer as it should: {said}",
                        where=f"{self._url}{path}",
                        do="look at `nightshift status` and the log of airflow-api-server",
                    ) from error
                log.info("Airflow's API server is slow (%s); asking again", type(error).__name__)
                time.sleep(pause)
            else:
                return answer


def _status(error: BaseException | None) -> int | None:
    """The status of an answer that is an error; None where there was no answer."""
    import httpx

    return error.response.status_code if isinstance(error, httpx.HTTPStatusError) else None


def _may_pass(error: Exception) -> bool:
    """Whether the same question may get an answer later: the server is busy, or is just being started again."""
    import httpx

    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR
    return isinstance(error, httpx.TimeoutException | httpx.RemoteProtocolError | httpx.ReadError)


def login(settings: Settings, *, patient: bool = True) -> AirflowClient:
    """A client with the login that ``nightshift up`` generated."""
    found = passwords(settings)
    if not found:
        where = str(settings.var / "secrets")
        raise PlatformError("no login can be read", where=where, do="start the platform with `nightshift up`")
    user, password = next(iter(found.items()))
    return AirflowClient(settings, user, password, patient=patient)


def passwords(settings: Settings) -> dict[str, str]:
    """The passwords of logins that this account may read, the platform's own first; none where it may not."""
    from nightshift.platform.layout import Layout
    from nightshift.platform.logins import ADMIN, airflow_passwords

    try:
        found: dict[str, str] = json.loads(airflow_passwords(Layout(settings.var)).read_text())
    except OSError:
        return {}
    return dict(sorted(found.items(), key=lambda item: item[0] != ADMIN))


def _run(item: dict[str, Any]) -> Run:
    return Run(
        ds=run_day(item["run_type"], item.get("conf"), item["logical_date"] or ""),
        run_id=item["dag_run_id"],
        state=item["state"],
        run_type=item["run_type"],
        seconds=float(item.get("duration") or 0.0),
        started=item.get("start_date") or "",
        ended=item.get("end_date") or "",
        dag_id=str(item["dag_id"]),
        queued=item.get("queued_at") or "",
    )


def mark_of(item: Mapping[str, Any]) -> Mark | None:
    """What an entry of the audit log marked; None where it did something else, such as to set a note."""
    try:
        extra = json.loads(item["extra"] or "{}")
    except ValueError:
        return None
    state = extra.get("new_state") or extra.get("state")
    what = f"marked {state}" if state else ""
    if item["event"] in PAUSES and "is_paused" in extra:
        what = "paused" if str(extra["is_paused"]).lower() == "true" else "unpaused"
    return Mark(what, item["owner"] or "", item["when"], item["task_id"] or "") if what else None
