"""The local platform: Postgres, Airflow's processes and MLflow, started and stopped as one."""
