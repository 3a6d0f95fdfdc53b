"""The buttons of a task in the Airflow UI: its gate report, its MLflow run, and what its whole run did and published.

The first two are made when the task ends, from what its step's Outcome (or its error) links to.
"""

from collections.abc import Collection, Mapping
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

from airflow.sdk import BaseOperatorLink

from nightshift.plan import pipeline_of
from nightshift.runs import run_address
from nightshift.settings import Settings

REPORTS = "/nightshift/reports"


class GateReportLink(BaseOperatorLink):
    """The report of the gate; where a task ran many gates, the list of them."""

    name = "Gate report"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """The address of the report's page, or nothing."""
        settings = Settings.from_env()
        reports = [uri for uri in operator.links.values() if uri.startswith(settings.reports)]
        if len(reports) > 1:
            return run_address(settings, ti_key.dag_id, ti_key.run_id)
        return report_address(settings, ti_key.dag_id, reports[0]) if reports else ""


class MlflowRunLink(BaseOperatorLink):
    """The MLflow run of the challenger."""

    name = "MLflow run"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """The address in MLflow, or nothing."""
        return next((uri for uri in operator.links.values() if uri.startswith(Settings.from_env().mlflow_address)), "")


class RunLink(BaseOperatorLink):
    """What every step of this run said, with all of its links: reports and published table versions.

    The plugin gives it to every task there is, so that the UI asks for it when it shows one, and no task makes it.
    """

    name = "What this run did"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """The address of the run's page; nothing for a DAG that is no pipeline's."""
        settings = Settings.from_env()
        spec = settings.pipelines / f"{pipeline_of(ti_key.dag_id)}.yaml"
        return run_address(settings, ti_key.dag_id, ti_key.run_id) if spec.is_file() else ""


LINKS: Collection[BaseOperatorLink] = (GateReportLink(), MlflowRunLink())


def to_show(operator: Any, run_id: str) -> Collection[BaseOperatorLink]:
    """The links of an operator that lead somewhere.

    Airflow keeps each in an XCom: a call of its API, two more when the task runs again, whether it leads somewhere or
    not. Four such calls take as long as a step that finds everything up to date.
    """
    key = SimpleNamespace(dag_id=operator.dag_id, run_id=run_id)
    return [link for link in operator.operator_extra_links if link.get_link(operator, ti_key=key)]


def report_address(settings: Settings, dag: str, uri: str) -> str:
    """Where the UI shows a file below the reports URI, ``<reports>/<pipeline>/…``."""
    path = uri.removeprefix(settings.reports).strip("/").partition("/")[2]
    return f"{settings.airflow_address}{REPORTS}/{quote(dag)}/{quote(path, safe='/=')}"


def shown(settings: Settings, dag: str, links: Mapping[str, str]) -> dict[str, str]:
    """Links as people can open them: reports by their page in the UI, the rest as it is."""
    return {
        label: report_address(settings, dag, uri) if uri.startswith(settings.reports) else uri
        for label, uri in links.items()
    }
