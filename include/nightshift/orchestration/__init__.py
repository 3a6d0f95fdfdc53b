"""Airflow: the only package that imports it. It maps plans to DAGs and steps to operators, and decides nothing."""
