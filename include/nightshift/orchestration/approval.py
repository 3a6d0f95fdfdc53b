"""The task that waits for a person: Airflow's window on a proposal of the ledger.

Airflow keeps who answered, by their login, in a record that neither an XCom nor a task can change: a task's own token
can answer in nobody's name alone. What that record says is what the task is resumed with.
"""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import BaseOperatorLink, Context, Param
from airflow.sdk.exceptions import AirflowSkipException

from nightshift import tonight
from nightshift.errors import NightshiftError
from nightshift.job import Job, Outcome
from nightshift.orchestration.links import LINKS
from nightshift.orchestration.tasks import NO_LINKS, asked, log, plain_failures, told
from nightshift.registry.proposals import Answer, Proposal, why_not_by
from nightshift.registry.window import APPROVE, PROPOSAL, REASON, REJECT, answered

# Airflow's sweep of windows that nobody answered comes after this, and finds the proposal expired.
_LATER = timedelta(seconds=5)


def approval_operator(pipeline: str, **arguments: Any) -> "ApprovalOperator":
    """The task of a pipeline's retrain; what it asks is known when it runs."""
    params = {
        REASON: Param("", type=["null", "string"], title="Reason", description="why; kept in the ledger"),
        PROPOSAL: Param(None, type=["null", "integer"], title="Proposal", description="its number in the ledger"),
    }
    return ApprovalOperator(subject=f"a proposal of {pipeline}", options=[APPROVE, REJECT], params=params, **arguments)


class ApprovalOperator(HITLOperator):
    """Waits, without a slot, until a person has approved or rejected the proposal that ``decide`` made, or it expired.

    The answer is left for ``promote``, which decides by the ledger whether it counts. One that cannot count is put on
    the run's page, and the window opens again.
    """

    operator_extra_links: Collection[BaseOperatorLink] = LINKS
    waits_on: tuple[type[NightshiftError], ...] = ()
    links: Mapping[str, str] = NO_LINKS
    headline = ""

    def execute(self, context: Context) -> None:
        """Opens the window. Skipped where nobody is to be asked; done where the proposal's fate is known already."""
        from nightshift.training.approval import leave_answer, waiting_for

        with plain_failures():
            job = asked(self, context)
            found = waiting_for(job)
            if found is None:
                raise AirflowSkipException("there is no proposal to answer: promote records what the rule says")
            proposal, fate = found
            if fate.state not in ("open", "held"):
                leave_answer(job, proposal.seq, Answer("expire"))
                told(self, job, lambda: Outcome(self.task_id, job.day, "nothing", fate.why))
                return
            self._describe(job, proposal)
            tonight.waiting(job, self.dag_id, self.subject)
        super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> None:
        """Leaves the answer for ``promote``; asks again after one that cannot count."""
        from nightshift.training.approval import leave_answer, waiting_for

        with plain_failures():
            job = asked(self, context)
            found = waiting_for(job)
            if found is None:
                raise AirflowSkipException("the proposal is gone: the run was cleared meanwhile")
            proposal, fate = found
            where = {"dag_id": self.dag_id, "run_id": job.run_id, "task_id": self.task_id}
            answer, why = answered(event, proposal.seq, where)
            if not why and answer.choice == "approve":
                why = why_not_by(proposal, answer.by, answer.login)
                if not why and fate.state == "held":  # approved now, it would be refused for good
                    why = f"{fate.why}; {answer.by} may approve it once they are not"
            if not why:
                leave_answer(job, proposal.seq, answer)
                what = f"proposal {proposal.seq}: {answer.choice} by {answer.by}: {answer.reason}"
                what = what if answer.by else f"nobody answered proposal {proposal.seq}"
                told(self, job, lambda: Outcome(self.task_id, job.day, "done", what))
                return
            log.warning("%s", why)
            refused = Outcome(self.task_id, job.day, "nothing", "waits again", {"warnings": 1}, warnings=(why,))
            told(self, job, lambda: refused)
        self.execute(context)

    def _describe(self, job: Job, proposal: Proposal) -> None:
        """Put together what people see before they answer: versions, numbers and names, no data."""
        entry, name = proposal.entry, job.pipeline.name
        by = f"ordered by {proposal.ordered_by}" if proposal.ordered_by else "of the schedule"
        self.subject = (
            f"version {entry.version} of {name} waits for approval: `nightshift approve {name} --proposal {entry.seq} "
            f'--reason "…"`, or `reject`, until {proposal.expires_at:%Y-%m-%d %H:%M} UTC'
        )
        self.body = (
            f"Proposal {entry.seq}, as of {proposal.as_of}, {by}. The rule would promote it: {entry.reason}.\n\n"
            f"It would replace {proposal.champion_sha256[:16] or 'nobody'}. A reason is needed."
        )
        self.params[PROPOSAL] = entry.seq
        self.response_timeout = max(proposal.expires_at - datetime.now(UTC), timedelta(0)) + _LATER
