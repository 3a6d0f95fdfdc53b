"""Shards scored by pods: KubernetesPodOperator inside a task, and only where a shard has no result.

The operator is imported when it is needed, as the one of Spark is: at parse it would cost every task three seconds.
It makes, finds again, follows and deletes pods; here is what it does not know: that a result in storage counts more
than what became of a pod, that memory grows after a kill, and what a pod's end means in words.
"""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import Context
from airflow.sdk.bases.operator import ExecutorSafeguard

from nightshift.commands import ScoreCommand
from nightshift.errors import NightshiftError
from nightshift.job import Job
from nightshift.orchestration.tasks import ShardOperator
from nightshift.pods.kinds import SCORING
from nightshift.pods.pod import PodFor, scoring_pod
from nightshift.pods.template import read_template
from nightshift.pods.verdict import Document, failure, killed_for_memory
from nightshift.specs.model import seconds
from nightshift.steps import scored_already

if TYPE_CHECKING:
    from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
    from kubernetes.client import CoreV1Api

CONNECTION = "kubernetes_default"
# What one processor scores at least. A pod that would take more than a minute at that frees its worker meanwhile; one
# that ends sooner may have ended before Airflow has written that its task is deferred, and Airflow fails such a task.
_ROWS_PER_SECOND = 100_000
_DEFER_AFTER_SECONDS = 60
_LOOK_EVERY_SECONDS = 30
_ASK_FOR_SECONDS = 120
_NOT_FOUND = 404
_TRANSIENT = (429, 500, 502, 503, 504)
_CHECKED = "already_checked"


class PodScoreOperator(ShardOperator):
    """Scores one shard in a pod.

    A pod of an earlier try that still runs is followed further, as one is whose task died with its scheduler.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._operator: KubernetesPodOperator | None = None
        self._killed = False

    def run_shard(self, context: Context, job: Job, command: ScoreCommand) -> None:
        """Makes the pod and follows it to its end, or defers until then. Raises NightshiftError that says why."""
        from nightshift.scoring.plan import read_result

        self._follow(context, job, command, lambda operator: operator.execute(context))
        if read_result(command.plan, command.shard) is None:
            raise NightshiftError(
                "its pod succeeded and left no result",
                where=f"shard {command.shard} of {command.plan}",
                do="see that the pod template has no command of its own, and mounts the storage that Airflow has",
            )

    def trigger_reentry(self, context: Context, event: dict[str, Any]) -> None:
        """After a deferral: the pod has ended, or its log is to be read."""

        def resume(context: Context, job: Job, command: ScoreCommand) -> None:
            self._follow(
                context, job, command, lambda operator: operator.trigger_reentry(context, event), event["name"]
            )

        self.tell(context, resume)

    def on_kill(self) -> None:
        """Ends the pod with its task."""
        self._killed = True
        if self._operator is not None:
            self._operator.on_kill()

    def _follow(
        self,
        context: Context,
        job: Job,
        command: ScoreCommand,
        act: Callable[["KubernetesPodOperator"], Any],
        name: str = "",
    ) -> None:
        pod, scoring = PodFor(job.pipeline.name, job.day, job.run_id, command.shard), job.pipeline.scoring
        cluster = Cluster(job.settings.namespace)
        least = scoring.memory_after(0)
        kills = sum(killed_for_memory(found, least) for found in cluster.pods(pod.selector()))
        memory = scoring.memory_after(kills)
        if kills:
            self.log.info("%d earlier tries were killed for memory: this one has %d Mi", kills, memory)
        operator = self._operator = self._pod_operator(job, command, pod, memory, context["ti"].try_number)
        # Airflow warns of an operator that runs in another one, unless told that it is the one that runs.
        token = ExecutorSafeguard.tracker.set(operator)
        try:
            if not self._killed:
                act(operator)
        except Exception as error:
            if scored_already(command):
                self.log.info("the pod failed or is gone, its result is there")
                return
            name = operator.pod.metadata.name if operator.pod else name
            raise (cluster.end(name) if name else cluster.refusal(error)) from error
        finally:
            ExecutorSafeguard.tracker.reset(token)

    def _pod_operator(
        self, job: Job, command: ScoreCommand, pod: PodFor, memory: int, attempt: int
    ) -> "KubernetesPodOperator":
        from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator

        from nightshift.scoring.plan import read_plan

        settings, scoring = job.settings, job.pipeline.scoring
        template, start = read_template(settings.pod_template), seconds(scoring.pod.start)
        rows = read_plan(command.plan).shards[command.shard].rows
        return KubernetesPodOperator(
            task_id=self.task_id,
            kubernetes_conn_id=CONNECTION,
            namespace=settings.namespace,
            name=pod.name(),
            labels=pod.labels(),
            annotations=pod.annotations(),
            pod_template_dict=scoring_pod(template, settings.scoring_image, scoring, command, memory, attempt),
            base_container_name=SCORING.container,
            termination_message_policy="FallbackToLogsOnError",
            schedule_timeout_seconds=start,
            startup_timeout_seconds=start,
            startup_check_interval_seconds=1,
            container_name_log_prefix_enabled=False,
            log_events_on_startup=False,
            log_pod_spec_on_failure=False,
            log_events_on_failure=True,
            do_xcom_push=False,
            # Failed pods stay for people, and to count what was killed for memory; maintenance takes them away.
            on_finish_action="delete_succeeded_pod",
            execution_timeout=timedelta(seconds=seconds(scoring.deadline) + 2 * start),
            deferrable=rows / _ROWS_PER_SECOND / scoring.cpu > _DEFER_AFTER_SECONDS,
            logging_interval=_LOOK_EVERY_SECONDS,
        )


class Cluster:
    """What a task asks the API server beside its operator. Raises NightshiftError where it does not answer."""

    def __init__(self, namespace: str) -> None:
        from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook
        from kubernetes.config import ConfigException

        self.namespace = namespace
        try:
            self.client: CoreV1Api = KubernetesHook(conn_id=CONNECTION).core_v1_client
        except ConfigException as error:
            do = f"set KUBECONFIG, or AIRFLOW_CONN_{CONNECTION.upper()}, and `nightshift down`, `nightshift up`"
            raise NightshiftError(f"no cluster is known: {_plain(error)}", do=do) from error

    def pods(self, selector: str) -> list[Document]:
        """The pods that a label selector finds."""
        return [self._document(pod) for pod in self._ask("list_namespaced_pod", label_selector=selector).items]

    def pod(self, name: str) -> Document | None:
        """The pod of that name; None where there is none."""
        found = self._ask("read_namespaced_pod", name)
        return None if found is None else self._document(found)

    def delete(self, name: str) -> None:
        """Deletes a pod; one that is gone already is as good."""
        self._ask("delete_namespaced_pod", name)

    def end(self, name: str) -> NightshiftError:
        """Why a pod ended. One that never began does so no more: the next try makes its own."""
        pod = self.pod(name)
        phase = pod["status"].get("phase") if pod else None
        if pod is not None and phase == "Pending":
            self.delete(name)
        elif pod is not None and phase == "Running" and not pod["metadata"].get("deletionTimestamp"):
            # The operator lost sight of it, and has marked it as one that no later try is to look at.
            self._ask("patch_namespaced_pod", name, body={"metadata": {"labels": {_CHECKED: None}}})
            return NightshiftError(
                "it runs on, the cluster did not answer meanwhile",
                where=f"pod {name}",
                do="nothing: the next try follows it further",
            )
        return failure(name, pod)

    def refusal(self, error: Exception) -> NightshiftError:
        """Why there is no pod."""
        do = "see that Airflow may make pods there, that the quota leaves room, and that the cluster is up"
        return NightshiftError(f"no pod could be made: {_plain(error)}", where=f"namespace {self.namespace}", do=do)

    def _ask(self, verb: str, *arguments: str, **options: Any) -> Any:
        """The answer; None where there is no such pod."""
        from kubernetes.client.exceptions import ApiException
        from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_exponential
        from urllib3.exceptions import HTTPError

        again = Retrying(
            retry=retry_if_exception(
                lambda error: isinstance(error, HTTPError) or getattr(error, "status", None) in _TRANSIENT
            ),
            stop=stop_after_delay(_ASK_FOR_SECONDS),
            wait=wait_exponential(max=10),
            reraise=True,
        )
        try:
            return again(getattr(self.client, verb), *arguments, namespace=self.namespace, **options)
        except (ApiException, HTTPError) as error:
            if getattr(error, "status", None) == _NOT_FOUND:
                return None
            raise NightshiftError(
                f"the cluster cannot be asked: {_plain(error)}",
                where=f"connection {CONNECTION}",
                do="nothing if it was restarted: the next try goes on; else correct the connection",
            ) from error

    def _document(self, pod: Any) -> Document:
        found: Document = self.client.api_client.sanitize_for_serialization(pod)
        return found


def _plain(error: Exception) -> str:
    """What the API server said, in one line."""
    try:
        return str(json.loads(getattr(error, "body", None) or "")["message"])
    except (ValueError, KeyError, TypeError):
        return " ".join(str(error).split())
