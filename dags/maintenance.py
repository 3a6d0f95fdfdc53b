"""The Airflow DAG that clears away what nights leave on a cluster; none where they leave nothing."""

from nightshift.orchestration.maintenance import maintenance_dag

dag = maintenance_dag()
