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
from nightshift.pods.pod import PodFor, scoring_pod
from nightshift.pods.template import CONTAINER, read_template
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
_NOT_FOUND = 404


class PodScoreOperator(ShardOperator):
    """Scores one shard in a pod.

    A pod of an earlier try that still runs is followed further, as one is whose task died with its scheduler.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._operator: KubernetesPodOperator | None = None

    def run_shard(self, context: Context, job: Job, command: ScoreCommand) -> None:
        """Makes the pod and follows it to its end, or defers until then. Raises NightshiftError that says why."""
        self._follow(context, job, command, lambda operator: operator.execute(context))

    def trigger_reentry(self, context: Context, event: dict[str, Any]) -> None:
        """After a deferral: the pod has ended, or its log is to be read."""

        def resume(context: Context, job: Job, command: ScoreCommand) -> None:
            self._follow(context, job, command, lambda operator: operator.trigger_reentry(context, event))

        self.tell(context, resume)

    def on_kill(self) -> None:
        """Ends the pod with its task."""
        if self._operator is not None:
            self._operator.on_kill()

    def _follow(
        self, context: Context, job: Job, command: ScoreCommand, act: Callable[["KubernetesPodOperator"], Any]
    ) -> None:
        pod = PodFor(job.pipeline.name, job.day, job.run_id, command.shard, context["ti"].try_number)
        cluster = Cluster(job.settings.namespace)
        kills = sum(map(killed_for_memory, cluster.pods(pod.selector())))
        memory = job.pipeline.scoring.memory_after(kills)
        if kills:
            self.log.info("%d earlier tries were killed for memory: this one has %d Mi", kills, memory)
        operator = self._operator = self._pod_operator(job, command, pod, memory)
        # Airflow warns of an operator that runs in another one, unless told that it is the one that runs.
        token = ExecutorSafeguard.tracker.set(operator)
        try:
            act(operator)
        except Exception as error:
            if scored_already(command):
                self.log.info("the pod failed or is gone, its result is there")
                return
            if operator.pod is None:
                raise cluster.refusal(error) from error
            raise cluster.end(operator.pod.metadata.name) from error
        finally:
            ExecutorSafeguard.tracker.reset(token)

    def _pod_operator(self, job: Job, command: ScoreCommand, pod: PodFor, memory: int) -> "KubernetesPodOperator":
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
            pod_template_dict=scoring_pod(template, settings.scoring_image, scoring, command, memory),
            base_container_name=CONTAINER,
            termination_message_policy="FallbackToLogsOnError",
            schedule_timeout_seconds=start,
            startup_timeout_seconds=start,
            startup_check_interval_seconds=1,
            container_name_log_prefix_enabled=False,
            log_events_on_startup=False,
            log_pod_spec_on_failure=False,
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
            do = f"make the Airflow connection {CONNECTION}, or start the platform with KUBECONFIG set"
            raise NightshiftError(f"no cluster is known: {_plain(error)}", do=do) from error

    def pods(self, selector: str) -> list[Document]:
        """The pods that a label selector finds."""
        return [self._document(pod) for pod in self._ask("list_namespaced_pod", label_selector=selector).items]

    def delete(self, name: str) -> None:
        """Deletes a pod; one that is gone already is as good."""
        self._ask("delete_namespaced_pod", name)

    def end(self, name: str) -> NightshiftError:
        """Why a pod ended. One that never began does so no more: the next try makes its own."""
        found = self._ask("read_namespaced_pod", name)
        pod = None if found is None else self._document(found)
        if pod is not None and pod["status"].get("phase") == "Pending":
            self.delete(name)
        return failure(name, pod)

    def refusal(self, error: Exception) -> NightshiftError:
        """Why there is no pod."""
        do = "see that Airflow may make pods there, that the quota leaves room, and that the cluster is up"
        return NightshiftError(f"no pod could be made: {_plain(error)}", where=f"namespace {self.namespace}", do=do)

    def _ask(self, verb: str, *arguments: str, **options: Any) -> Any:
        """The answer; None where there is no such pod."""
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        try:
            return getattr(self.client, verb)(*arguments, namespace=self.namespace, **options)
        except (ApiException, HTTPError) as error:
            if getattr(error, "status", None) == _NOT_FOUND:
                return None
            raise NightshiftError(
                f"the cluster cannot be asked: {_plain(error)}",
                where=f"connection {CONNECTION}",
                do="nothing if it was restarted: the next try finds the pod again; else correct the connection",
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
