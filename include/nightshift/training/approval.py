"""The question of a retrain to a person: the proposal that ``decide`` makes, and the answer that ``promote`` records.

Between the two the task ``approval`` waits for the answer and leaves it, as steps leave what comes after them: no XCom
decides, which people may edit.
"""

from datetime import UTC, datetime
from urllib.parse import quote

from nightshift.database import advisory_lock
from nightshift.errors import NightshiftError, PlatformError
from nightshift.job import Job
from nightshift.registry.alias import alias_lock, mirrored
from nightshift.registry.conclusion import refuse
from nightshift.registry.decisions import Recorded
from nightshift.registry.entry import Entry, NewEntry
from nightshift.registry.ledger import Ledger
from nightshift.registry.proposals import (
    Answer,
    Fate,
    Proposal,
    compared_still,
    ended,
    fate,
    find_proposal,
    proposed,
)
from nightshift.run_facts import WINDOW
from nightshift.settings import Settings
from nightshift.training.evidence import Evidence

_SERVER_SECONDS = 30.0


def propose(job: Job, evidence: Evidence) -> tuple[Entry | None, bool]:
    """Records the proposal of a challenger that the rule would promote, and whether its comparison still holds.

    No entry where a person is not to be asked, or where champion or open proposal changed meanwhile: compare again.
    Raises PlatformError where the table does not know proposals yet.
    """
    import psycopg

    ledger, name, verdict = Ledger.of(job.settings), job.pipeline.name, evidence.verdict(job)
    assert job.ordered_by is not None  # noqa: S101
    ordered_by, holds = job.ordered_by, True

    def compose(past: list[Entry], now: datetime) -> NewEntry | Entry | None:
        nonlocal holds
        holds = compared_still(past, job.pipeline.schedule, verdict, evidence.rival, now)
        return proposed(past, job.pipeline, verdict, evidence.rival, ordered_by, now)

    with advisory_lock(job.settings, alias_lock(name)) as lock:
        try:
            entry = ledger.append_seeing(name, compose)
        except psycopg.errors.CheckViolation:  # as after the restore of an older backup
            raise PlatformError(
                "the ledger's table was made before there were proposals; nothing was recorded",
                where=name,
                do="run `nightshift up`, which adds the kind, elsewhere what prepares the databases; then clear decide",
            ) from None
        if entry is not None:  # MLflow shows it, and the ledger's head with it
            entries = ledger.entries(name)
            lock.confirm()
            mirrored(job.settings, job.pipeline, entries)
    return entry, holds or entry is not None


def waiting_for(job: Job) -> tuple[Proposal, Fate] | None:
    """The proposal that this run's window is on, with what became of it; None where ``decide`` made none."""
    seq = Evidence.read(job.left("decide")).proposal
    if seq is None:
        return None
    entries = Ledger.of(job.settings).entries(job.pipeline.name)
    proposal = find_proposal(entries, seq)
    return proposal, fate(entries, job.pipeline.schedule, proposal, datetime.now(UTC))


def leave_answer(job: Job, proposal: int, answer: Answer) -> None:
    """Leaves the answer to a proposal for ``promote``."""
    job.leave(WINDOW, {"proposal": proposal, "answer": answer.document()})


def conclude(job: Job, proposal: int) -> tuple[Recorded, str]:
    """Returns the entry that ends the proposal, and what came of MLflow's alias.

    A refusal is recorded here. An approval is recorded by Airflow's API server, which has the role of people and reads
    Airflow's own record. Raises NightshiftError where nobody has answered this very proposal, as where somebody marked
    the window as done, and PlatformError where the server records nothing.
    """
    left = job.left(WINDOW)
    if left["proposal"] != proposal:
        raise NightshiftError(
            f"the answer that is there is to proposal {left['proposal']}, not to {proposal}",
            where=f"{job.pipeline.name} {job.day}",
            do=f"clear the task {WINDOW}, which asks again",
        )
    ledger, name, answer = Ledger.of(job.settings), job.pipeline.name, Answer(**left["answer"])
    stands = ended(ledger.entries(name), proposal) is not None
    entry = refuse(ledger, job.pipeline, proposal, answer)
    if entry is None:
        _ask_server(job.settings, answer)
        entry = refuse(ledger, job.pipeline, proposal, answer)
    if entry is None:
        raise PlatformError(
            f"Airflow's record of the window does not say that {answer.by} approved proposal {proposal}",
            where=f"{answer.dag_id} {answer.run_id}, task {WINDOW}",
            do=f"clear the task {WINDOW}, which asks again. Nobody can approve what `airflow dags trigger` ordered, "
            "which signs nobody in: order another run in Airflow",
        )
    with advisory_lock(job.settings, alias_lock(name)) as lock:
        entries = ledger.entries(name)
        lock.confirm()
        alias = mirrored(job.settings, job.pipeline, entries)
    return Recorded(entry, stands), alias


def _ask_server(settings: Settings, answer: Answer) -> None:
    """Asks the API server to record what a person has approved. Raises PlatformError where it does not answer."""
    import httpx

    path = f"/nightshift/approvals/{quote(answer.dag_id)}/{quote(answer.run_id, safe='')}"
    try:
        httpx.post(f"{settings.airflow_url}{path}", timeout=_SERVER_SECONDS, trust_env=False).raise_for_status()
    except httpx.HTTPError as error:
        raise PlatformError(
            f"Airflow's API server did not record the approval ({type(error).__name__})",
            where=f"{settings.airflow_url}{path}",
            do="see the log of airflow-api-server, then clear this task",
        ) from None
