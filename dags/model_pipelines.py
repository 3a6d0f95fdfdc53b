"""The Airflow DAGs of all pipelines: two for every valid spec in include/pipelines."""

from nightshift.orchestration.dag import pipeline_dags

for dag in pipeline_dags():
    globals()[dag.dag_id] = dag
