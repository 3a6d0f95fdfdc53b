"""The DAG that belongs to no pipeline: it clears away what nights leave on a cluster."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.sdk import DAG, BaseOperator, Context

from nightshift.orchestration.context import task_settings
from nightshift.orchestration.pods import Cluster
from nightshift.orchestration.tasks import plain_failures
from nightshift.pods.reaping import SELECTOR, why_reaped
from nightshift.run_facts import UNFINISHED
from nightshift.settings import Settings
from nightshift.spark import on_kubernetes
from nightshift.specs.check import MAINTENANCE
from nightshift.task_logs import delete_old_logs

_LOGS_DOC = """Deletes the logs of tasks that are older than `NIGHTSHIFT_LOG_DAYS`, where this task sees them."""
_DOC = """Deletes pods whose run is over or gone, and pods that ended days ago: of shards, and drivers of Spark.

A pod outlives its run where its task could not end it, for example when scheduler and node died together.
"""


class ReapPodsOperator(BaseOperator):
    """Deletes the pods that nobody waits for, and says which and why."""

    def execute(self, context: Context) -> int:
        """Returns how many were deleted."""
        with plain_failures():
            cluster, now, reaped = Cluster(task_settings().namespace), datetime.now(UTC), 0

            def goes_on(dag: str, run_id: str) -> bool:
                return bool(context["ti"].get_dr_count(dag_id=dag, run_ids=[run_id], states=list(UNFINISHED)))

            for pod in cluster.pods(SELECTOR):
                if why := why_reaped(pod, now, goes_on):
                    name = pod["metadata"]["name"]
                    cluster.delete(name)
                    self.log.info("pod %s deleted: %s", name, why)
                    reaped += 1
            return reaped


class DeleteLogsOperator(BaseOperator):
    """Deletes the logs of tasks that nobody wrote to for the days that they are kept."""

    def execute(self, context: Context) -> int:
        """Returns how many were deleted."""
        with plain_failures():
            from airflow.sdk.configuration import conf

            folder = Path(conf.get("logging", "base_log_folder"))
            deleted = delete_old_logs(folder, task_settings().log_days, datetime.now(UTC).timestamp())
            self.log.info("%d logs of tasks deleted", deleted)
            return deleted


def maintenance_dag(settings: Settings | None = None) -> DAG | None:
    """The DAG; None where nothing runs on a cluster."""
    settings = settings or Settings.from_env()
    if settings.compute != "kubernetes" and not on_kubernetes(settings.spark_master):
        return None
    dag = DAG(
        dag_id=MAINTENANCE,
        description="Clears away what nights leave on the cluster.",
        doc_md=_DOC,
        schedule="7 * * * *",
        start_date=datetime(2024, 1, 1, tzinfo=UTC),
        catchup=False,
        is_paused_upon_creation=False,
        max_active_runs=1,
        tags=["nightshift"],
    )
    ReapPodsOperator(task_id="reap_pods", dag=dag, doc_md=_DOC, retries=2, execution_timeout=timedelta(minutes=10))
    DeleteLogsOperator(
        task_id="delete_logs", dag=dag, doc_md=_LOGS_DOC, retries=2, execution_timeout=timedelta(minutes=30)
    )
    return dag
